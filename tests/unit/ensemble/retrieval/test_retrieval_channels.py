"""One suite that every channel passes: what fusion, the features and the filters rely on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.filters import Columns
from ensemble.history import History
from ensemble.retrieval.channel import Hits, Question
from ensemble.retrieval.dense import Dense, FaissTextSearch, TorchTextSearch
from ensemble.retrieval.items import Items, Popularity
from ensemble.retrieval.personal import Personal
from ensemble.retrieval.popular import Popular

ITEMS, TEXTS, DIM = 1_000, 400, 16
NOW = 1e9


class Shop:
    """A catalogue of random vectors in which several items share a text."""

    def __init__(self, items=ITEMS, texts=TEXTS, seed=3):
        draw = np.random.default_rng(seed)
        vectors = draw.normal(size=(texts, DIM))
        self.vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
        text = np.concatenate([np.arange(texts), draw.integers(0, texts, items - texts)])
        ids = np.asarray([b"%04d" % i for i in range(items)])
        self.items = Items(ids, draw.permutation(text).astype(np.int32), Columns(items, {}))
        counts = draw.integers(0, 6, items).astype(np.float32)
        self.popularity = Popularity(counts, counts / 2)
        rows = np.sort(draw.permutation(items)[: items // 2]).astype(np.int32)
        days = draw.integers(0, 400, len(rows))
        self.seen = History(
            rows, draw.integers(1, 9, len(rows)).astype(np.float32), (NOW - days * 86_400).astype(np.int64)
        )
        self.query = self.vectors[0].astype(np.float32)

    def question(self, *, has_query, allowed=None, seen=None):
        """A question as the retriever asks it: the channels after dense see what dense found."""
        question = Question(has_query, self.query, self.seen if seen is None else seen, NOW, allowed)
        near = DenseChannel(self).search(question, ITEMS) if has_query else Hits.none()
        return replace(question, near=near)


class DenseChannel:
    """Dense searches batches; here one question at a time."""

    name = "dense"

    def __init__(self, shop, texts=FaissTextSearch):
        self._dense = Dense(texts(shop.vectors), shop.items, shop.popularity, max(1, 3 * len(shop.vectors) // 4))

    def search(self, question, depth):
        return self._dense.search_batch(question.embedding[None], [question.allowed], [depth])[0]


CHANNELS = {
    "dense": DenseChannel,
    "dense-torch": lambda shop: DenseChannel(shop, lambda vectors: TorchTextSearch(vectors, "cpu")),
    "popular": lambda shop: Popular(shop.popularity),
    "history": lambda shop: Personal(),
}
SHOP = Shop()
ONE = Shop(items=1, texts=1)
# Which items a channel can name for a query.
REACHED = {
    CHANNELS["history"]: SHOP.seen.rows,
    CHANNELS["popular"]: np.flatnonzero(SHOP.popularity.trend > 0),
}


# The dense channel is asked only where there is a query.
CASES = [(name, has_query) for name in CHANNELS for has_query in (True, False) if has_query or "dense" not in name]


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{'query' if case[1] else 'no query'}")
def case(request):
    return request.param


@pytest.fixture
def channel_of(case):
    return CHANNELS[case[0]]


@pytest.fixture
def has_query(case):
    return case[1]


def checked(hits, depth, items=ITEMS):
    assert hits.rows.dtype == np.int32
    assert hits.scores.dtype == np.float32
    assert len(hits.rows) == len(hits.scores) == len(hits) <= depth
    assert len(np.unique(hits.rows)) == len(hits)
    assert ((hits.rows >= 0) & (hits.rows < items)).all()
    assert not np.isnan(hits.scores).any()
    assert (np.diff(hits.scores) <= 0).all()
    return hits


@pytest.mark.parametrize("depth", [1, 10, 256, 5_000])
def test_a_list_has_no_repeats_no_rising_scores_and_no_more_than_its_depth(channel_of, has_query, depth):
    hits = checked(channel_of(SHOP).search(SHOP.question(has_query=has_query), depth), depth)
    assert len(hits) >= min(depth, 200)


def test_a_shorter_list_is_the_beginning_of_a_longer_one(channel_of, has_query):
    channel, question = channel_of(SHOP), SHOP.question(has_query=has_query)
    short, long = channel.search(question, 20), channel.search(question, 200)
    assert short.rows.tolist() == long.rows[:20].tolist()


def test_a_filter_holds_before_the_cut_so_that_three_of_a_thousand_items_are_found(channel_of, has_query):
    channel = channel_of(SHOP)
    reach = REACHED.get(channel_of, np.arange(ITEMS))
    if has_query:
        cosines = (SHOP.vectors.astype(np.float32) @ SHOP.query)[SHOP.items.text]
        wanted = reach[np.argsort(cosines[reach])[:3]]
    else:
        wanted = channel.search(SHOP.question(has_query=False), ITEMS).rows[-3:]
    # Without the filter they are beyond every depth.
    assert not np.isin(wanted, channel.search(SHOP.question(has_query=has_query), 256).rows).any()
    allowed = np.zeros(ITEMS, np.bool_)
    allowed[wanted] = True
    hits = checked(channel.search(SHOP.question(has_query=has_query, allowed=allowed), 3), 3)
    assert np.sort(hits.rows).tolist() == np.sort(wanted).tolist()


def test_a_filter_that_keeps_nothing_finds_nothing(channel_of, has_query):
    nothing = np.zeros(ITEMS, np.bool_)
    assert len(checked(channel_of(SHOP).search(SHOP.question(has_query=has_query, allowed=nothing), 10), 10)) == 0


def test_a_filter_that_keeps_everything_changes_nothing(channel_of, has_query):
    channel, everything = channel_of(SHOP), np.ones(ITEMS, np.bool_)
    free = channel.search(SHOP.question(has_query=has_query), 50)
    filtered = channel.search(SHOP.question(has_query=has_query, allowed=everything), 50)
    np.testing.assert_allclose(free.scores, filtered.scores, atol=1e-6)
    assert set(free.rows.tolist()) == set(filtered.rows.tolist())


def test_somebody_new_gets_a_sound_list_and_an_empty_one_from_the_history(channel_of, has_query):
    hits = checked(channel_of(SHOP).search(SHOP.question(has_query=has_query, seen=History.empty()), 10), 10)
    assert len(hits) == (0 if channel_of is CHANNELS["history"] else 10)


@pytest.mark.parametrize("had", [True, False])
def test_a_catalogue_of_one_item_is_searched(channel_of, has_query, had):
    seen = History.of_rows([0] if had else [], NOW)
    hits = checked(channel_of(ONE).search(ONE.question(has_query=has_query, seen=seen), 10), 10, items=1)
    assert hits.rows.tolist() == ([0] if had or channel_of is not CHANNELS["history"] else [])


@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.integers(1, 40))
@pytest.mark.parametrize("name", CHANNELS)
def test_under_any_filter_only_allowed_items_are_listed(name, seed, share, depth):
    allowed = np.random.default_rng(seed).random(ITEMS) < share
    channel = CHANNELS[name](SHOP)
    hits = checked(channel.search(SHOP.question(has_query=name != "history", allowed=allowed), depth), depth)
    assert allowed[hits.rows].all()
    reached = REACHED.get(CHANNELS[name], np.arange(ITEMS))
    assert len(hits) == min(depth, int(allowed[reached].sum()))


def test_items_of_one_text_stay_together_the_more_popular_first():
    hits = DenseChannel(SHOP).search(SHOP.question(has_query=True), 60)
    texts = SHOP.items.text[hits.rows]
    assert len(np.flatnonzero(np.diff(texts))) == len(np.unique(texts)) - 1
    for text in np.unique(texts):
        places = SHOP.popularity.place[hits.rows[texts == text]]
        assert (np.diff(places) > 0).all()


def test_with_a_query_popular_and_personal_list_only_what_is_near_it():
    allowed = np.zeros(ITEMS, np.bool_)
    allowed[:500] = True
    question = SHOP.question(has_query=True, allowed=allowed)
    few = replace(question, near=question.near.top(30))
    for channel in (Popular(SHOP.popularity), Personal()):
        assert set(channel.search(few, 100).rows) <= set(few.near.rows)
    had = few.near.rows[SHOP.popularity.trend[few.near.rows] > 0]
    assert 0 < len(had) < 30
    assert set(Popular(SHOP.popularity).search(few, 100).rows) == set(had)


def test_what_nobody_had_is_not_called_popular_for_a_query_and_fills_a_list_without_one():
    nobody = Popular(Popularity(np.zeros(ITEMS, np.float32), np.zeros(ITEMS, np.float32)))
    assert len(nobody.search(SHOP.question(has_query=True), 10)) == 0
    assert len(nobody.search(SHOP.question(has_query=False), 10)) == 10


def test_old_habits_wear_off():
    seen = History(
        np.asarray([1, 2], np.int32),
        np.asarray([3, 1], np.float32),
        np.asarray([NOW - 56 * 86_400, NOW], np.int64),
    )
    hits = Personal().search(Question(False, SHOP.query, seen, NOW), 5)
    assert hits.rows.tolist() == [2, 1]
    np.testing.assert_allclose(hits.scores, [1.0, 0.75])
