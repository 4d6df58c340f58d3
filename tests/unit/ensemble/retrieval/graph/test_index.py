"""The graph channel answers from a user's events and the names in a query, also those that training never saw."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fuserank_ensemble.interactions.history import SECONDS_PER_DAY, History
from fuserank_ensemble.retrieval.channel import ChannelQuery
from fuserank_ensemble.retrieval.channels.graph import GraphChannel
from fuserank_ensemble.retrieval.graph.entities import Entities
from fuserank_ensemble.retrieval.graph.index import GraphIndex, event_weights
from fuserank_ensemble.retrieval.vectors.cpu import FaissSearch

NOW = 1_700_000_000.0
GROUPS, EACH, DIM = 8, 40, 16
ITEMS = GROUPS * EACH
NAMES = ["tea", "green tea", "milk", "苹果", "soap", "bread", "salt", "wine"]


def neighbourhoods(seed=2):
    """Eight groups of forty items; each group is an entity and lies around an axis of its own."""
    draw = np.random.default_rng(seed)
    entities = np.eye(GROUPS, DIM) * 2
    items = np.repeat(entities, EACH, 0) + draw.normal(size=(ITEMS, DIM)) * 0.1
    centroids = items.reshape(GROUPS, EACH, DIM).mean(1)
    arrays = [array.astype(np.float32) for array in (items, entities, centroids)]
    offsets = np.arange(GROUPS + 1, dtype=np.int64) * EACH
    return GraphIndex(Entities(["kind"] * GROUPS, NAMES), *arrays, offsets, np.arange(ITEMS, dtype=np.int32))


INDEX = neighbourhoods()
CHANNEL = GraphChannel(INDEX, FaissSearch(INDEX.items), 1_000)


def history(rows, ages=None):
    rows = np.asarray(rows, np.int32)
    ages = np.zeros(len(rows)) if ages is None else np.asarray(ages)
    once = np.ones(len(rows), np.float32)
    return History(rows, once, (NOW - ages).astype(np.int64), once)


def channel_query(query="", seen=None, **more):
    return ChannelQuery(query, np.zeros(4, np.float32), seen if seen is not None else History.empty(), NOW, **more)


def ask(query="", seen=None, depth=EACH, **more):
    return CHANNEL.search([channel_query(query, seen, **more)], depth)[0]


def groups(ranked):
    return set((ranked.rows // EACH).tolist())


def test_one_event_a_second_ago_sets_the_neighbourhood():
    assert groups(ask(seen=history([3 * EACH], [1]))) == {3}


def test_a_late_event_outweighs_an_old_one_and_one_in_the_future_counts_as_now():
    year = 365 * SECONDS_PER_DAY
    assert ask(seen=history([0, EACH], [year, 1])).rows[0] // EACH == 1
    weights = event_weights(np.ones(3, np.float32), np.asarray([NOW + 1e6, NOW, NOW - year]).astype(np.int64), NOW)
    assert weights[0] == weights[1] > weights[2] > 0


@pytest.mark.parametrize(
    ("query", "group"), [("green tea", 1), ("tea", 0), ("milk, please", 2), ("红苹果汁", 3), ("MILK\x00🥛", 2)]
)
def test_a_name_in_the_query_puts_its_items_first(query, group):
    assert groups(ask(query)) == {group}


def test_nothing_known_of_user_and_query_finds_nothing():
    assert len(ask()) == len(ask("unheard of")) == len(ask("🍵" * 25_000)) == 0
    assert len(ask("unheard of", pool=np.arange(9, dtype=np.int32))) == 0
    assert CHANNEL.search([], 10) == []


def test_items_of_all_names_come_before_items_of_one():
    members = np.concatenate([np.arange(EACH), np.arange(EACH // 2, EACH + EACH // 2)]).astype(np.int32)
    entities = Entities(["a", "b"], ["tea", "acme"])
    offsets = np.asarray([0, EACH, 2 * EACH])
    index = replace(
        INDEX, names=entities, entities=INDEX.entities[:2], centroids=INDEX.centroids[:2], offsets=offsets,
        members=members,
    )  # fmt: skip
    (ranked,) = GraphChannel(index, FaissSearch(index.items), 1_000).search([channel_query("acme tea")], EACH)
    assert set(ranked.rows[: EACH // 2].tolist()) == set(range(EACH // 2, EACH))


def test_what_text_channels_found_follows_by_taste():
    pool = np.asarray([5 * EACH, 4 * EACH, 4 * EACH + 1], np.int32)
    ranked = ask("milk", history([4 * EACH + 5]), depth=EACH + 3, pool=pool)
    assert set((ranked.rows[:EACH] // EACH).tolist()) == {2}
    assert (ranked.rows[EACH:] // EACH).tolist() == [4, 4, 5]
    only_near = ask("unheard of", history([4 * EACH + 5]), pool=pool)
    assert (only_near.rows // EACH).tolist() == [4, 4, 5]


def test_a_query_that_matched_nothing_is_not_answered_with_the_whole_catalogue():
    assert len(ask("unheard of", history([0]), pool=np.empty(0, np.int32))) == 0


@pytest.mark.parametrize("query", ["", "milk", "unheard of"])
@pytest.mark.parametrize("kept", [0, 1, 50])
def test_a_filter_holds_before_the_cut(query, kept):
    allowed = np.zeros(ITEMS, np.bool_)
    allowed[np.random.default_rng(kept).permutation(ITEMS)[:kept]] = True
    pool = np.arange(ITEMS, dtype=np.int32) if query else None
    ranked = ask(query, history([9]), depth=ITEMS, allowed=allowed, pool=pool)
    assert sorted(ranked.rows.tolist()) == np.flatnonzero(allowed).tolist()


def test_a_batch_is_answered_like_its_queries_alone_in_order_without_repeats():
    pool = np.arange(0, ITEMS, 3, dtype=np.int32)
    asked = [
        channel_query(),
        channel_query(seen=history([1, 2, 200])),
        channel_query("milk", history([7])),
        channel_query("tea wine", pool=pool),
        channel_query(seen=history([300]), allowed=np.arange(ITEMS) % 2 == 0),
        channel_query("zzz", history([7]), pool=pool),
    ]
    together = CHANNEL.search(asked, 60)
    for ranked, one in zip(together, asked, strict=True):
        (alone,) = CHANNEL.search([one], 60)
        assert np.array_equal(ranked.rows, alone.rows)
        assert np.allclose(ranked.scores, alone.scores, atol=1e-3)
        assert ranked.rows.dtype == np.int32
        assert ranked.scores.dtype == np.float32
        assert len(np.unique(ranked.rows)) == len(ranked) <= 60
        assert (np.diff(ranked.scores) <= 0).all()


def test_a_name_of_more_items_than_say_something_steers_without_listing(monkeypatch):
    monkeypatch.setattr("fuserank_ensemble.retrieval.channels.graph.LARGEST_NAME", EACH - 1)
    assert groups(ask("milk")) == {2}
    pool = np.asarray([0, 2 * EACH], np.int32)
    assert ask("milk", pool=pool).rows.tolist() == [2 * EACH, 0]


def test_a_new_item_lies_beside_those_it_shares_entities_with():
    vector = INDEX.neighbours_vector(INDEX.names.link_record({"title": "Finest 苹果", "kind": "unknown"}))
    (found, _), *_ = FaissSearch(INDEX.items).search(vector[None], 20, [None])
    assert set((found // EACH).tolist()) == {3}
    assert not INDEX.neighbours_vector([]).any()


def test_an_entity_without_items_says_nothing_of_a_new_one():
    bare = replace(INDEX, offsets=np.zeros(GROUPS + 1, np.int64), members=np.empty(0, np.int32))
    assert not bare.neighbours_vector([0, 1]).any()


def test_a_history_of_items_that_came_after_training_is_no_history():
    later = history([ITEMS, ITEMS + 5])
    assert INDEX.history_vector(later, NOW) is None
    assert groups(ask(seen=history([EACH, ITEMS + 5]))) == {1}


def test_what_is_newer_than_the_vectors_is_left_to_other_channels():
    ranked = ask("unheard of", history([0]), pool=np.asarray([ITEMS + 1, 5], np.int32))
    assert ranked.rows.tolist() == [5]


def test_a_catalogue_of_one_item_and_no_entities_answers():
    index = GraphIndex(
        Entities([], []), np.ones((1, DIM), np.float32), *[np.empty((0, DIM), np.float32)] * 2,
        np.zeros(1, np.int64), np.empty(0, np.int32),
    )  # fmt: skip
    (ranked, none) = GraphChannel(index, FaissSearch(index.items), 1_000).search(
        [channel_query(seen=history([0])), channel_query("tea")], 10
    )
    assert ranked.rows.tolist() == [0]
    assert len(none) == 0


def test_the_index_travels_in_a_folder(tmp_path):
    INDEX.save(tmp_path / "graph")
    opened = GraphIndex.open(tmp_path / "graph")
    asked = [channel_query("green tea", history([5]))]
    (found,) = GraphChannel(opened, FaissSearch(np.asarray(opened.items)), 1_000).search(asked, 10)
    assert np.array_equal(found.rows, CHANNEL.search(asked, 10)[0].rows)
    assert opened.names == INDEX.names
