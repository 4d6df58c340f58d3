"""What the log counts, the smoothing of trends and what counts as new: numbers that can be checked by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank_ensemble.catalog.filters import Column, Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions import popularity as counting
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY as DAY
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.interactions.popularity import Contexts, Popularity, context_names, hour_of, weekday_of
from fuserank_ensemble.retrieval.channel import ChannelQuery
from fuserank_ensemble.retrieval.channels.new import FEW_EVENTS, OLDEST_DAYS, NewItemsChannel
from fuserank_ensemble.retrieval.channels.trending import PRIORS, TrendingChannel

# A Wednesday, 18:30 UTC.
NOW = int(datetime(2024, 5, 15, 18, 30, tzinfo=UTC).timestamp())
ITEMS = 6


def counted(events, places=None, created=None, now=NOW, items=ITEMS):
    """Events of one user as (row, seconds before `NOW`)."""
    rows = np.asarray([row for row, _ in events], np.int32)
    times = np.asarray([NOW - age for _, age in events], np.int64)
    return Popularity.from_log(np.zeros(len(rows), np.int32), rows, times, items, now, created, places)


def context(popularity, name):
    found = popularity.contexts.get(name)
    return None if found is None else dict(zip(found[0].tolist(), found[1].tolist(), strict=True))


def asked(seen=None, allowed=None, pool=None, now=NOW, context=None):
    rows = None if pool is None else np.asarray(pool, np.int32)
    query = "" if pool is None else "q"
    return ChannelQuery(
        query, np.zeros(2, np.float32), seen or History.empty(), float(now), allowed, context=context, pool=rows
    )


def test_the_trend_halves_every_28_days_and_ties_go_to_the_item_with_more_events():
    popularity = counted([(0, 28 * DAY), (0, 28 * DAY), (1, 0), (2, -DAY), (3, 56 * DAY)])
    np.testing.assert_allclose(popularity.counts, [2, 1, 1, 1, 0, 0])
    np.testing.assert_allclose(popularity.trend, [1, 1, 1, 0.25, 0, 0])
    assert popularity.order.tolist() == [0, 1, 2, 3, 4, 5]
    assert popularity.place.tolist() == [0, 1, 2, 3, 4, 5]
    assert popularity.trend.sum() == pytest.approx(3.25)


def test_each_context_sums_up_its_own_events_by_item():
    stores = (np.asarray([0, 0, 1, -1, 1], np.int32), ["s0", "s1", "s2"])
    events = [(4, 0), (4, 28 * DAY), (2, 0), (2, 0), (4, 56 * DAY)]
    popularity = counted(events, {"store": stores})
    assert context(popularity, "store=s0") == {4: 1.5}
    assert context(popularity, "store=s1") == {2: 1.0, 4: 0.25}
    assert context(popularity, "store=s2") == {}
    # All at half past six on a Wednesday.
    assert context(popularity, "hour=18") == context(popularity, "weekday=2") == {2: 2.0, 4: 1.75}
    assert context(popularity, "hour=17") == context(popularity, "weekday=3") == {}
    names = ("store=s0", "store=s1", "store=s2", "hour=18", "hour=17", "weekday=2")
    assert [popularity.contexts.get(name)[2] for name in names] == [1.5, 1.25, 0, 3.75, 0, 3.75]


@pytest.mark.parametrize("name", ["store=unknown", "region=s0", "store=", "hour=24", "", "store=s0=1"])
def test_a_context_that_the_log_does_not_know_is_none(name):
    stores = (np.zeros(1, np.int32), ["s0"])
    assert counted([(1, 0)], {"store": stores}).contexts.get(name) is None


@given(st.integers(0, 4_000_000_000))
def test_hours_and_weekdays_are_those_of_the_calendar_in_utc(seconds):
    moment, times = datetime.fromtimestamp(seconds, UTC), np.asarray([seconds], np.int64)
    assert (hour_of(times)[0], weekday_of(times)[0]) == (moment.hour, moment.weekday())
    assert context_names(float(seconds), None) == [f"hour={moment.hour}", f"weekday={moment.weekday()}"]


def test_a_request_names_its_place_and_its_time():
    assert context_names(NOW + 0.5, {"store": "330", "region": "北"}) == [
        "store=330", "region=北", "hour=18", "weekday=2",
    ]  # fmt: skip


def test_of_a_long_context_the_items_with_the_most_are_kept_in_the_order_of_rows(monkeypatch):
    monkeypatch.setattr(counting, "LONGEST_CONTEXT", 3)
    events = [(row, 0) for row, count in enumerate((2, 1, 4, 3, 1, 5)) for _ in range(count)]
    popularity = counted(events)
    assert context(popularity, "hour=18") == {2: 4.0, 3: 3.0, 5: 5.0}
    rows, _, total = popularity.contexts.get("hour=18")
    assert (np.diff(rows) > 0).all()
    # The total is of what was cut off, too.
    assert total == 16
    np.testing.assert_allclose(popularity.trend, [2, 1, 4, 3, 1, 5])


def test_an_item_came_when_it_was_created_or_else_with_its_first_event():
    created = np.asarray([NOW - 9 * DAY, np.nan, NOW - DAY, np.nan, np.nan, np.nan])
    popularity = counted(
        [(0, 5 * DAY), (1, 3 * DAY), (1, 4 * DAY), (2, 7 * DAY)],
        created=created,
    )
    assert popularity.arrived[:3].tolist() == [
        NOW - 9 * DAY,
        NOW - 4 * DAY,
        NOW - DAY,
    ]
    assert np.isnan(popularity.arrived[3:]).all()


@pytest.mark.parametrize(
    "popularity",
    [
        Popularity.empty(ITEMS),
        counted([(4, 0), (2, DAY)], {"store": (np.asarray([0, 1], np.int32), ["a b", "绿=茶\n"])}),
        counted([], {"store": (np.empty(0, np.int32), ["s"])}),
    ],
    ids=["none", "some", "no events"],
)
def test_what_was_counted_is_saved_and_opened_as_it_was(popularity, tmp_path):
    popularity.save(tmp_path / "p")
    opened = Popularity.open(tmp_path / "p")
    for name in ("counts", "trend", "lately", "reach", "cycle", "latest", "arrived", "order", "place"):
        np.testing.assert_array_equal(getattr(opened, name), getattr(popularity, name))
        assert getattr(opened, name).dtype == getattr(popularity, name).dtype
    assert opened.contexts.position == dict(popularity.contexts.position)
    for name in popularity.contexts.position:
        assert context(opened, name) == context(popularity, name)
    queries = [asked(context={"store": "绿=茶\n"}), asked(pool=[2, 3])]
    for before, after in zip(
        TrendingChannel(popularity).search(queries, 9), TrendingChannel(opened).search(queries, 9), strict=True
    ):
        assert before.rows.tolist() == after.rows.tolist()


def test_trends_are_smoothed_by_the_formula_worked_out_by_hand():
    contexts = Contexts(
        {"store=s": 0, "hour=18": 1},
        np.asarray([0, 1, 3]),
        np.asarray([1, 0, 1], np.int32),
        np.asarray([20, 5, 30], np.float32),
        np.asarray([20.0, 40.0]),
    )
    trend = np.asarray([60, 40, 0], np.float32)
    popularity = replace(Popularity.empty(3), counts=trend, events=trend, trend=trend, contexts=contexts)
    assert (PRIORS["store"], PRIORS["hour"]) == (5, 20)
    ranked = TrendingChannel(popularity).search([asked(context={"store": "s"})], 3)[0]
    by_row = dict(zip(ranked.rows.tolist(), ranked.scores.tolist(), strict=True))
    # (observed + prior) / (expected + prior): of the store's 20 events item 0 has 0 of 12 expected, item 1 has 20 of 8;
    # of the hour's 40, which hold 5 of another item, item 0 has 5 of 24, item 1 has 30 of 16.
    assert by_row[0] == pytest.approx(60 * (0 + 5) / (12 + 5) * (5 + 20) / (24 + 20), rel=1e-5)
    assert by_row[1] == pytest.approx(40 * (20 + 5) / (8 + 5) * (30 + 20) / (16 + 20), rel=1e-5)
    assert 2 not in by_row  # nobody had it
    for name in context_names(NOW, {"store": "s", "region": "r"}):
        assert name.partition("=")[0] in PRIORS
    elsewhere = TrendingChannel(popularity).search([asked(context={"store": "unknown"}, now=NOW + 4 * 3_600)], 3)[0]
    assert elsewhere.scores.tolist() == [60, 40]


def test_what_one_store_has_much_more_often_comes_first_there_and_only_there():
    stores = np.asarray([0] * 4_000 + [1] * 1_000, np.int32)
    events = [(0, 0)] * 4_000 + [(0, 0)] * 100 + [(1, 0)] * 900
    trending = TrendingChannel(counted(events, {"store": (stores, ["big", "corner"])}))
    places = ("big", "corner", "elsewhere")
    first = [trending.search([asked(context={"store": place})], 2)[0].rows[0] for place in places]
    assert first == [0, 1, 0]


def test_a_context_says_little_of_an_item_that_it_has_seldom_seen():
    stores = np.asarray([0] * 1_000 + [1], np.int32)
    trending = TrendingChannel(counted([(0, 0)] * 1_000 + [(1, 0)], {"store": (stores, ["big", "corner"])}))
    assert trending.search([asked(context={"store": "corner"})], 2)[0].rows.tolist() == [0, 1]


def test_an_item_popular_in_one_place_alone_is_offered_there_beyond_the_depth():
    events = [(row, 0) for row in range(40) for _ in range(4)] + [(45, 0)] * 3
    stores = np.asarray([0] * 160 + [1] * 3, np.int32)
    trending = TrendingChannel(counted(events, {"store": (stores, ["big", "corner"])}, items=50))
    lists = {
        place: trending.search([asked(context={"store": place}, now=NOW + 4 * 3_600)], 5)[0].rows.tolist()
        for place in ("big", "corner")
    }
    assert lists["corner"][0] == 45
    assert 45 not in lists["big"]


def test_requests_of_a_batch_are_ranked_as_each_alone_in_its_place_and_pool():
    stores = np.asarray([0] * 6 + [1] * 4, np.int32)
    events = [(row, 0) for row in (0, 0, 0, 1, 2, 3, 1, 1, 4, 2)]
    trending = TrendingChannel(counted(events, {"store": (stores, ["big", "corner"])}))
    queries = [
        asked(pool=pool, allowed=allowed, context={"store": store})
        for store in ("big", "corner")
        for pool in (None, [4, 1, 5, 0], [])
        for allowed in (None, np.arange(ITEMS) % 2 == 0)
    ]
    for query, ranked in zip(queries, trending.search(queries, 3), strict=True):
        (alone,) = trending.search([query], 3)
        assert (ranked.rows.tolist(), ranked.scores.tolist()) == (alone.rows.tolist(), alone.scores.tolist())


def test_items_without_events_are_not_trending():
    nobody = TrendingChannel(Popularity.empty(ITEMS))
    for request in (asked(pool=[1, 2]), asked()):
        assert len(nobody.search([request], 10)[0]) == 0


def items_of(categories):
    codes = np.asarray(categories, np.int32)
    column = Column("category", codes, [f"c{n}" for n in range(codes.max(initial=0) + 1)])
    ids = np.asarray([b"%02d" % row for row in range(len(codes))])
    return Items(ids, np.arange(len(codes), dtype=np.int32), Columns(len(codes), {"category": column}))


def arrived(*days, counts=None):
    """A popularity of items that came so many days before `NOW`."""
    counts = np.zeros(len(days), np.float32) if counts is None else np.asarray(counts, np.float32)
    came = NOW - np.asarray(days, np.float64) * DAY
    return replace(Popularity.empty(len(days)), counts=counts, events=counts, trend=counts, arrived=came)


@pytest.mark.parametrize("pool", [None, [0, 1, 2, 3, 4, 5]], ids=["no query", "query"])
def test_new_is_what_came_in_the_last_ninety_days_with_few_events_newest_first(pool):
    # Too old by a day, in the future, unknown, too many events, and two that are new.
    popularity = arrived(OLDEST_DAYS + 1, -1, np.nan, 2, 28, 1, counts=[0, 0, 0, FEW_EVENTS, FEW_EVENTS - 1, 0])
    ranked = NewItemsChannel(items_of([0] * 6), popularity).search([asked(pool=pool)], 9)[0]
    assert ranked.rows.tolist() == [5, 4]
    np.testing.assert_allclose(ranked.scores, [2 ** (-1 / 28), 0.5], rtol=1e-5)


@pytest.mark.parametrize(
    ("days", "listed"), [(0, True), (OLDEST_DAYS - 1e-3, True), (OLDEST_DAYS + 1e-3, False), (-1e-3, False)]
)
@pytest.mark.parametrize("pool", [None, [0]])
def test_the_ends_of_the_ninety_days_are_the_same_with_and_without_a_query(days, listed, pool):
    ranked = NewItemsChannel(items_of([0]), arrived(days)).search([asked(pool=pool)], 9)[0]
    assert ranked.rows.tolist() == ([0] if listed else [])


def test_an_item_that_is_new_at_another_time_is_new_then():
    new = NewItemsChannel(items_of([0, 0]), arrived(200, 1))
    assert new.search([asked(now=NOW - 190 * DAY)], 9)[0].rows.tolist() == [0]
    assert new.search([asked(now=NOW + 200 * DAY)], 9)[0].rows.tolist() == []


def test_the_users_own_categories_count_up_to_double():
    # Category 0 has three of the four events, category 1 the fourth; -1 is none, which nobody shares.
    items = items_of([0, 1, 2, -1, 0, 1])
    seen = History.from_rows([3] * 4 + [4] * 3 + [5], NOW)
    popularity = arrived(28, 28, 28, 28, 28, 28)
    ranked = NewItemsChannel(items, popularity).search([asked(seen)], 9)[0]
    by_row = dict(zip(ranked.rows.tolist(), ranked.scores.tolist(), strict=True))
    assert by_row[0] == pytest.approx(0.5 * (1 + 3 / 8), rel=1e-5)
    assert by_row[1] == pytest.approx(0.5 * (1 + 1 / 8), rel=1e-5)
    assert by_row[2] == by_row[3] == pytest.approx(0.5, rel=1e-5)


def test_a_shop_whose_items_have_no_category_has_new_items_all_the_same():
    bare = Items(np.asarray([b"a", b"b"]), np.arange(2, dtype=np.int32), Columns(2, {}))
    seen = History.from_rows([0], NOW)
    assert NewItemsChannel(bare, arrived(1, 2)).search([asked(seen)], 9)[0].rows.tolist() == [0, 1]


def test_as_events_come_new_items_are_what_opening_the_channel_again_would_list():
    items, first = items_of([0] * 6), arrived(40, np.nan, 5, np.nan, 5, np.nan, counts=[0, 0, 4, 0, 0, 0])
    later = arrived(40, 5, 5, 2, 5, np.nan, counts=[1, 1, FEW_EVENTS, 1, 0, 0])
    moved, opened = NewItemsChannel(items, first).with_popularity(later), NewItemsChannel(items, later)
    assert moved.search([asked()], 9)[0].rows.tolist() == opened.search([asked()], 9)[0].rows.tolist() == [3, 1, 4, 0]
