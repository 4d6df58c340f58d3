"""A few wrong clocks do not move the windows that a ranker learns from."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_ensemble.interactions.history import SECONDS_PER_DAY
from fuserank_export.training.cases.span import STRAY_GAP, LogSpan

FIRST = 1_600_000_000
REGULAR = FIRST + 3_600 * np.arange(3_000, dtype=np.int64)
LAST = int(REGULAR[-1])
YEAR = int(365 * SECONDS_PER_DAY)


@pytest.mark.parametrize(
    ("more", "start", "end", "stray"),
    [
        ([], FIRST, LAST + 1, 0),
        ([LAST + YEAR], FIRST, LAST + 1, 1),
        ([LAST + YEAR, LAST + YEAR + 5, LAST + 2 * YEAR], FIRST, LAST + 1, 3),
        ([1, 2], FIRST, LAST + 1, 2),
        ([1, LAST + YEAR], FIRST, LAST + 1, 2),
        ([LAST + STRAY_GAP], FIRST, LAST + STRAY_GAP + 1, 0),
        ([LAST + STRAY_GAP + 1], FIRST, LAST + 1, 1),
        # Five of 3,005 are more than one in a thousand: a shop that opened again.
        ([LAST + YEAR + i for i in range(5)], FIRST, LAST + YEAR + 5, 0),
    ],
)
def test_few_events_far_from_all_others_are_stray(more, start, end, stray):
    timestamps = np.sort(np.concatenate([REGULAR, np.asarray(more, np.int64)]))
    assert LogSpan.of(timestamps) == LogSpan(start, end, stray)


def test_of_a_handful_of_events_none_is_stray():
    timestamps = np.asarray([FIRST, FIRST + YEAR], np.int64)
    assert LogSpan.of(timestamps) == LogSpan(FIRST, FIRST + YEAR + 1, 0)
    assert LogSpan.of(timestamps[:0]) == LogSpan(0.0, 0.0, 0)
