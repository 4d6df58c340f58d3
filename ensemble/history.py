"""A user's past events: the value that stages pass on, and the snapshot of them that a bundle carries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble.mapped import mapped

EVENTS = ("view", "click", "cart", "purchase", "rating")
MAX_EVENTS = 2_048  # of one user, newest kept: bounds what a request carries between stages (26 kB)


@dataclass(frozen=True)
class History:
    """One user's events, oldest first.

    Attributes:
        rows: Item rows, int32 `[events]`.
        times: Epoch seconds, int64 `[events]`.
        events: Positions in `EVENTS`, uint8 `[events]`.
    """

    rows: NDArray[np.int32]
    times: NDArray[np.int64]
    events: NDArray[np.uint8]

    @classmethod
    def empty(cls) -> History:
        """The history of somebody new."""
        return cls(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.uint8))

    @classmethod
    def of_rows(cls, rows: Sequence[int], now: float) -> History:
        """A history given with the request: item rows, newest last, all as of now."""
        count = len(rows)
        return cls(np.asarray(rows, np.int32), np.full(count, int(now), np.int64), np.zeros(count, np.uint8))

    def __len__(self) -> int:
        return len(self.rows)

    def per_item(self) -> ItemHistory:
        """Sums the events up by item."""
        rows, first, counts = np.unique(self.rows[::-1], return_index=True, return_counts=True)
        return ItemHistory(rows, counts.astype(np.float32), self.times[::-1][first])


@dataclass(frozen=True)
class ItemHistory:
    """A user's events summed up by item, by increasing row.

    Attributes:
        rows: Distinct item rows, int32 `[items]`.
        counts: Events of each, float32 `[items]`.
        last: Epoch seconds of the newest event of each, int64 `[items]`.
    """

    rows: NDArray[np.int32]
    counts: NDArray[np.float32]
    last: NDArray[np.int64]


class HistorySnapshot:
    """All users' histories as of the bundle, memory-mapped: instances share one copy in the page cache.

    Four arrays: users sorted by id, and for each the slice of rows, times and events that belongs to it.
    """

    def __init__(
        self,
        users: NDArray[np.bytes_],
        offsets: NDArray[np.int64],
        rows: NDArray[np.int32],
        times: NDArray[np.int64],
        events: NDArray[np.uint8],
    ) -> None:
        self.users = users
        self._offsets, self._rows, self._times, self._events = offsets, rows, times, events

    @classmethod
    def of_log(
        cls,
        user_ids: NDArray[np.bytes_],
        user: NDArray[np.int32],
        rows: NDArray[np.int32],
        times: NDArray[np.int64],
        events: NDArray[np.uint8],
    ) -> HistorySnapshot:
        """Groups a log by user.

        Args:
            user_ids: Sorted ids `[users]`.
            user: Position in `user_ids` of each event `[events]`.
            rows: Item row of each event `[events]`.
            times: Epoch seconds of each event `[events]`.
            events: Kind of each event `[events]`.
        """
        order = np.lexsort((times, user))
        offsets = np.searchsorted(user[order], np.arange(len(user_ids) + 1)).astype(np.int64)
        return cls(user_ids, offsets, rows[order], times[order], events[order])

    @classmethod
    def open(cls, folder: Path) -> HistorySnapshot:
        """Maps the snapshot in `folder`."""
        return cls(*(mapped(folder / f"{name}.npy") for name in _FILES))

    def save(self, folder: Path) -> None:
        """Writes the snapshot as one `.npy` an array."""
        folder.mkdir(parents=True)
        arrays = (self.users, self._offsets, self._rows, self._times, self._events)
        for name, array in zip(_FILES, arrays, strict=True):
            np.save(folder / f"{name}.npy", array)

    def __len__(self) -> int:
        return len(self.users)

    def of(self, user_id: str) -> History | None:
        """The user's newest events, or None for a user the log does not know."""
        row = find_row(self.users, user_id)
        return None if row < 0 else self.at(row)

    def at(self, row: int) -> History:
        """The newest events of the user at `row`."""
        end = int(self._offsets[row + 1])
        part = slice(max(int(self._offsets[row]), end - MAX_EVENTS), end)
        return History(np.asarray(self._rows[part]), np.asarray(self._times[part]), np.asarray(self._events[part]))


def find_row(ids: NDArray[np.bytes_], wanted: str) -> int:
    """Position of an id in a sorted array of ids, or -1."""
    key = wanted.encode()
    if len(key) > ids.dtype.itemsize:
        return -1
    row = int(np.searchsorted(ids, key))
    return row if row < len(ids) and ids[row] == key else -1


_FILES = ("users", "offsets", "rows", "times", "events")
