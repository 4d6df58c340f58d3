"""From when to when a log goes, a few wrong clocks aside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.interactions.history import SECONDS_PER_DAY

MAX_STRAY_SHARE = 0.001  # of the events, at either end
STRAY_GAP = 28 * SECONDS_PER_DAY  # between a stray event and the rest
MIN_EVENTS = 100  # of fewer, nobody can say which are stray


@dataclass(frozen=True)
class LogSpan:
    """The time that a log covers.

    Attributes:
        start: First moment, epoch seconds.
        end: First moment after it.
        stray: Events outside: few, and far from all others, as where a clock was wrong.
    """

    start: float
    end: float
    stray: int

    @classmethod
    def of(cls, timestamps: NDArray[np.int64]) -> LogSpan:
        """Measures sorted timestamps, int64 `[events]`; without events the span is empty."""
        count = len(timestamps)
        if not count:
            return cls(0.0, 0.0, 0)
        most = int(np.ceil(count * MAX_STRAY_SHARE)) if count >= MIN_EVENTS else 0
        early = np.flatnonzero(np.diff(timestamps[: most + 1]) > STRAY_GAP)
        late = np.flatnonzero(np.diff(timestamps[count - most - 1 :]) > STRAY_GAP)
        first = int(early[-1]) + 1 if len(early) else 0
        last = count - most - 1 + int(late[0]) if len(late) else count - 1
        return cls(float(timestamps[first]), float(timestamps[last]) + 1, first + count - 1 - last)
