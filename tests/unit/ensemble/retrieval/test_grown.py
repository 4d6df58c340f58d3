"""Indexes with items that came later answer like indexes that were made with them."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_ensemble.catalog.filters import Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.catalog.live.snapshot import TextVectors
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.retrieval.channel import ChannelQuery, RankedItems
from fuserank_ensemble.retrieval.channels.collaborative import CollaborativeChannel
from fuserank_ensemble.retrieval.channels.dense import DenseChannel, GrownDenseChannel
from fuserank_ensemble.retrieval.graph.entities import Entities
from fuserank_ensemble.retrieval.graph.index import GraphIndex
from fuserank_ensemble.retrieval.index import CatalogIndex, InteractionIndex, RetrievalIndex
from fuserank_ensemble.retrieval.vectors.cpu import FaissSearch
from fuserank_ensemble.retrieval.vectors.grown import GrownSearch
from fuserank_ensemble.retrieval.vectors.items import ItemVectorSearch

DRAW = np.random.default_rng(5)
BUNDLED, ADDED, DIM = 40, 6, 16


def unit(count):
    vectors = DRAW.normal(size=(count, DIM))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


EVERY = unit(BUNDLED + ADDED)
QUERIES = unit(3).astype(np.float32)
MASK = DRAW.random(BUNDLED + ADDED) < 0.6


@pytest.mark.parametrize("mask", [None, MASK, np.arange(len(MASK)) >= BUNDLED, np.arange(len(MASK)) < BUNDLED])
@pytest.mark.parametrize("depth", [1, 7, 60])
def test_vectors_that_came_later_are_searched_with_the_others(mask, depth):
    grown = GrownSearch(FaissSearch(EVERY[:BUNDLED]), BUNDLED, EVERY[BUNDLED:].astype(np.float32))
    whole = FaissSearch(EVERY)
    masks = [mask] * len(QUERIES)
    for found, expected in zip(grown.search(QUERIES, depth, masks), whole.search(QUERIES, depth, masks), strict=True):
        assert found[0].tolist() == expected[0].tolist()
        np.testing.assert_allclose(found[1], expected[1], atol=1e-3)


def bundled_items():
    ids = np.asarray([b"i%02d" % row for row in range(BUNDLED)])
    return Items(ids, np.arange(BUNDLED, dtype=np.int32) // 2, Columns(BUNDLED, {}))  # two items of each text


def grown_items():
    """Six new items, and an item of the bundle (row 4) with another text: that of the last vector."""
    items = bundled_items().grown([f"n{number}" for number in range(ADDED - 1)])
    text = items.text.copy()
    rows = np.asarray([*range(BUNDLED, BUNDLED + ADDED - 1), 4], np.int32)
    text[rows] = BUNDLED // 2 + np.arange(ADDED)
    vectors = TextVectors(EVERY[: BUNDLED // 2], EVERY[BUNDLED:].astype(np.float32), rows)
    return items.with_text(text), vectors


def expected_items(query, mask, depth):
    items, vectors = grown_items()
    cosines = vectors[items.text].astype(np.float32) @ query
    rows = np.flatnonzero(mask[: len(items)]) if mask is not None else np.arange(len(items))
    return rows[np.argsort(-cosines[rows], kind="stable")][:depth]


@pytest.mark.parametrize("mask", [None, MASK])
def test_items_are_found_by_the_texts_that_they_have_now(mask):
    items, vectors = grown_items()
    before = ItemVectorSearch(FaissSearch(vectors.bundled), bundled_items(), Popularity.empty(BUNDLED), 99)
    search = before.over(items, vectors)
    mask = None if mask is None else mask[: len(items)]
    for query, (rows, scores) in zip(QUERIES, search.search(QUERIES, 12, [mask] * 3), strict=True):
        assert rows.dtype == np.int32
        assert np.all(np.diff(scores) <= 0)
        assert set(rows.tolist()) == set(expected_items(query, mask, 12).tolist())
    ((rows, _),) = search.search(vectors.bundled[2:3].astype(np.float32), 1, [None])
    assert rows.tolist() == [5], "the other item of the text that row 4 had"
    ((rows, _),) = search.search(vectors.added[-1:], 1, [None])
    assert rows.tolist() == [4]
    assert before.search(vectors.bundled[2:3].astype(np.float32), 2, [None])[0][0].tolist() == [4, 5]


class Elsewhere:
    """A dense channel that knows the bundle's items alone, as one on Milvus."""

    declaration = DenseChannel.declaration

    def search(self, queries, depth):
        found = []
        for query in queries:
            assert query.allowed is None or len(query.allowed) == BUNDLED
            rows = np.arange(BUNDLED) if query.allowed is None else np.flatnonzero(query.allowed)
            cosines = EVERY[: BUNDLED // 2].astype(np.float32)[rows // 2] @ query.embedding
            found.append(RankedItems.best(rows.astype(np.int32), cosines, depth))
        return found


@pytest.mark.parametrize("mask", [None, MASK])
def test_a_dense_channel_elsewhere_is_joined_with_what_came_later(mask):
    items, vectors = grown_items()
    mask = None if mask is None else mask[: len(items)]
    channel = GrownDenseChannel(Elsewhere(), items, vectors)
    asked = [ChannelQuery("q", query, History.empty(), 0.0, mask) for query in QUERIES]
    for query, ranked in zip(QUERIES, channel.search(asked, 12), strict=True):
        assert set(ranked.rows.tolist()) == set(expected_items(query, mask, 12).tolist())


def test_new_items_stand_behind_all_others_in_popularity():
    trend = np.asarray([2, 0, 5, 0, 2], np.float32)
    counts = np.asarray([3, 0, 5, 1, 3], np.float32)
    unknown = np.full(5, np.nan)
    base = Popularity(counts, counts, trend, trend, counts, unknown.astype(np.float32), unknown, unknown)
    for bundled in (base, Popularity.empty(3)):
        grown = bundled.grown(np.asarray([7.0, 8.0]))
        anew = Popularity(**{name: getattr(grown, name) for name in grown.__dataclass_fields__})
        for name in ("order", "place", "level"):
            np.testing.assert_array_equal(getattr(grown, name), getattr(anew, name), err_msg=name)
        assert grown.arrived[-2:].tolist() == [7.0, 8.0]
        assert grown.counts[-2:].tolist() == [0, 0]


def collaborative():
    items, vectors = grown_items()
    factors = DRAW.normal(size=(BUNDLED, 4)).astype(np.float32)
    factors[10:20] = 0.0  # nobody had these
    learned = InteractionIndex(Popularity.empty(BUNDLED), (factors, FaissSearch(factors)))
    catalog = CatalogIndex(bundled_items(), vectors.bundled, FaissSearch(vectors.bundled), None)
    bundled = RetrievalIndex(catalog, learned, 99)
    channel = CollaborativeChannel(*learned.factors, 1e6)
    grown = RetrievalIndex(CatalogIndex(items, vectors, catalog.texts, None), learned, 99)
    vars(grown)["item_vectors"] = bundled.item_vectors.over(items, vectors)
    return channel, channel.over(grown), factors


def test_a_new_item_has_the_factors_of_near_items_that_somebody_had():
    channel, grown, factors = collaborative()
    assert grown.knowledge.items.tolist() == [*(row < 10 or row >= 20 for row in range(BUNDLED)), *[True] * 5]
    assert len(channel.knowledge.items) == BUNDLED
    new = grown._factors[np.asarray([BUNDLED])][0]
    assert np.abs(new).max() <= np.abs(factors).max()
    assert grown.over(RetrievalIndex(CatalogIndex(grown_items()[0], None, None, None), None, 9)) is grown


def test_a_history_with_new_items_is_solved_as_one_with_the_same_factors():
    channel, grown, factors = collaborative()
    new = BUNDLED + 1
    whole = np.concatenate([factors, grown._factors.added])
    other = CollaborativeChannel(whole, FaissSearch(whole), 1e6)
    other._model._YtY = channel._model.YtY  # what new items add to the sum of all products counts with the next export
    once = np.ones(2, np.float32)
    seen = History(np.asarray([3, new], np.int32), once, np.zeros(2, np.int64), once)
    asked = ChannelQuery("", np.zeros(DIM, np.float32), seen, 0.0)
    found, expected = (one.search([asked], 8)[0] for one in (grown, other))
    assert found.rows.tolist() == expected.rows.tolist()
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-3, atol=1e-4)


def test_entities_of_new_and_changed_items_stand_for_those_of_training():
    vectors = np.eye(4, dtype=np.float32)
    names = Entities(["brand", "brand"], ["Acme", "Zenith"])
    index = GraphIndex(
        names, vectors, vectors[:2], vectors[:2], np.asarray([0, 3, 4]), np.asarray([0, 1, 2, 3], np.int32)
    )
    linked = index.linked({4: [1], 1: [1], 2: []})
    assert [linked.members_of(entity).tolist() for entity in (0, 1)] == [[0], [1, 3, 4]]
    assert [linked.entities_of(row).tolist() for row in (0, 1, 2, 4)] == [[0], [1], [], [1]]
    again = linked.linked({1: [0]})
    assert [again.members_of(entity).tolist() for entity in (0, 1)] == [[0, 1], [3, 4]]
    assert index.members_of(0).tolist() == [0, 1, 2]
