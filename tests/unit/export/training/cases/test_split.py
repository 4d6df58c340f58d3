"""Windows of time hold enough events to learn from, however sparse a log is, and none overlaps another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank_ensemble.interactions.history import SECONDS_PER_DAY
from fuserank_export.training.cases.span import LogSpan
from fuserank_export.training.cases.split import LONGEST_WINDOW_DAYS, WINDOW_SHARE, WINDOWS, window_bounds

FIRST = 1_000_000_000
DAY, YEAR = SECONDS_PER_DAY, 365 * SECONDS_PER_DAY


def bounds_of(timestamps):
    timestamps = np.sort(np.asarray(timestamps, np.int64))
    return window_bounds(timestamps, LogSpan.of(timestamps))


def counts(timestamps, bounds):
    return np.histogram(timestamps, bounds)[0]


def test_a_window_is_28_days_of_a_dense_log():
    timestamps = FIRST + np.arange(0, 2 * YEAR, DAY // 4)
    bounds = bounds_of(timestamps)
    assert bounds[-1] == timestamps[-1] + 1
    assert np.diff(bounds).tolist() == [LONGEST_WINDOW_DAYS * DAY] * WINDOWS


def test_a_window_is_a_tenth_of_a_short_log():
    timestamps = FIRST + np.arange(0, 50 * DAY, 600)
    bounds = bounds_of(timestamps)
    assert np.diff(bounds) == pytest.approx([(timestamps[-1] - FIRST) / 10] * WINDOWS)


def test_windows_of_a_sparse_log_of_22_years_grow_until_they_hold_enough_events():
    """As of a shop whose log fades out: 28 days of its end hold a handful of events."""
    draw = np.random.default_rng(2)
    timestamps = np.sort(FIRST + (22 * YEAR * draw.beta(2, 6, 5_000))).astype(np.int64)
    bounds = bounds_of(timestamps)
    least = WINDOW_SHARE * len(timestamps)
    assert len(bounds) == WINDOWS + 1
    assert (counts(timestamps, bounds) >= least).all()
    assert (np.diff(bounds) >= LONGEST_WINDOW_DAYS * DAY).all()
    assert counts(timestamps, [bounds[-1] - LONGEST_WINDOW_DAYS * DAY, bounds[-1]])[0] < least
    # Most of the log is left to learn the channels from.
    assert (timestamps < bounds[0]).mean() > 0.8


@pytest.mark.parametrize("timestamps", [[], [FIRST], [FIRST] * 9])
def test_a_log_without_length_has_no_windows(timestamps):
    assert bounds_of(timestamps) == []


@given(st.lists(st.integers(0, 10 * int(YEAR)), min_size=2, max_size=300))
def test_windows_follow_each_other_up_to_the_end_of_the_log(moments):
    timestamps = np.sort(np.asarray(moments, np.int64)) + FIRST
    span = LogSpan.of(timestamps)
    bounds = window_bounds(timestamps, span)
    if not bounds:
        assert span.end - 1 <= span.start
        return
    assert len(bounds) == WINDOWS + 1
    assert bounds[-1] == span.end
    assert (np.diff(bounds) > 0).all()
