"""A user's past events: the value that stages pass on, and the snapshot of them that a bundle carries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.mapped import mapped

MAX_ITEMS = 2_048  # of one user, latest kept: bounds what a request carries between stages (32 kB)


@dataclass(frozen=True)
class History:
    """What one user had before, summed up by item. Every event counts once, whatever its kind.

    Attributes:
        rows: Distinct item rows, increasing, int32 `[items]`.
        counts: Events with each, float32 `[items]`.
        last: Epoch seconds of the newest event with each, int64 `[items]`.
    """

    rows: NDArray[np.int32]
    counts: NDArray[np.float32]
    last: NDArray[np.int64]

    @classmethod
    def empty(cls) -> History:
        """The history of somebody new."""
        return cls(np.empty(0, np.int32), np.empty(0, np.float32), np.empty(0, np.int64))

    @classmethod
    def of_rows(cls, rows: Sequence[int], now: float) -> History:
        """A history that came with the request: item rows, newest last, all as of now."""
        distinct, counts = np.unique(np.asarray(rows, np.int32), return_counts=True)
        return cls(distinct, counts.astype(np.float32), np.full(len(distinct), int(now), np.int64))

    def __len__(self) -> int:
        return len(self.rows)


class HistorySnapshot:
    """All users' histories as of the bundle, memory-mapped: instances share one copy in the page cache.

    Users are sorted by id; each has a slice of the other arrays, which is its `History`.
    """

    def __init__(
        self,
        users: NDArray[np.bytes_],
        offsets: NDArray[np.int64],
        rows: NDArray[np.int32],
        counts: NDArray[np.float32],
        last: NDArray[np.int64],
    ) -> None:
        self.users = users
        self._offsets, self._rows, self._counts, self._last = offsets, rows, counts, last

    @classmethod
    def of_log(
        cls,
        user_ids: NDArray[np.bytes_],
        user: NDArray[np.int32],
        rows: NDArray[np.int32],
        times: NDArray[np.int64],
    ) -> HistorySnapshot:
        """Sums a log up by user and item.

        Args:
            user_ids: Sorted ids `[users]`.
            user: Position in `user_ids` of each event `[events]`.
            rows: Item row of each event `[events]`.
            times: Epoch seconds of each event `[events]`.
        """
        order = np.lexsort((times, rows, user))
        user, rows, times = user[order], rows[order], times[order]
        # The last event of each (user, item) pair is its newest.
        ends = np.flatnonzero(np.diff(user, append=-1).astype(bool) | np.diff(rows, append=-1).astype(bool))
        counts = np.diff(ends, prepend=-1).astype(np.float32)
        offsets = np.searchsorted(user[ends], np.arange(len(user_ids) + 1)).astype(np.int64)
        return cls(user_ids, offsets, rows[ends].astype(np.int32), counts, times[ends].astype(np.int64))

    @classmethod
    def open(cls, folder: Path) -> HistorySnapshot:
        """Maps the snapshot in `folder`."""
        return cls(*(mapped(folder / f"{name}.npy") for name in _FILES))

    def save(self, folder: Path) -> None:
        """Writes the snapshot as one `.npy` an array."""
        folder.mkdir(parents=True)
        arrays: tuple[NDArray[Any], ...] = (self.users, self._offsets, self._rows, self._counts, self._last)
        for name, array in zip(_FILES, arrays, strict=True):
            np.save(folder / f"{name}.npy", array)

    def __len__(self) -> int:
        return len(self.users)

    def of(self, user_id: str) -> History | None:
        """The user's history, or None for a user the log does not know."""
        row = find_row(self.users, user_id)
        return None if row < 0 else self.at(row)

    def at(self, row: int) -> History:
        """The history of the user at `row`: the items had last, where there are more than a request carries."""
        part = slice(int(self._offsets[row]), int(self._offsets[row + 1]))
        history = History(self._rows[part], self._counts[part], self._last[part])
        if len(history) <= MAX_ITEMS:
            return history
        kept = np.sort(np.argsort(-history.last, kind="stable")[:MAX_ITEMS])
        return History(history.rows[kept], history.counts[kept], history.last[kept])


def find_row(ids: NDArray[np.bytes_], wanted: str) -> int:
    """Position of an id in a sorted array of ids, or -1."""
    key = wanted.encode()
    if len(key) > ids.dtype.itemsize:
        return -1
    row = int(np.searchsorted(ids, key))
    return row if row < len(ids) and ids[row] == key else -1


_FILES = ("users", "offsets", "rows", "counts", "last")
