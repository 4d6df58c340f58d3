"""The input of the ranker's sequence tower: a user's latest items, and when and how often each was had.

The tower reads the items' text vectors and not learned factors: those mean the same before and after an export, and a
new item has one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.interactions.profile import days_since

MOMENT_DIM = 3  # width of what `moments` returns for each item


def latest_positions(seen: History, length: int) -> NDArray[np.intp]:
    """Positions in the history of the items had last, newest first, `[min(length, items)]`."""
    return np.argsort(-seen.last, kind="stable")[:length]


def moments(seen: History, kept: NDArray[np.intp], now: float, length: int) -> NDArray[np.float32]:
    """Computes when and how often items of a history were had.

    Args:
        seen: The history.
        kept: Positions in it, see `latest_positions`.
        now: The request's time, epoch seconds.
        length: How many rows to return.

    Returns:
        float32 `[length, 3]`: log days since the last event, log events, and 1; zeros where there is no item.
    """
    out = np.zeros((length, MOMENT_DIM), np.float32)
    out[: len(kept), 0] = np.log1p(days_since(seen.last[kept], now))
    out[: len(kept), 1] = np.log1p(seen.counts[kept])
    out[: len(kept), 2] = 1.0
    return out
