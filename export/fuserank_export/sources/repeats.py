"""Passes over what one user does with one item too often in a day: nobody alone makes an item popular."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.interactions.blocks import user_blocks
from fuserank_ensemble.interactions.events import EVENTS
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY
from fuserank_export.sources.report import RowReport


def find_counted(
    columns: dict[str, NDArray[Any]], user: NDArray[np.int32], most: int, report: RowReport
) -> NDArray[np.bool_]:
    """Finds the events that count.

    Args:
        columns: A log's columns in order of time, by name; `item`, `event` and `timestamp` are read.
        user: Number of each event's user, int32 `[events]`.
        most: How many of one key count; 0 counts all.
        report: Notes how many are left out.

    Returns:
        Of one user's events of one kind with one item within a day (UTC) the first `most`, bool `[events]`.
    """
    kept = np.ones(len(user), np.bool_)
    if not most or not len(user):
        return kept
    first, last = (int(moment) // SECONDS_PER_DAY for moment in columns["timestamp"][[0, -1]])
    kinds, items = len(EVENTS), int(columns["item"].max()) + 1
    of_user = (last - first + 1) * items * kinds  # keys of one user
    for rows in user_blocks(user):
        key = user[rows].astype(np.int64) * of_user
        key += (columns["timestamp"][rows] // SECONDS_PER_DAY - first) * (items * kinds)
        key += columns["item"][rows].astype(np.int64) * kinds
        key += columns["event"][rows]
        order = np.argsort(key, kind="stable")  # those of one key stay in order of time
        key = key[order]
        kept[rows[order[most:][key[most:] == key[:-most]]]] = False
    if dropped := int(np.count_nonzero(~kept)):
        report.kept -= dropped
        report.left_out[f"beyond {most} a day of one user, item and kind (--most-a-day)"] += dropped
    return kept
