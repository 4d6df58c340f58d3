"""The sequence that the ranker reads is the latest items, newest first, with when and how often each was had."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank_ensemble.interactions.history import SECONDS_PER_DAY, History
from fuserank_ensemble.interactions.sequence import MOMENT_DIM, latest_positions, moments
from support.hand_shop import NOW, history

SEEN = history([2, 5, 7, 9], [4, 1, 2, 1], [3, 0, 10, -2], [1, 1, 1, 1])


def test_the_latest_items_come_newest_first_and_no_more_than_asked_for():
    assert SEEN.rows[latest_positions(SEEN, 9)].tolist() == [9, 5, 2, 7]
    assert SEEN.rows[latest_positions(SEEN, 2)].tolist() == [9, 5]
    assert latest_positions(History.empty(), 5).tolist() == []


def test_items_of_one_moment_keep_the_order_of_rows():
    seen = History.from_rows([7, 2, 5], NOW)
    assert seen.rows[latest_positions(seen, 3)].tolist() == [2, 5, 7]


def test_moments_say_how_long_ago_how_often_and_that_there_is_an_item():
    found = moments(SEEN, latest_positions(SEEN, 3), NOW, 5)
    log = math.log1p
    # An event that is yet to come counts as of now.
    expected = [[0, log(1), 1], [0, log(1), 1], [log(3), log(4), 1], [0, 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == np.float32
    assert (moments(History.empty(), latest_positions(History.empty(), 4), NOW, 4) == 0).all()


@given(st.lists(st.integers(0, 500), unique=True, max_size=12), st.integers(1, 8))
def test_as_many_moments_as_asked_for_of_which_the_first_are_present(days, length):
    seen = history(range(len(days)), [1] * len(days), days, [1] * len(days))
    kept = latest_positions(seen, length)
    found = moments(seen, kept, NOW, length)
    assert found.shape == (length, MOMENT_DIM)
    assert found[:, 2].tolist() == [1.0] * len(kept) + [0.0] * (length - len(kept))
    np.testing.assert_allclose(np.expm1(found[: len(kept), 0]), sorted(days)[:length], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("length", [1, 32])
def test_a_day_that_is_gone_makes_the_sequence_a_day_older(length):
    now, later = (moments(SEEN, latest_positions(SEEN, length), at, length) for at in (NOW, NOW + SECONDS_PER_DAY))
    assert (later[:, 0] >= now[:, 0]).all()
    assert later[0, 0] == now[0, 0] == 0  # the newest lies two days ahead
    np.testing.assert_array_equal(now[:, 1:], later[:, 1:])
