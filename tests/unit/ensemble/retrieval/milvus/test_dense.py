"""Milvus filters exactly as numpy does, and when it does not answer, the channel says so in time."""

from __future__ import annotations

import socket
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuserank_ensemble.catalog.filters import Column, Columns, parse
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.retrieval.channel import ChannelQuery, ChannelUnavailableError
from fuserank_ensemble.retrieval.milvus.dense import MilvusDenseChannel
from fuserank_ensemble.retrieval.milvus.filters import rows_expression

pytest.importorskip("pymilvus", reason="pymilvus is an optional extra")
pytest.importorskip("milvus_lite", reason="milvus-lite is for tests")

WORDS = sorted(['a"b', "back\\slash", "绿\n茶", "😀", "100%_x", '" or row >= 0 or "', "", "\x01\t"])
PATHS = sorted(["A", "A > B", "A > B > 茶", "AB", "A > %", "A >"])
ITEMS = 80


def catalogue():
    draw = np.random.default_rng(3)
    prices = draw.choice([np.nan, -1.5, 0.0, 1e-7, 2.0, 3.5, 1e22], ITEMS)
    columns = {
        "a price": Column("number", prices),
        "in_stock": Column("bool", draw.integers(-1, 2, ITEMS).astype(np.int32)),
        "brand": Column("keyword", draw.integers(-1, len(WORDS), ITEMS).astype(np.int32), WORDS),
        "tags": Column(
            "keywords", draw.integers(0, len(WORDS), 60).astype(np.int32), WORDS,
            draw.integers(0, ITEMS // 2, 60).astype(np.int32),
        ),
        "category": Column("category", draw.integers(-1, len(PATHS), ITEMS).astype(np.int32), PATHS),
    }  # fmt: skip
    ids = np.asarray([f"i{i:03}".encode() for i in range(ITEMS)])
    vectors = draw.normal(size=(ITEMS // 2, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    return Items(ids, (np.arange(ITEMS) // 2).astype(np.int32), Columns(ITEMS, columns)), vectors


CATALOGUE, VECTORS = catalogue()
KINDS = CATALOGUE.columns.kinds


def asked(allowed=None, condition=None, text=0, query="milk"):
    seen = History.empty()
    return ChannelQuery(query, VECTORS[text].astype(np.float32), seen, 0.0, allowed, condition)


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    from fuserank_export.milvus.collection import fill_collection

    path = str(tmp_path_factory.mktemp("milvus") / "shop.db")
    assert fill_collection(path, "", "shop", CATALOGUE, VECTORS, batch=30)["entities"] == ITEMS
    return path


@pytest.fixture(scope="module")
def dense(uri):
    return MilvusDenseChannel(uri, "", "shop", KINDS, timeout_s=30.0, connect_timeout_s=30.0)


numbers = st.sampled_from([-1.5, 0, 1e-7, 2, 3.5, 1e22, 2**62, 7])
words = st.sampled_from([*WORDS, "unknown", "') or ('"])


def one_or_many(values):
    return st.one_of(values, st.lists(values, min_size=1, max_size=3))


conditions = st.recursive(
    st.one_of(
        st.just({}),
        st.fixed_dictionaries({"a price": one_or_many(numbers)}),
        st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), numbers, min_size=1).map(lambda r: {"a price": r}),
        st.fixed_dictionaries({"in_stock": st.booleans()}),
        st.fixed_dictionaries({"brand": one_or_many(words), "tags": one_or_many(words)}),
        st.fixed_dictionaries({"tags": one_or_many(words)}),
        st.fixed_dictionaries({"category": one_or_many(st.sampled_from([*PATHS, "A>B", "B", "a"]))}),
    ),
    lambda inner: st.one_of(
        inner.map(lambda c: {"not": c}),
        st.lists(inner, min_size=1, max_size=3).map(lambda c: {"or": c}),
        st.lists(inner, min_size=1, max_size=3).map(lambda c: {"and": c}),
    ),
    max_leaves=5,
)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(conditions)
def test_every_filter_keeps_exactly_what_numpy_keeps(dense, condition):
    ranked = dense.search([asked(condition=condition)], ITEMS)[0]
    assert sorted(ranked.rows) == np.flatnonzero(parse(condition, KINDS)(CATALOGUE.columns)).tolist()


def test_the_list_is_the_exact_one_best_first(dense):
    ranked = dense.search([asked(text=5), asked(text=9), asked(query="")], 10)
    for text, found in zip((5, 9), ranked, strict=False):
        cosines = VECTORS.astype(np.float32)[CATALOGUE.text] @ VECTORS[text].astype(np.float32)
        assert np.allclose(found.scores, np.sort(cosines)[::-1][:10], atol=1e-5)
        assert np.allclose(found.scores, cosines[found.rows], atol=1e-5)
    assert len(ranked[2]) == 0


@pytest.mark.parametrize("kept", [[], [7], list(range(3, 80)), list(range(80))])
def test_a_mask_without_a_filter_holds(dense, kept):
    mask = np.isin(np.arange(ITEMS), kept)
    assert sorted(dense.search([asked(mask)], ITEMS)[0].rows) == kept


def test_a_mask_too_long_to_send_is_applied_to_what_comes_back(dense, monkeypatch):
    monkeypatch.setattr("fuserank_ensemble.retrieval.milvus.filters.MAX_ROWS_IN_FILTER", 5)
    mask = np.arange(ITEMS) % 2 == 0
    assert rows_expression(mask) is None
    found = dense.search([asked(mask)], 12)[0]
    assert len(found) == 12
    assert mask[found.rows].all()


def test_queries_of_one_filter_are_one_call(dense, monkeypatch):
    dense.search([asked()], 1)
    calls, original = [], dense._client.search
    monkeypatch.setattr(dense._client, "search", lambda *a, **k: calls.append(k["filter"]) or original(*a, **k))
    dense.search([asked(), asked(condition={"in_stock": True}), asked(text=3)], 5)
    assert len(calls) == 2


def test_a_server_that_never_answers_costs_one_time_out_and_then_nothing():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        channel = MilvusDenseChannel(address, "", "shop", KINDS, connect_timeout_s=0.5, pause_s=60)
        # pymilvus has the same limit: which of both ends the wait is chance.
        with pytest.raises(ChannelUnavailableError, match=f"{address}, collection shop: connecting "):
            channel.search([asked()], 5)
        with pytest.raises(ChannelUnavailableError, match="next try in"):
            channel.search([asked()], 5)


def test_a_milvus_that_stays_away_is_tried_once_a_pause(monkeypatch):
    def tries(pause_s, searches):
        channel, count = MilvusDenseChannel("http://127.0.0.1:1", "", "shop", KINDS, pause_s=pause_s), 0

        def refused():
            nonlocal count
            count += 1
            raise OSError("refused")

        monkeypatch.setattr(channel, "_open_collection", refused)
        for _ in range(searches):
            with pytest.raises(ChannelUnavailableError, match="connecting failed: refused"):
                channel.search([asked()], 5)
            time.sleep(0.02)
        return count

    assert tries(pause_s=60, searches=10) == 1
    assert tries(pause_s=0.01, searches=3) == 3


def test_a_bug_is_no_failure_of_milvus_and_pauses_nothing(monkeypatch):
    channel, calls = MilvusDenseChannel("http://127.0.0.1:1", "", "shop", KINDS, pause_s=60), []

    def broken():
        calls.append(1)
        raise TypeError("a bug")

    monkeypatch.setattr(channel, "_open_collection", broken)
    for _ in range(2):
        with pytest.raises(TypeError, match="a bug"):
            channel.search([asked()], 5)
    assert len(calls) == 2


def test_it_recovers_by_itself_when_milvus_is_back(uri):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = taken.getsockname()[1]
    channel = MilvusDenseChannel(f"http://127.0.0.1:{closed}", "", "shop", KINDS, connect_timeout_s=10, pause_s=0.05)
    with pytest.raises(ChannelUnavailableError, match="connecting failed"):
        channel.search([asked()], 5)
    channel._uri = uri
    time.sleep(0.06)
    assert len(channel.search([asked()], 5)[0]) == 5


def test_a_collection_that_is_missing_is_named(uri):
    with pytest.raises(ChannelUnavailableError, match="collection elsewhere"):
        MilvusDenseChannel(uri, "", "elsewhere", KINDS, connect_timeout_s=30).search([asked()], 5)
