"""A user's past events summed up by item, and the snapshot of all users' that a bundle carries."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.arrays import find_row, map_array
from fuserank_ensemble.interactions.blocks import user_blocks
from fuserank_ensemble.interactions.events import NegativeEvents

MAX_ITEMS = 2_048  # of one user, latest kept: bounds what a request carries between stages (40 kB)
# Of an event's weight among all users', where fashions change, and in one user's own history, where habits last: 56
# days order a household's own items best: docs/decisions/021.
HALF_LIFE_DAYS = 28.0
HABIT_HALF_LIFE_DAYS = 56.0
# Users whose profile or factors a channel caches, until their history changes: people look at many pages.
CACHED_USERS = 8_192
SECONDS_PER_DAY = 86_400
ROUNDING = 1e-5  # of a sum of strengths: what is left is nothing
# Users, item rows, counts, newest events and recent counts, see `_sum_by_pair`.
_Pairs = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]
_PACKED = np.dtype([("rows", np.int32), ("counts", np.float32), ("last", np.int64), ("recent", np.float32)])


@dataclass(frozen=True)
class History:
    """What one user had before, summed up by item. An event counts as much as its strength, see `EventTable`.

    Attributes:
        rows: Distinct item rows, increasing, int32 `[items]`.
        counts: Strengths of the events with each, less those of returns and the like, above 0, float32 `[items]`.
        last: Epoch seconds of the newest event with each, int64 `[items]`.
        recent: The same, each halved for every 56 days that it came before the newest, float32 `[items]`.
    """

    rows: NDArray[np.int32]
    counts: NDArray[np.float32]
    last: NDArray[np.int64]
    recent: NDArray[np.float32]

    @classmethod
    def empty(cls) -> History:
        """The history of somebody new."""
        return cls(np.empty(0, np.int32), np.empty(0, np.float32), np.empty(0, np.int64), np.empty(0, np.float32))

    @classmethod
    def unpack(cls, packed: bytes) -> History:
        """Reads what `pack` wrote."""
        table = np.frombuffer(packed, _PACKED)
        return cls(*(np.ascontiguousarray(table[name]) for name in _PACKED.names or ()))

    def pack(self) -> bytes:
        """The history as one string, as it travels between stages."""
        table = np.empty(len(self), _PACKED)
        for name in _PACKED.names or ():
            table[name] = getattr(self, name)
        return table.tobytes()

    @classmethod
    def concatenated(cls, histories: Sequence[History]) -> History:
        """Returns several users' histories, one behind the other, so that rows repeat; one at least."""
        names = _PACKED.names or ()
        return cls(*(np.concatenate([getattr(history, name) for history in histories]) for name in names))

    def weights(self, now: float | NDArray[np.float64]) -> NDArray[np.float32]:
        """Strengths of the events with each item, halved for every 56 days of their age, float32 `[items]`.

        Args:
            now: Epoch seconds, of all or of each item `[items]`.
        """
        days = np.maximum(now - self.last, 0) / SECONDS_PER_DAY
        weights: NDArray[np.float32] = (self.recent * np.exp2(-days / HABIT_HALF_LIFE_DAYS)).astype(np.float32)
        return weights

    @classmethod
    def from_rows(cls, rows: Sequence[int], now: float) -> History:
        """A history that came with the request: item rows, newest last, all as of now."""
        distinct, counts = np.unique(np.asarray(rows, np.int32), return_counts=True)
        events = counts.astype(np.float32)
        return cls(distinct, events, np.full(len(distinct), int(now), np.int64), events)

    @classmethod
    def from_events(cls, rows: NDArray[np.int32], times: NDArray[np.int64], strengths: NDArray[np.float32]) -> History:
        """Sums events up by item: item rows, epoch seconds and what each counts, `[events]` each, in any order."""
        return cls._summed(rows, strengths, times, strengths)

    def joined(self, later: History) -> History:
        """Returns this history and another one of the same user: the items had last, where there are too many."""
        if not len(later):
            return self
        return self._summed(
            np.concatenate([self.rows, later.rows]),
            np.concatenate([self.counts, later.counts]),
            np.concatenate([self.last, later.last]),
            np.concatenate([self.recent, later.recent]),
        ).latest(MAX_ITEMS)

    def less(self, taken_away: History) -> History:
        """Returns this history without what was returned or disliked as much as it was had, and with less of the rest.

        Args:
            taken_away: The items, and the strengths to take from them.
        """
        if not len(self):
            return self
        places = np.minimum(np.searchsorted(taken_away.rows, self.rows), len(taken_away) - 1)
        known = taken_away.rows[places] == self.rows
        counts = self.counts - np.where(known, taken_away.counts[places], 0.0)
        recent = np.maximum(self.recent - np.where(known, taken_away.recent[places], 0.0), 0.0)
        kept = counts > ROUNDING
        return History(
            self.rows[kept], counts[kept].astype(np.float32), self.last[kept], recent[kept].astype(np.float32)
        )

    @classmethod
    def _summed(
        cls,
        rows: NDArray[np.int32],
        counts: NDArray[np.float32],
        last: NDArray[np.int64],
        recent: NDArray[np.float32],
    ) -> History:
        """Sums up by item what may name one several times; see the attributes, `[rows]` each."""
        distinct, item = np.unique(rows, return_inverse=True)
        newest = np.full(len(distinct), np.iinfo(np.int64).min, np.int64)
        np.maximum.at(newest, item, last)
        decay = np.exp2((last - newest[item]) / (HABIT_HALF_LIFE_DAYS * SECONDS_PER_DAY))
        sums = (np.bincount(item, weights=w, minlength=len(distinct)) for w in (counts, recent * decay))
        return cls(distinct.astype(np.int32), next(sums).astype(np.float32), newest, next(sums).astype(np.float32))

    def part(self, kept: NDArray[np.bool_]) -> History:
        """Returns some of the items, bool `[items]`."""
        return History(self.rows[kept], self.counts[kept], self.last[kept], self.recent[kept])

    def copied(self) -> History:
        """Returns the same in arrays of its own: a slice of a snapshot's keeps those of all users in memory."""
        return History(self.rows.copy(), self.counts.copy(), self.last.copy(), self.recent.copy())

    def latest(self, size: int) -> History:
        """Returns the items that were had last, `size` at most."""
        if len(self) <= size:
            return self
        kept = np.sort(np.argsort(-self.last, kind="stable")[:size])
        return History(self.rows[kept], self.counts[kept], self.last[kept], self.recent[kept])

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
        recent: NDArray[np.float32],
        places: Mapping[str, tuple[NDArray[np.int32], Sequence[str]]] | None = None,
    ) -> None:
        """Joins the arrays.

        Args:
            users: Sorted ids, bytes `[users]`.
            offsets: Where each user's slice begins, int64 `[users + 1]`.
            rows: Item row of each (user, item) pair, see `History`, int32 `[pairs]`.
            counts: Strengths of each pair's events, float32 `[pairs]`.
            last: Epoch seconds of each pair's newest event, int64 `[pairs]`.
            recent: Strengths of each pair's events, late ones counting more, float32 `[pairs]`.
            places: For each kind of place (`store`, `region`, `device`) the code of the one where each user has had
                most events lately, int32 `[users]`, -1 where unknown, and the codes' names.
        """
        self.users = users
        self._offsets, self._rows, self._counts, self._last, self._recent = offsets, rows, counts, last, recent
        self._places = dict(places or {})

    @classmethod
    def from_log(
        cls,
        user_ids: NDArray[np.bytes_],
        user: NDArray[np.int32],
        rows: NDArray[np.int32],
        times: NDArray[np.int64],
        places: Mapping[str, tuple[NDArray[np.int32], Sequence[str]]] | None = None,
        weights: NDArray[np.float32] | None = None,
        negatives: NegativeEvents | None = None,
    ) -> HistorySnapshot:
        """Sums a log up by user and item. An item that was returned or disliked as much as it was had is left out.

        Args:
            user_ids: Sorted ids `[users]`.
            user: Position in `user_ids` of each event `[events]`.
            rows: Item row of each event `[events]`.
            times: Epoch seconds of each event `[events]`.
            places: For each kind of place its codes by event `[events]`, -1 where unknown, and their names.
            weights: Strength of each event, float32 `[events]`; None counts each as 1.
            negatives: Events that take strength away; those of users who are not in `user_ids` are left out.
        """
        strengths = np.ones(len(user), np.float32) if weights is None else weights
        usual = {
            kind: (_usual_places(user, codes, times, len(user_ids), len(names)), names)
            for kind, (codes, names) in (places or {}).items()
        }
        if negatives is not None and len(negatives):
            known = negatives.part(negatives.user < len(user_ids))
            user, rows = np.concatenate([user, known.user]), np.concatenate([rows, known.item])
            times, strengths = np.concatenate([times, known.timestamp]), np.concatenate([strengths, -known.weight])
        pair_user, row, counts, last, recent = _sum_by_blocks(user, rows, times, strengths)
        offsets = np.searchsorted(pair_user, np.arange(len(user_ids) + 1)).astype(np.int64)
        return cls(user_ids, offsets, row, counts, last, recent, usual)

    @classmethod
    def open(cls, folder: Path) -> HistorySnapshot:
        """Maps the snapshot in `folder`."""
        names = json.loads((folder / "places.json").read_text("utf-8"))
        places = {kind: (map_array(folder / f"places.{kind}.npy"), words) for kind, words in names.items()}
        return cls(**{name: map_array(folder / f"{name}.npy") for name in _FILES}, places=places)

    def save(self, folder: Path) -> None:
        """Writes the snapshot as one `.npy` an array."""
        folder.mkdir(parents=True)
        arrays: tuple[NDArray[Any], ...] = (
            *(self.users, self._offsets, self._rows),
            *(self._counts, self._last, self._recent),
        )
        for name, array in zip(_FILES, arrays, strict=True):
            np.save(folder / f"{name}.npy", array)
        for kind, (codes, _) in self._places.items():
            np.save(folder / f"places.{kind}.npy", codes)
        names = {kind: list(words) for kind, (_, words) in self._places.items()}
        (folder / "places.json").write_text(json.dumps(names, ensure_ascii=False), "utf-8")

    def __len__(self) -> int:
        return len(self.users)

    @property
    def pairs(self) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]:
        """Each pair's position of the user, item row, strengths and newest event, by user and item; `[pairs]` each."""
        users = np.repeat(np.arange(len(self.users), dtype=np.int32), np.diff(self._offsets))
        return users, self._rows, self._counts, self._last

    @property
    def slices(self) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
        """Where each user's pairs begin `[users + 1]`, and each pair's item row and newest event `[pairs]`."""
        return self._offsets, self._rows, self._last

    @cached_property
    def by_item(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Where each item's pairs begin in the second array `[items + 1]`, and the places of all pairs by item."""
        order = np.argsort(self._rows, kind="stable").astype(np.int32)
        items = int(self._rows.max(initial=-1)) + 1
        return np.searchsorted(self._rows[order], np.arange(items + 1)), order

    def row(self, user_id: str) -> int:
        """Position of a user, or -1 for one the log does not know."""
        return find_row(self.users, user_id)

    def get(self, user_id: str) -> History | None:
        """The user's history, or None for a user the log does not know."""
        row = self.row(user_id)
        return None if row < 0 else self.at(row)

    def at(self, row: int) -> History:
        """The history of the user at `row`: the items had last, where there are more than a request carries."""
        part = slice(int(self._offsets[row]), int(self._offsets[row + 1]))
        return History(self._rows[part], self._counts[part], self._last[part], self._recent[part]).latest(MAX_ITEMS)

    def count_common_users(self, row: int, rows: NDArray[np.int32]) -> NDArray[np.int64]:
        """Returns how many users had an item and each of some others, int64 `[rows]`.

        It scans the items of all users (4 ms for ten million).
        """
        users = np.searchsorted(self._offsets, np.flatnonzero(self._rows == row), "right") - 1
        starts, ends = self._offsets[users], self._offsets[users + 1]
        lengths = ends - starts
        pairs = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
        counts = np.bincount(self._rows[pairs], minlength=int(rows.max(initial=-1)) + 1)
        common: NDArray[np.int64] = counts[rows].astype(np.int64)
        return common

    def places(self, row: int) -> dict[str, str]:
        """Where the user at `row` usually is: a name by kind of place, as far as the log knows."""
        known = ((kind, names, int(codes[row])) for kind, (codes, names) in self._places.items())
        return {kind: names[code] for kind, names, code in known if code >= 0}


def digest(*arrays: NDArray[Any]) -> bytes:
    """A key of 16 bytes for the arrays' contents, under which to cache what was computed from them."""
    return blake2b(b"".join(array.tobytes() for array in arrays), digest_size=16).digest()


def _sum_by_pair(
    user: NDArray[np.int32], rows: NDArray[np.int32], times: NDArray[np.int64], strengths: NDArray[np.float32]
) -> _Pairs:
    """Sums events up by (user, item), in the order of both, without pairs of which nothing is left.

    Returns:
        The pairs' users and item rows, the strengths of each, epoch seconds of the newest event that says that the item
        was wanted, and the strengths with late ones counting more, each `[pairs]`.
    """
    order = np.lexsort((times, rows, user))
    user, rows, times, strengths = user[order], rows[order], times[order], strengths[order]
    starts = np.flatnonzero(np.diff(user, prepend=-1).astype(bool) | np.diff(rows, prepend=-1).astype(bool))
    pair = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(user)))
    last = np.maximum.reduceat(np.where(strengths > 0, times, -1), starts)
    age = np.maximum(last[pair] - times, 0) / (HABIT_HALF_LIFE_DAYS * SECONDS_PER_DAY)
    counts = np.bincount(pair, weights=strengths, minlength=len(starts)).astype(np.float32)
    recent = np.bincount(pair, weights=strengths * np.exp2(-age), minlength=len(starts)).astype(np.float32)
    kept = counts > ROUNDING
    starts = starts[kept]
    newest = last[kept].astype(np.int64)
    return user[starts], rows[starts].astype(np.int32), counts[kept], newest, np.maximum(recent[kept], 0.0)


def _sum_by_blocks(
    user: NDArray[np.int32], rows: NDArray[np.int32], times: NDArray[np.int64], strengths: NDArray[np.float32]
) -> _Pairs:
    """Returns what `_sum_by_pair` does, a block of users at a time; no pair is in memory twice."""
    size, end = len(user), 0
    # The system gives a page of these when it is written to: what stays empty takes no memory.
    pairs: list[NDArray[Any]] = [np.empty(size, kind) for kind in (*(np.int32,) * 2, np.float32, np.int64, np.float32)]
    for block in user_blocks(user):
        part = _sum_by_pair(user[block], rows[block], times[block], strengths[block])
        start, end = end, end + len(part[0])
        for column, values in zip(pairs, part, strict=True):
            column[start:end] = values
    of_user, of_row, counts, last, recent = (column[:end] for column in pairs)
    return of_user, of_row, counts, last, recent


def _usual_places(
    user: NDArray[np.int32], codes: NDArray[np.int32], times: NDArray[np.int64], users: int, names: int
) -> NDArray[np.int32]:
    """The code of the place where each user has had most events, late ones counting more; int32 `[users]`."""
    known = codes >= 0
    pairs, pair_of_event = np.unique(user[known].astype(np.int64) * names + codes[known], return_inverse=True)
    age = (times.max(initial=0) - times[known]) / (HALF_LIFE_DAYS * SECONDS_PER_DAY)
    weight = np.bincount(pair_of_event, weights=np.exp2(-age), minlength=len(pairs))
    usual = np.full(users, -1, np.int32)
    # The heaviest pair of a user is written last.
    order = np.argsort(weight, kind="stable")
    usual[pairs[order] // max(names, 1)] = pairs[order] % max(names, 1)
    return usual


_FILES = ("users", "offsets", "rows", "counts", "last", "recent")
