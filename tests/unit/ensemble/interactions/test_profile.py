"""A history summed up by category, brand, text and price is what counting event by event gives."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank_ensemble.catalog.filters import Column, Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY, History
from fuserank_ensemble.interactions.profile import UserProfile, days_since
from support.hand_shop import ITEMS, NOW, SEEN, history

LOG2 = np.log(2)


def test_a_history_is_summed_up_by_what_its_items_are():
    taste = UserProfile.of(SEEN, ITEMS, NOW)
    halved = 2 * 2 ** (-10 / 56)
    assert taste.total == 5
    np.testing.assert_allclose(taste.weights, [halved, 2**-0.5, 1], rtol=1e-6)
    assert taste.category.tolist() == [4, 1]
    np.testing.assert_allclose(taste.category_weight, [halved + 2**-0.5, 1], rtol=1e-6)
    assert taste.category_last.tolist() == [NOW - 10 * SECONDS_PER_DAY, NOW]
    assert taste.brand.tolist() == [3, 1]
    # Items a and b have prices: once each for the mean of all, event by event for that of their category.
    assert taste.log_price == pytest.approx(1.5 * LOG2)
    np.testing.assert_allclose(taste.category_log_price, [1.25 * LOG2, np.nan], rtol=1e-6)


def test_nothing_is_known_of_the_taste_of_somebody_new():
    with np.errstate(all="raise"):
        taste = UserProfile.of(History.empty(), ITEMS, NOW)
    assert taste.total == 0
    assert taste.category.tolist() == taste.category_weight.tolist() == taste.brand.tolist() == [0, 0]
    assert np.isnan(taste.category_last).all()
    assert np.isnan(taste.category_log_price).all()
    assert np.isnan(taste.log_price)


def test_a_history_of_items_without_category_brand_and_price_is_counted_and_says_no_more():
    taste = UserProfile.of(history([3], [2], [1], [2]), ITEMS, NOW)
    assert (taste.total, taste.category.tolist(), taste.brand.tolist()) == (2, [0, 0], [2, 0])
    assert np.isnan(taste.category_last).all()
    bare = UserProfile.of(SEEN, Items(ITEMS.ids, ITEMS.text, Columns(5, {})), NOW)
    assert (bare.total, bare.category.tolist(), bare.brand.tolist()) == (5, [0], [0])
    assert np.isnan(bare.log_price)


def test_own_items_are_found_among_candidates_in_any_order():
    mine, at = UserProfile.of(SEEN, ITEMS, NOW).own(np.asarray([4, 2, 3, 0], np.int32))
    assert mine.tolist() == [1, 3]
    assert at.tolist() == [2, 0]
    nobody = UserProfile.of(SEEN, ITEMS, NOW).own(np.asarray([4, 3], np.int32))
    assert [len(part) for part in nobody] == [0, 0]


def test_days_since_a_moment_are_never_negative_and_an_unknown_moment_stays_unknown():
    found = days_since(np.asarray([NOW - 1.5 * SECONDS_PER_DAY, NOW + SECONDS_PER_DAY, np.nan]), NOW)
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
    taste = UserProfile.of(seen, items, NOW)
    for code in range(3):
        assert taste.category[code] == sum(categories[row] == code for row, _ in events)
        assert taste.brand[code] == sum(brands[row] == code for row, _ in events)
        moments = [NOW - days * SECONDS_PER_DAY for row, days in events if categories[row] == code]
        np.testing.assert_array_equal(taste.category_last[code], max(moments, default=np.nan))
    wanted = np.arange(8, dtype=np.int32)
    for codes in (items.brand, items.text):
        asked = wanted[(codes >= 0) & (items.category >= 0)]
        alike = taste.events_alike(codes[seen.rows], codes[asked], items, asked)
        assert alike.tolist() == [
            sum(categories[row] == categories[other] and codes[row] == codes[other] for row, _ in events)
            for other in asked
        ]
