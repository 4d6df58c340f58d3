"""A history summed up by category, brand, text and price is what counting event by event gives."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank_ensemble.catalog.filters import Column, Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY as DAY
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.interactions.profile import UserProfiles, days_since
from support.hand_shop import ITEMS, NOW, SEEN, history

LOG2 = np.log(2)


def profile_of(seen, items=ITEMS):
    """The profile of one user."""
    return UserProfiles.from_histories([seen], items, [NOW])


def by_code(groups, table, size=2, user=0):
    """What a user's table says of the first codes."""
    return table[groups.find(np.full(size, user), np.arange(size, dtype=np.int32))]


def test_a_history_is_summed_up_by_what_its_items_are():
    profile = profile_of(SEEN)
    halved = 2 * 2 ** (-10 / 56)
    assert profile.total == [5]
    np.testing.assert_allclose(profile.weights, [halved, 2**-0.5, 1], rtol=1e-6)
    assert by_code(profile.categories, profile.category).tolist() == [4, 1]
    recent = by_code(profile.categories, profile.category_weight)
    np.testing.assert_allclose(recent, [halved + 2**-0.5, 1], rtol=1e-6)
    assert by_code(profile.categories, profile.category_last).tolist() == [NOW - 10 * DAY, NOW]
    assert by_code(profile.brands, profile.brand).tolist() == [3, 1]
    # Items a and b have prices: once each for the mean of all, event by event for that of their category.
    assert profile.log_price == pytest.approx([1.5 * LOG2])
    prices = by_code(profile.categories, profile.category_log_price)
    np.testing.assert_allclose(prices, [1.25 * LOG2, np.nan], rtol=1e-6)


def test_nothing_is_known_of_the_taste_of_somebody_new():
    assert profile_of(History.empty()) is None
    with np.errstate(all="raise"):
        profile = UserProfiles.from_histories([SEEN, History.empty()], ITEMS, [NOW, NOW])
    assert profile.total.tolist() == [5, 0]
    for groups, table in (
        (profile.categories, profile.category),
        (profile.categories, profile.category_weight),
        (profile.brands, profile.brand),
    ):
        assert by_code(groups, table, user=1).tolist() == [0, 0]
    assert np.isnan(by_code(profile.categories, profile.category_last, user=1)).all()
    assert np.isnan(by_code(profile.categories, profile.category_log_price, user=1)).all()
    assert np.isnan(profile.log_price[1])


def test_a_history_without_category_brand_and_price_is_only_counted():
    profile = profile_of(history([3], [2], [1], [2]))
    assert profile.total == [2]
    assert by_code(profile.categories, profile.category).tolist() == [0, 0]
    assert by_code(profile.brands, profile.brand).tolist() == [2, 0]
    assert np.isnan(by_code(profile.categories, profile.category_last)).all()
    bare = profile_of(SEEN, Items(ITEMS.ids, ITEMS.text, Columns(5, {})))
    assert bare.total == [5]
    assert by_code(bare.categories, bare.category, 1).tolist() == by_code(bare.brands, bare.brand, 1).tolist() == [0]
    assert np.isnan(bare.log_price).all()


def test_own_items_are_found_among_candidates_in_any_order():
    rows = np.asarray([4, 2, 3, 0], np.int32)
    mine, at = profile_of(SEEN).own_items(np.zeros(4, np.int64), rows)
    assert mine.tolist() == [1, 3]
    assert at.tolist() == [2, 0]
    nobody = profile_of(SEEN).own_items(np.zeros(2, np.int64), np.asarray([4, 3], np.int32))
    assert [len(part) for part in nobody] == [0, 0]
    both = UserProfiles.from_histories([history([2], [1], [0], [1]), SEEN], ITEMS, [NOW, NOW])
    mine, at = both.own_items(np.asarray([0, 0, 1, 1]), np.asarray([0, 2, 2, 4], np.int32))
    assert (mine.tolist(), at.tolist()) == ([1, 2], [0, 3])


def test_days_since_a_moment_are_never_negative_and_an_unknown_moment_stays_unknown():
    found = days_since(np.asarray([NOW - 1.5 * DAY, NOW + DAY, np.nan]), NOW)
    np.testing.assert_array_equal(found, [1.5, 0, np.nan])


CODES = st.lists(st.integers(-1, 2), min_size=8, max_size=8)
EVENTS = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 99)), min_size=1, max_size=25)


@given(CODES, CODES, EVENTS)
def test_sums_are_those_of_counting_event_by_event(categories, brands, events):
    names = ["x", "y", "z"]
    columns = {
        "category": Column("category", np.asarray(categories, np.int32), names),
        "brand": Column("keyword", np.asarray(brands, np.int32), names),
    }
    items = Items(np.asarray([b"%d" % i for i in range(8)]), np.arange(8, dtype=np.int32) // 2, Columns(8, columns))
    had = defaultdict(list)
    for row, days in events:
        had[row].append(days)
    rows = sorted(had)
    seen = history(rows, [len(had[row]) for row in rows], [min(had[row]) for row in rows], [1.0] * len(rows))
    # Another user stands before this one.
    profile = UserProfiles.from_histories([history([0, 7], [9, 9], [1, 1], [1, 1]), seen], items, [NOW, NOW])
    category = by_code(profile.categories, profile.category, 3, 1)
    brand = by_code(profile.brands, profile.brand, 3, 1)
    last = by_code(profile.categories, profile.category_last, 3, 1)
    for code in range(3):
        assert category[code] == sum(categories[row] == code for row, _ in events)
        assert brand[code] == sum(brands[row] == code for row, _ in events)
        moments = [NOW - days * DAY for row, days in events if categories[row] == code]
        np.testing.assert_array_equal(last[code], max(moments, default=np.nan))
    wanted = np.arange(8, dtype=np.int32)
    for codes in (items.brand, items.text):
        asked = wanted[(codes >= 0) & (items.category >= 0)]
        groups = profile.categories.find(np.ones(len(asked), np.int64), items.category[asked])
        alike = profile.similar_events(codes, groups, asked)
        assert alike.tolist() == [
            sum(categories[row] == categories[other] and codes[row] == codes[other] for row, _ in events)
            for other in asked
        ]
