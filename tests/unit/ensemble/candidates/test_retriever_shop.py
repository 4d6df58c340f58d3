"""All channels together over a whole shop: filters, batches, categories, kinds of thing."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest

from fuserank_ensemble.candidates.categories import CategoryShares
from fuserank_ensemble.candidates.features import POSITION
from fuserank_ensemble.candidates.retriever import Retriever
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.interactions.profile import UserProfiles
from fuserank_ensemble.retrieval.channels.lexical import LexicalChannel
from fuserank_ensemble.retrieval.channels.registry import open_channels
from fuserank_ensemble.retrieval.index import InteractionIndex, RetrievalIndex
from fuserank_ensemble.spec import GraphSpec
from support.channel_shop import KINDS, history, make_shop
from support.fake_channel import FakeChannel

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # `implicit` warns at every start; the tests' matrices are tiny.
    pytest.mark.filterwarnings("ignore:OpenBLAS:RuntimeWarning"),
]


@pytest.fixture(scope="module")
def shop(one_thread, tmp_path_factory):
    return make_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def retriever(shop):
    return Retriever(shop.catalog, shop.interactions, GraphSpec(embedding_dim=16))


REGULAR = history(np.arange(0, 1_000, 6))
ASKED = [("organic cheese", None), ("organic cheese", REGULAR), ("", REGULAR), ("", None), ("no such thing", REGULAR)]


@pytest.mark.parametrize("keep", [1, 50, 127])
@pytest.mark.parametrize(("query", "seen"), ASKED)
def test_a_filter_that_keeps_fifty_of_a_thousand_returns_all_fifty(shop, retriever, query, seen, keep):
    for seed in range(3):
        kept = np.sort(np.random.default_rng(seed).choice(1_000, keep, replace=False))
        asked = replace(shop.channel_query(query, seen, np.isin(np.arange(1_000), kept)), pool=None)
        found = retriever.retrieve([asked], [128])[0]
        assert np.sort(found.rows).tolist() == kept.tolist()


@pytest.mark.parametrize(("query", "seen"), ASKED)
def test_a_filter_that_keeps_nothing_returns_nothing_and_no_more_is_a_whole_list(shop, retriever, query, seen):
    nothing = retriever.retrieve([shop.channel_query(query, seen, np.zeros(1_000, np.bool_))], [128])[0]
    assert len(nothing.rows) == 0
    whole = retriever.retrieve([shop.channel_query(query, seen)], [128])[0]
    assert len(whole.rows) == 128
    assert whole.degraded == nothing.degraded == []


def test_requests_of_one_batch_are_answered_as_if_each_were_alone(shop, retriever):
    half = np.arange(1_000) % 2 == 0
    queries = [shop.channel_query(query, seen, mask) for query, seen in ASKED for mask in (None, half)]
    limits = [32, 64, 128, 50, 1, 128, 10, 20, 30, 40]
    together = retriever.retrieve(queries, limits)
    for asked, limit, found in zip(queries, limits, together, strict=True):
        alone = retriever.retrieve([asked], [limit])[0]
        assert found.rows.tolist() == alone.rows.tolist()
        assert found.channel_counts == alone.channel_counts
        np.testing.assert_allclose(found.features, alone.features, atol=1e-5)
        assert len(np.unique(found.rows)) == len(found.rows) == found.channel_counts["fused"] <= limit


def test_the_category_that_is_meant_is_that_of_what_matches_and_is_asked_for(shop, retriever):
    found = retriever.retrieve([shop.channel_query("cheese")], [128])[0]
    shares = np.exp(found.features[:, POSITION["category_of_query"]]) - 0.001
    cheese = np.isin(found.rows, shop.of_kind("cheese"))
    assert cheese.any()
    assert shares[cheese] == pytest.approx(shares.max())
    assert 2 * shares[~cheese].max() < shares.max() <= 1
    without = retriever.retrieve([shop.channel_query("", REGULAR)], [128])[0]
    assert np.isnan(without.features[:, POSITION["category_of_query"]]).all()


def test_fusion_prefers_the_categories_that_are_meant_and_loses_no_candidate(shop, retriever, monkeypatch):
    query = shop.channel_query("cheese")
    found = retriever.retrieve([query], [128])[0]
    monkeypatch.setattr(CategoryShares, "worth", lambda self, codes: np.ones(len(codes)))
    plain = retriever.retrieve([query], [128])[0]
    assert sorted(found.rows.tolist()) == sorted(plain.rows.tolist())
    meant = found.features[:64, POSITION["category_of_query"]]
    before = plain.features[:64, POSITION["category_of_query"]]
    assert np.mean(meant[:20]) >= np.mean(before[:20])
    votes = found.features[:64, POSITION["votes"]]
    assert (np.diff(votes) <= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_query_for_a_kind_finds_that_kind_first(shop, retriever, kind):
    found = retriever.retrieve([shop.channel_query(kind)], [40])[0]
    assert np.isin(found.rows[:20], shop.of_kind(kind)).all()


def test_a_stand_in_for_the_dense_channel_is_asked_instead_of_it(shop):
    stand_in = FakeChannel("dense", [5])
    retriever = Retriever(shop.catalog, shop.interactions, GraphSpec(embedding_dim=16), stand_in)
    found = retriever.retrieve([shop.channel_query("milk", REGULAR)], [50])[0]
    assert len(stand_in.asked) == 1
    assert found.channel_counts["dense"] == 1


def test_a_shop_without_a_log_has_no_collaborative_channel_and_answers(shop):
    first_day = InteractionIndex(Popularity.empty(1_000))
    opened = open_channels(RetrievalIndex(shop.catalog, first_day, 300))
    names = [channel.declaration.name for channel in opened]
    assert names == ["dense", "lexical", "history", "trending", "new", "content"]
    retriever = Retriever(shop.catalog, first_day, GraphSpec(embedding_dim=16))
    assert len(retriever.retrieve([shop.channel_query("", None)], [50])[0].rows) == 50


@pytest.fixture(scope="module")
def without_log(shop):
    return Retriever(shop.catalog, InteractionIndex(Popularity.empty(1_000)), GraphSpec(embedding_dim=16))


def test_without_a_log_nearness_to_a_lists_beginning_votes_on_its_end(shop, without_log, monkeypatch):
    query, vectors = shop.channel_query("cheese"), shop.catalog.vectors.astype(np.float32)
    monkeypatch.setattr(CategoryShares, "worth", lambda self, codes: np.ones(len(codes)))
    found = without_log.retrieve([query], [200])[0]
    with monkeypatch.context() as patch:
        patch.setattr("fuserank_ensemble.candidates.retriever.wants_feedback", lambda *_: False)
        plain = without_log.retrieve([query], [512])[0]
    first = list(dict.fromkeys(plain.texts.tolist()))[:10]
    nearest = np.argsort(-(vectors[plain.texts] @ vectors[first].mean(0)), kind="stable")
    votes = plain.features[:, POSITION["votes"]].astype(np.float64)
    votes[nearest] += 60 * 1.6 / (60 + np.arange(1, len(votes) + 1))
    tail = 64 + np.argsort(-votes[64:], kind="stable")
    assert found.rows.tolist() == plain.rows[[*range(64), *tail[:136]]].tolist()
    assert found.rows.tolist() != plain.rows[:200].tolist()
    # A longer list begins like a shorter one.
    for limit in (100, 800):
        shorter = min(limit, 200)
        assert found.rows[:shorter].tolist() == without_log.retrieve([query], [limit])[0].rows[:shorter].tolist()


def test_without_a_log_what_has_to_be_a_candidate_stays_one_at_the_end_of_a_list(shop, without_log):
    query = shop.channel_query("cheese")
    last = without_log.retrieve([query], [500])[0].rows[-3:]
    found = without_log.retrieve([replace(query, required=last)], [100])[0]
    assert len(found.rows) == 100
    assert np.isin(last, found.rows).all()


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("allowed", [0, 3])
def test_without_a_log_a_filter_may_leave_fewer_than_the_ranker_compares(shop, without_log, allowed):
    query = shop.channel_query("cheese", None, np.arange(1_000) < allowed)
    found = without_log.retrieve([query], [100])[0]
    assert sorted(found.rows.tolist()) == [*range(allowed)]


@pytest.mark.parametrize("kind", [None, "similar"])
def test_what_is_prefetched_is_computed_once_and_changes_no_candidate(shop, retriever, kind, monkeypatch):
    half = np.arange(1_000) % 2 == 0
    queries = [shop.channel_query(query, seen, mask) for query, seen in ASKED for mask in (None, half)]
    limits = [64] * len(queries)
    expected = retriever.retrieve(queries, limits, kind)
    blind = [replace(each, embedding=np.zeros_like(each.embedding)) for each in queries]
    prefetch = retriever.prefetch(blind, kind)
    assert prefetch.lists.keys() == {"lexical"}
    assert any(len(listed) for listed in prefetch.lists["lexical"].values())
    monkeypatch.setattr(LexicalChannel, "search", lambda *_: pytest.fail("asked twice"))
    monkeypatch.setattr(UserProfiles, "from_histories", lambda *_: pytest.fail("summed up twice"))
    for found, known in zip(retriever.retrieve(queries, limits, kind, prefetch), expected, strict=True):
        assert found.rows.tolist() == known.rows.tolist()
        np.testing.assert_array_equal(found.features, known.features)
        assert found.channel_counts == known.channel_counts


def test_what_new_events_replace_goes_at_once_and_not_when_the_collector_comes(shop, retriever):
    """Events replace what counts them once a second; a server's collector looks seldom, and never at what it froze."""
    counted = retriever.popularity
    replaced = retriever.with_popularity(counted.with_events(counted.order, trend=counted.trend.copy()))
    query = replace(shop.channel_query("organic cheese"), pool=None)
    replaced.retrieve([query, shop.channel_query("", REGULAR)], [64, 64])
    channels = replaced._search._channels
    gone = [weakref.ref(new) for new, old in zip(channels, retriever._search._channels, strict=True) if new is not old]
    assert gone, "some channel counts events"
    gc.collect()
    gc.disable()
    try:
        del replaced, channels
        assert [reference() for reference in gone] == [None] * len(gone)
    finally:
        gc.enable()
