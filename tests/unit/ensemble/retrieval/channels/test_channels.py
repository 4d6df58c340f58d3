"""One suite that every channel passes: what fusion, the features and the filters rely on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuserank_ensemble.interactions.history import SECONDS_PER_DAY as DAY
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.retrieval.vectors.cpu import BLOCK, FaissSearch
from support.channel_shop import CHANNELS, KINDS, NEWEST, history, make_shop

ITEMS = 1_000
QUERY = "organic cheese"
REGULAR = history(np.arange(0, ITEMS, 6), ages=np.arange(0, ITEMS, 6) * 9_000, counts=1 + np.arange(0, ITEMS, 6) % 5)
# What each channel answers: a query, a history, or anybody.
NEEDS = {
    "dense": {"query"}, "dense-torch": {"query"}, "dense-milvus": {"query"}, "lexical": {"query"},
    "history": {"seen"}, "content": {"seen"}, "collaborative": {"seen"}, "graph": {"query", "seen"},
    "trending": {"query", "seen", "nothing"}, "new": {"query", "seen", "nothing"},
}  # fmt: skip
ASKED = {"query": (QUERY, None), "user": ("", REGULAR), "both": (QUERY, REGULAR), "nobody": ("", None)}
HELD = {"query": {"query"}, "user": {"seen"}, "both": {"query", "seen"}, "nobody": {"nothing"}}
ANSWERED = [(name, asked) for name in CHANNELS for asked in ASKED if NEEDS[name] & HELD[asked]]
SILENT = [(name, asked) for name in CHANNELS for asked in ASKED if not NEEDS[name] & HELD[asked]]
ODD_QUERIES = [
    "🥛", "👩‍🌾🧀", "\x00\x07\x1b", "ﬁ ｃｈｅｅｓｅ", "e\u0301", "\u202eeseehc", "绿茶 cheese 🥛", "有机",
    "a" * 100_000, "cheese " * 15_000, "茶" * 100_000, '"', '""', '"unclosed cheese', '"organic cheese"',
    "AND OR NOT", "title:cheese", "cheese^99 +bread -milk", "( [ { \\ / ~ * ? :", "' OR 1=1 --", "\n\t", "0",
]  # fmt: skip

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # `implicit` warns at every start; the tests' matrices are tiny.
    pytest.mark.filterwarnings("ignore:OpenBLAS:RuntimeWarning"),
]


@pytest.fixture(scope="module")
def shop(one_thread, tmp_path_factory):
    return make_shop(tmp_path_factory.mktemp("shop"), ITEMS)


@pytest.fixture(scope="module")
def one(one_thread, tmp_path_factory):
    return make_shop(tmp_path_factory.mktemp("one"), 1, 1)


@pytest.fixture(scope="module")
def channel_of(shop):
    """Each channel, opened once."""
    opened = {}

    def open_(name):
        if name not in opened:
            opened[name] = CHANNELS[name](shop)
        return opened[name]

    return open_


def asked_of(shop, asked, allowed=None):
    query, seen = ASKED[asked]
    return shop.channel_query(query, seen, allowed)


def only(rows):
    mask = np.zeros(ITEMS, np.bool_)
    mask[rows] = True
    return mask


def checked(ranked, depth, items=ITEMS):
    assert ranked.rows.dtype == np.int32
    assert ranked.scores.dtype == np.float32
    assert ranked.rows.ndim == ranked.scores.ndim == 1
    assert len(ranked.rows) == len(ranked.scores) == len(ranked) <= depth
    assert len(np.unique(ranked.rows)) == len(ranked)
    assert ((ranked.rows >= 0) & (ranked.rows < items)).all()
    assert np.isfinite(ranked.scores).all()
    assert (np.diff(ranked.scores) <= 0).all()
    return ranked


@pytest.mark.parametrize(("name", "asked"), ANSWERED)
def test_a_list_has_no_repeats_no_rising_scores_and_no_more_than_its_depth(channel_of, shop, name, asked):
    channel, channel_query = channel_of(name), asked_of(shop, asked)
    everything = checked(channel.search([channel_query], ITEMS)[0], ITEMS)
    assert len(everything) >= 20
    for depth in (1, 10, 256, 5_000):
        ranked = checked(channel.search([channel_query], depth)[0], depth)
        assert len(ranked) == min(depth, len(everything))
        np.testing.assert_allclose(ranked.scores, everything.scores[:depth], atol=1e-5)
        # Milvus gives items of one text in any order.
        assert name == "dense-milvus" or ranked.rows.tolist() == everything.rows[:depth].tolist()


@pytest.mark.parametrize(("name", "asked"), SILENT)
def test_a_query_that_a_channel_cannot_answer_gets_an_empty_list(channel_of, shop, name, asked):
    assert len(checked(channel_of(name).search([asked_of(shop, asked)], 10)[0], 10)) == 0


@pytest.mark.parametrize(("name", "asked"), ANSWERED)
def test_a_filter_holds_before_the_cut_so_the_last_fifty_are_all_found(channel_of, shop, name, asked):
    channel = channel_of(name)
    reached = channel.search([asked_of(shop, asked)], ITEMS)[0].rows
    wanted = reached[-min(50, len(reached) // 2) :]
    # Without the filter they are beyond that depth.
    assert not np.isin(wanted, channel.search([asked_of(shop, asked)], len(wanted))[0].rows).any()
    ranked = checked(channel.search([asked_of(shop, asked, only(wanted))], len(wanted))[0], len(wanted))
    assert np.sort(ranked.rows).tolist() == np.sort(wanted).tolist()


@pytest.mark.parametrize(("name", "asked"), ANSWERED)
def test_a_filter_that_keeps_nothing_finds_nothing(channel_of, shop, name, asked):
    assert len(checked(channel_of(name).search([asked_of(shop, asked, only([]))], 10)[0], 10)) == 0


@pytest.mark.parametrize(("name", "asked"), ANSWERED)
def test_a_filter_that_keeps_everything_changes_nothing(channel_of, shop, name, asked):
    channel = channel_of(name)
    free = channel.search([asked_of(shop, asked)], 50)[0]
    filtered = channel.search([asked_of(shop, asked, np.ones(ITEMS, np.bool_))], 50)[0]
    np.testing.assert_allclose(free.scores, filtered.scores, atol=1e-5)
    assert free.rows.tolist() == filtered.rows.tolist()


@pytest.mark.parametrize(("name", "asked"), ANSWERED)
@settings(deadline=None, max_examples=12)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0, 1), depth=st.integers(1, 60))
def test_under_any_filter_what_is_listed_is_allowed_and_as_much_as_can_be_reached(
    channel_of, shop, name, asked, seed, share, depth
):
    allowed = np.random.default_rng(seed).random(ITEMS) < share
    channel = channel_of(name)
    reached = channel.search([asked_of(shop, asked)], ITEMS)[0].rows
    ranked = checked(channel.search([asked_of(shop, asked, allowed)], depth)[0], depth)
    assert allowed[ranked.rows].all()
    assert len(ranked) == min(depth, int(allowed[reached].sum()))


@pytest.mark.parametrize("name", CHANNELS)
def test_a_batch_is_answered_as_if_each_query_were_alone(channel_of, shop, name):
    half = np.arange(ITEMS) % 2 == 0
    queries = [asked_of(shop, asked, mask) for mask in (None, half, only([])) for asked in ASKED]
    queries += [
        shop.channel_query("绿茶"),
        shop.channel_query("soap", history([3])),
        shop.channel_query("", history([3])),
    ]
    together = channel_of(name).search(queries, 30)
    assert len(together) == len(queries)
    for channel_query, found in zip(queries, together, strict=True):
        alone = channel_of(name).search([channel_query], 30)[0]
        assert checked(found, 30).rows.tolist() == alone.rows.tolist()
        np.testing.assert_allclose(found.scores, alone.scores, atol=1e-5)


@pytest.mark.parametrize("name", CHANNELS)
def test_no_queries_get_no_lists(channel_of, name):
    assert channel_of(name).search([], 10) == []


@pytest.mark.parametrize("name", CHANNELS)
def test_opened_again_a_channel_answers_the_same(channel_of, shop, name):
    queries = [asked_of(shop, asked) for asked in ASKED]
    for one_, other in zip(
        channel_of(name).search(queries, 200), CHANNELS[name](shop).search(queries, 200), strict=True
    ):
        assert one_.rows.tolist() == other.rows.tolist()
        assert one_.scores.tolist() == other.scores.tolist()


@pytest.mark.parametrize("name", CHANNELS)
def test_any_query_gets_a_sound_list(channel_of, shop, name):
    queries = [shop.channel_query(query, seen) for query in ODD_QUERIES for seen in (None, REGULAR)]
    for ranked in channel_of(name).search(queries, 40):
        checked(ranked, 40)


@pytest.mark.parametrize("name", CHANNELS)
def test_a_chinese_query_and_one_with_an_emoji_find_what_they_name(channel_of, shop, name):
    for query in ("绿茶", "🥛 绿茶"):
        ranked = channel_of(name).search([shop.channel_query(query, REGULAR, pool_size=50)], 10)[0]
        assert len(ranked)
        named = np.isin(ranked.rows, shop.of_kind("绿茶"))
        assert named.mean() >= 0.7, query


@pytest.mark.parametrize("name", CHANNELS)
@pytest.mark.parametrize("had", [True, False])
@pytest.mark.parametrize("query", ["", "milk", "🍵"])
def test_a_catalogue_of_one_item_is_searched(one, name, had, query):
    channel, seen = CHANNELS[name](one), history([0]) if had else History.empty()
    for allowed in (None, np.ones(1, np.bool_), np.zeros(1, np.bool_)):
        ranked = checked(channel.search([one.channel_query(query, seen, allowed)], 10)[0], 10, items=1)
        if allowed is not None and not allowed[0]:
            assert len(ranked) == 0
    if NEEDS[name] & {"query" if query == "milk" else "", "seen" if had else ""} and name != "new":
        assert channel.search([one.channel_query(query, seen)], 10)[0].rows.tolist() == [0]


@pytest.mark.parametrize("name", ["trending", "new"])
def test_somebody_new_without_a_query_is_offered_what_is_trending_and_new(channel_of, shop, name):
    ranked = checked(channel_of(name).search([shop.channel_query()], 50)[0], 50)
    assert len(ranked) == 50
    counts = shop.interactions.popularity.counts[ranked.rows]
    assert (counts > 0).all() if name == "trending" else (counts < 5).all()


@pytest.mark.parametrize("name", ["dense", "dense-torch", "dense-milvus", "lexical", "new", "graph"])
def test_an_item_that_nobody_had_is_found_for_a_query_that_fits_it(channel_of, shop, name):
    assert shop.interactions.popularity.counts[NEWEST] == 0
    query = KINDS[shop.kind[NEWEST]]
    ranked = channel_of(name).search([shop.channel_query(query)], 60)[0]
    assert NEWEST in ranked.rows


@pytest.mark.parametrize("name", ["new", "content", "graph"])
def test_items_that_nobody_had_are_offered_to_whom_they_suit(channel_of, shop, name):
    cold = np.flatnonzero(shop.interactions.popularity.counts == 0)
    places = {True: [], False: []}  # of the items of the user's own kind, and of others
    for kind in KINDS:
        own = shop.of_kind(kind)
        seen = history(np.setdiff1d(own, cold)[:6])
        listed = channel_of(name).search([shop.channel_query("", seen)], ITEMS)[0].rows
        for place, row in enumerate(listed[np.isin(listed, cold)]):
            places[row in own].append(place)
    assert len(places[True]) > 50
    assert np.mean(places[True]) < 0.75 * np.mean(places[False])


@pytest.mark.parametrize("name", ["history", "content", "collaborative", "graph"])
def test_an_event_recorded_a_second_ago_counts(channel_of, shop, name):
    """Nothing that was learned knows of it: the request brings it."""
    channel = channel_of(name)
    had = shop.interactions.popularity.counts > 0
    juice, soap = (np.intersect1d(shop.of_kind(kind), np.flatnonzero(had)) for kind in ("juice", "soap"))
    before = history(juice[:2], ages=90 * DAY)
    after = history([*juice[:2], soap[0]], ages=[90 * DAY, 90 * DAY, 1])

    def share(seen):
        rows = channel.search([shop.channel_query("", seen)], 20)[0].rows
        return np.isin(rows, soap).mean()

    assert len(channel.search([shop.channel_query("", History.empty())], 20)[0]) == 0
    assert share(before) == 0 or name == "collaborative"
    assert share(after) > share(before)
    rows = channel.search([shop.channel_query("", after)], ITEMS)[0].rows.tolist()
    earlier = channel.search([shop.channel_query("", before)], ITEMS)[0].rows.tolist()
    assert soap[0] in rows
    assert soap[0] not in earlier or rows.index(soap[0]) < earlier.index(soap[0])


@pytest.mark.parametrize("name", ["history", "content", "collaborative", "graph"])
def test_an_event_in_the_future_counts_as_one_of_now(channel_of, shop, name):
    queries = [shop.channel_query("", history([2, 5, 8], ages=age)) for age in (0, -400 * DAY)]
    now, future = channel_of(name).search(queries, 20)
    assert checked(now, 20).rows.tolist() == future.rows.tolist()


@pytest.mark.parametrize("name", ["dense", "dense-torch", "dense-milvus"])
def test_dense_lists_are_the_exact_cosines(channel_of, shop, name):
    channel_query = shop.channel_query(QUERY)
    ranked = channel_of(name).search([channel_query], 60)[0]
    cosines = shop.catalog.vectors[shop.items.text].astype(np.float32) @ channel_query.embedding
    np.testing.assert_allclose(ranked.scores, np.sort(cosines)[::-1][:60], atol=1e-5)
    np.testing.assert_allclose(ranked.scores, cosines[ranked.rows], atol=1e-5)


@pytest.mark.parametrize("name", ["dense", "dense-torch"])
def test_items_of_one_text_stay_together_the_more_popular_first(channel_of, shop, name):
    ranked = channel_of(name).search([shop.channel_query(QUERY)], 60)[0]
    texts = shop.items.text[ranked.rows]
    assert len(np.flatnonzero(np.diff(texts))) == len(np.unique(texts)) - 1
    for text in np.unique(texts):
        assert (np.diff(shop.interactions.popularity.place[ranked.rows[texts == text]]) > 0).all()


@pytest.mark.parametrize("name", ["history", "trending", "new", "content", "collaborative"])
def test_with_a_query_only_the_pool_is_listed(channel_of, shop, name):
    channel_query = shop.channel_query(QUERY, REGULAR, np.arange(ITEMS) < 700, pool_size=60)
    ranked = channel_of(name).search([channel_query], 100)[0]
    assert 0 < len(ranked) <= 60
    assert set(ranked.rows) <= set(channel_query.pool)


def test_collaborative_lists_nothing_for_a_history_that_no_other_user_shares(channel_of, shop):
    assert len(channel_of("collaborative").search([shop.channel_query("", history([NEWEST]))], 10)[0]) == 0


def test_cached_factors_are_those_of_the_same_items_had_as_often(channel_of, shop):
    channel = channel_of("collaborative")
    juice, soap = (shop.of_kind(kind)[:3] for kind in ("juice", "soap"))

    def asked(counts):
        return channel.search([shop.channel_query("", history([*juice, *soap], counts=counts))], 20)[0]

    often_juice = asked([9, 9, 9, 1, 1, 1])
    often_soap = asked([1, 1, 1, 9, 9, 9])
    assert not np.array_equal(often_juice.scores, often_soap.scores)
    again = asked([9, 9, 9, 1, 1, 1])
    assert again.rows.tolist() == often_juice.rows.tolist()
    np.testing.assert_array_equal(again.scores, often_juice.scores)


def test_content_follows_the_later_of_two_tastes(channel_of, shop):
    old, late = shop.of_kind("juice")[:5], shop.of_kind("soap")[:5]
    seen = history([*old, *late], ages=[90 * DAY] * 5 + [60] * 5)
    ranked = channel_of("content").search([shop.channel_query("", seen)], 20)[0]
    assert np.isin(ranked.rows, shop.of_kind("soap")).mean() > 0.8


def test_old_habits_decay(channel_of, shop):
    ranked = channel_of("history").search(
        [shop.channel_query("", history([1, 2], ages=[112 * DAY, 0], counts=[3, 1]))], 5
    )[0]
    assert ranked.rows.tolist() == [2, 1]
    np.testing.assert_allclose(ranked.scores, [1.0, 0.75])


def test_more_vectors_than_one_block_of_the_index_are_all_searched():
    vectors = np.random.default_rng(1).normal(size=(BLOCK + 4_000, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    query = vectors[-1:].astype(np.float32)
    assert FaissSearch(vectors).search(query, 1, [None])[0][0].tolist() == [len(vectors) - 1]


def test_a_cached_profile_is_that_of_the_same_history_at_any_later_time(channel_of, shop):
    channel = channel_of("content")
    juice, soap = (shop.of_kind(kind)[:5] for kind in ("juice", "soap"))
    seen, swapped = (
        history([*juice, *soap], ages=[90 * DAY] * 5 + [60] * 5),
        history([*juice, *soap], ages=[60] * 10),
    )
    now = shop.channel_query("", seen).now
    first = channel.profile(seen, now)
    assert not np.allclose(channel.profile(swapped, now), first)
    for later in (now, now + 5 * DAY, now + 400 * DAY):
        weights = seen.weights(later)
        expected = weights @ shop.catalog.vectors[shop.items.text[seen.rows]].astype(np.float32)
        np.testing.assert_allclose(channel.profile(seen, later), expected / np.linalg.norm(expected), atol=1e-5)
    shifted = replace(seen, last=seen.last + 3 * DAY)  # the same history of somebody else, days later
    made = len(channel._profiles)
    np.testing.assert_array_equal(channel.profile(shifted, now + 3 * DAY), first)
    assert len(channel._profiles) == made
    # What lies in the future counts whole, as long as it does.
    early = seen.last.max() - 30 * DAY
    assert not np.allclose(channel.profile(seen, early), first)


def test_what_is_prepared_ahead_changes_no_list(shop):
    for name in ("content", "collaborative"):
        queries = [shop.channel_query("", seen) for seen in (None, REGULAR, history([3, 5]))]
        asked, told = CHANNELS[name](shop), CHANNELS[name](shop)
        told.prepare(queries)
        for one, other in zip(asked.search(queries, 50), told.search(queries, 50), strict=True):
            assert one.rows.tolist() == other.rows.tolist()
