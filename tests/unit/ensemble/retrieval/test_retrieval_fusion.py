"""Fusion is the published formula, forgets nothing a channel said, and remembers nothing of the request before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.filters import Columns
from ensemble.history import History
from ensemble.retrieval.channel import Hits, Question
from ensemble.retrieval.dense import FaissTextSearch
from ensemble.retrieval.fusion import ReciprocalRankFusion
from ensemble.retrieval.items import Items, Popularity
from ensemble.retrieval.retriever import Retriever
from ensemble.spec import GraphSpec

ITEMS = 30
ROWS = st.permutations(range(ITEMS)).flatmap(lambda rows: st.integers(0, ITEMS).map(lambda n: rows[:n]))
LISTS = st.dictionaries(st.sampled_from(["dense", "history", "popular", "other"]), ROWS, min_size=1)


def hits(rows):
    scores = np.linspace(0.9, 0.1, len(rows)) if rows else np.empty(0)
    return Hits(np.asarray(rows, np.int32), scores.astype(np.float32))


def formula(lists, depth):
    """Cormack, Clarke, Buettcher: the sum of 1 / (60 + rank), and the order in which the items were named."""
    scores = {}
    for rows in lists.values():
        for rank, row in enumerate(rows[:depth], 1):
            scores[row] = scores.get(row, 0.0) + 1 / (60 + rank)
    return scores


@given(LISTS, st.integers(1, 40), st.integers(1, 40))
def test_the_order_is_by_the_sum_of_reciprocal_ranks(lists, depth, limit):
    fusion = ReciprocalRankFusion(ITEMS, depth)
    scores = formula(lists, depth)
    fused = fusion.fuse({name: hits(rows) for name, rows in lists.items()}, limit)
    expected = sorted(scores, key=lambda row: -round(scores[row], 12))
    assert [round(scores[row], 12) for row in fused.rows] == [round(scores[row], 12) for row in expected[:limit]]
    assert len(set(fused.rows.tolist())) == len(fused.rows) == min(limit, len(scores))


@given(LISTS, st.integers(1, 40))
def test_every_channels_rank_and_the_text_score_are_kept(lists, depth):
    fused = ReciprocalRankFusion(ITEMS, depth).fuse({name: hits(rows) for name, rows in lists.items()}, ITEMS)
    assert fused.ranks.keys() == lists.keys()
    for position, row in enumerate(fused.rows.tolist()):
        for name, rows in lists.items():
            found = fused.ranks[name][position]
            assert found == rows.index(row) if row in rows else np.isnan(found)
        dense = lists.get("dense", [])
        text = fused.text_score[position]
        assert text == hits(dense).scores[dense.index(row)] if row in dense else np.isnan(text)


@given(st.lists(LISTS, min_size=2, max_size=4), st.integers(1, 40))
def test_a_request_leaves_no_trace_for_the_next(requests, depth):
    used = ReciprocalRankFusion(ITEMS, depth)
    for lists in requests:
        named = {name: hits(rows) for name, rows in lists.items()}
        found, fresh = used.fuse(named, 20), ReciprocalRankFusion(ITEMS, depth).fuse(named, 20)
        assert found.rows.tolist() == fresh.rows.tolist()
        np.testing.assert_array_equal(found.text_score, fresh.text_score)
        for name in named:
            np.testing.assert_array_equal(found.ranks[name], fresh.ranks[name])


def test_equal_scores_keep_the_order_in_which_they_were_named():
    lists = {"history": hits([5, 2]), "popular": hits([9, 7])}
    assert ReciprocalRankFusion(ITEMS, 10).fuse(lists, 9).rows.tolist() == [5, 9, 2, 7]


def test_nothing_found_is_an_empty_list():
    fused = ReciprocalRankFusion(ITEMS, 10).fuse({"dense": Hits.none(), "popular": Hits.none()}, 9)
    assert len(fused.rows) == len(fused.text_score) == len(fused.ranks["dense"]) == 0


@pytest.fixture(scope="module")
def retriever():
    draw = np.random.default_rng(2)
    vectors = draw.normal(size=(400, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    items = Items(np.asarray([b"%03d" % i for i in range(400)]), np.arange(400, dtype=np.int32), Columns(400, {}))
    counts = draw.integers(0, 50, 400).astype(np.float32)
    spec = GraphSpec(embedding_dim=8, channel_depth=64)
    return Retriever(items, Popularity(counts, counts), FaissTextSearch(vectors), spec), vectors.astype(np.float32)


def test_requests_of_one_batch_are_answered_as_if_each_were_alone(retriever):
    retrieve, vectors = retriever
    allowed = np.arange(400) % 40 == 0
    seen = History.of_rows([1, 1, 40], 1e6)
    questions = [
        Question(True, vectors[3], History.empty(), 1e6),
        Question(False, vectors[4], seen, 1e6),
        Question(True, vectors[5], seen, 1e6, allowed),
        Question(False, vectors[6], History.empty(), 1e6, np.zeros(400, np.bool_)),
    ]
    limits = [128, 32, 64, 32]
    together = retrieve.retrieve(questions, limits)
    for question, limit, found in zip(questions, limits, together, strict=True):
        alone = retrieve.retrieve([question], [limit])[0]
        assert found.rows.tolist() == alone.rows.tolist()
        np.testing.assert_allclose(found.features, alone.features, atol=1e-6)
        assert len(found.rows) <= limit
        assert found.found["fused"] == len(found.rows)
    assert together[0].rows[0] == 3
    assert sorted(together[2].rows.tolist()) == np.flatnonzero(allowed).tolist()
    assert len(together[3].rows) == 0
    assert "dense" not in together[1].found
