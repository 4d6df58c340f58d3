"""How lately, by how many and how often again an item is had: numbers that can be counted on fingers."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from unittest.mock import patch

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fuserank_ensemble.interactions import popularity as module
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY as DAY
from fuserank_ensemble.interactions.popularity import LEAST_RETURNS, Popularity

MIDNIGHT = 20_000 * DAY
NAN = np.nan


def counted(events, items=4, now=MIDNIGHT):
    """Events as (user, row, seconds before `MIDNIGHT`), in any order."""
    user, row, age = (np.asarray([event[i] for event in events], np.int64) for i in range(3))
    return Popularity.from_log(user.astype(np.int32), row.astype(np.int32), MIDNIGHT - age, items, now)


def test_lately_halves_every_seven_days_and_an_event_to_come_counts_as_of_now():
    popularity = counted([(0, 0, 7 * DAY), (1, 0, 0), (0, 1, 28 * DAY), (0, 2, -5 * DAY)])
    np.testing.assert_allclose(popularity.lately, [1.5, 1 / 16, 1, 0])
    np.testing.assert_allclose(popularity.trend, [1 + 2**-0.25, 1 / 2, 1, 0], rtol=1e-6)


def test_reach_counts_each_user_once():
    popularity = counted([(0, 0, 9), (0, 0, 5), (2, 0, 7), (1, 1, 1), (0, 1, 2), (2, 1, 3), (2, 1, 4)])
    assert popularity.reach.tolist() == [2, 3, 0, 0]
    assert popularity.counts.tolist() == [3, 4, 0, 0]


def test_the_latest_event_is_the_newest_of_any_user_and_unknown_where_there_is_none():
    popularity = counted([(0, 0, 50), (1, 0, 20), (2, 0, 90), (0, 3, -60)])
    np.testing.assert_array_equal(popularity.latest, [MIDNIGHT - 20, NAN, NAN, MIDNIGHT + 60])
    assert popularity.latest.dtype == np.float64


def test_a_cycle_is_the_mean_number_of_days_until_the_same_user_has_the_item_again():
    popularity = counted(
        [
            # Of item 0: 10 and 20 days of user 0, 6 of user 1; the two of one day are one, the users are not mixed.
            (0, 0, 31 * DAY), (0, 0, 21 * DAY), (0, 0, 1 * DAY), (0, 0, 1 * DAY - 60), (1, 0, 16 * DAY),
            (1, 0, 10 * DAY), (2, 0, 3 * DAY),
            # Of item 1 only two returns are known, of item 2 none but within a day.
            (0, 1, 30 * DAY), (0, 1, 20 * DAY), (0, 1, 10 * DAY),
            (0, 2, 900), (0, 2, 800), (0, 2, 700), (0, 2, 600), (0, 2, 500),
        ]
    )  # fmt: skip
    assert LEAST_RETURNS == 3
    np.testing.assert_allclose(popularity.cycle, [12, NAN, NAN, NAN])


def test_days_are_calendar_days_so_evening_and_next_morning_are_a_day_apart():
    evenings = [(0, 0, age) for age in (3 * DAY + 60, 3 * DAY - 60, DAY + 60, DAY - 60)]
    # 23:59, 00:01, 23:59 of the next day, 00:01: one, one and one day apart.
    assert counted(evenings).cycle[0] == 1


def test_a_shop_without_a_log_knows_none_of_it():
    for popularity in (Popularity.empty(3), counted([], items=3)):
        assert popularity.lately.tolist() == popularity.reach.tolist() == [0, 0, 0]
        assert np.isnan(popularity.cycle).all()
        assert np.isnan(popularity.latest).all()


EVENTS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 40 * DAY)), max_size=40)


@given(EVENTS)
def test_counting_at_once_is_counting_event_by_event(events):
    popularity = counted(events)
    for row in range(4):
        of_user = defaultdict(list)
        for user, _, age in (event for event in events if event[1] == row):
            of_user[user].append((MIDNIGHT - age) // DAY)
        pairs = [pair for days in of_user.values() for pair in pairwise(sorted(days))]
        gaps = [later - day for day, later in pairs if later > day]
        assert popularity.reach[row] == len(of_user)
        expected = np.mean(gaps) if len(gaps) >= LEAST_RETURNS else NAN
        np.testing.assert_allclose(popularity.cycle[row], expected, rtol=1e-6)


@given(EVENTS)
def test_counting_in_blocks_gives_the_same_bytes(events):
    whole = counted(events)
    with patch.object(module, "BLOCK_EVENTS", 3):
        by_blocks = counted(events)
    for name in ("counts", "events", "trend", "lately", "reach", "latest", "arrived"):
        np.testing.assert_array_equal(getattr(by_blocks, name), getattr(whole, name), name)
    np.testing.assert_array_equal(by_blocks.contexts.weights, whole.contexts.weights)
