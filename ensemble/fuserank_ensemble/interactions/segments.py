"""What a shop says of its users: segment, tier, tags and the like, as of the bundle."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.arrays import find_row, map_array

USER = "user."  # before a column's name in the name of a context, which no place or hour begins with
ALWAYS = np.iinfo(np.int64).min  # since when a row holds that names no moment


def groups_of(segments: Mapping[str, Sequence[str]], context: Mapping[str, str]) -> dict[str, Sequence[str]]:
    """Returns the groups that a request is of, by kind, as `Contexts` names them.

    Args:
        segments: What the shop says of the user: values by column.
        context: Where and on what the request is made, such as a store and a device, by kind.
    """
    of_user = {f"{USER}{name}": values for name, values in segments.items()}
    return of_user | {kind: [name] for kind, name in context.items()}


@dataclass(frozen=True)
class SegmentColumn:
    """One column of the users: none, one or several values each.

    Attributes:
        offsets: Where each user's values begin, int64 `[users + 1]`.
        codes: Positions in `words`, int32 `[values]`.
        words: The distinct values, sorted.
    """

    offsets: NDArray[np.int64]
    codes: NDArray[np.int32]
    words: Sequence[str]


@dataclass(frozen=True)
class UserSegments:
    """All users' values, sorted by id.

    Attributes:
        users: Sorted ids, bytes `[users]`.
        since: Epoch seconds from which on each user's row is known, int64 `[users]`; `ALWAYS` where it names none.
        columns: The columns by name.
    """

    users: NDArray[np.bytes_]
    since: NDArray[np.int64]
    columns: Mapping[str, SegmentColumn]

    @classmethod
    def empty(cls) -> UserSegments:
        """Of a shop that says nothing of its users."""
        return cls(np.empty(0, "S1"), np.empty(0, np.int64), {})

    def __len__(self) -> int:
        return len(self.users)

    def row(self, user_id: str) -> int:
        """Position of a user, or -1 for one of whom nothing is said."""
        return find_row(self.users, user_id)

    def values(self, user_id: str, now: float) -> dict[str, list[str]]:
        """Returns what is known of a user at a moment, epoch seconds: values by column, of those that have any."""
        row = self.row(user_id) if self.columns else -1
        if row < 0 or self.since[row] > now:
            return {}
        known = {}
        for name, column in self.columns.items():
            codes = column.codes[column.offsets[row] : column.offsets[row + 1]]
            if len(codes):
                known[name] = [column.words[code] for code in codes.tolist()]
        return known

    def without(self, users: Collection[str]) -> UserSegments:
        """Returns the same of all other users."""
        dropped = np.asarray([user.encode() for user in users], self.users.dtype if len(users) else "S1")
        kept = ~np.isin(self.users, dropped)
        return self if kept.all() else self.part(np.flatnonzero(kept))

    def part(self, rows: NDArray[np.int64]) -> UserSegments:
        """Returns some users in another order; `rows` are their positions here, int64 `[kept]`."""
        columns = {}
        for name, column in self.columns.items():
            counts = np.diff(column.offsets)[rows]
            offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
            places = np.repeat(column.offsets[rows] - offsets[:-1], counts) + np.arange(offsets[-1])
            columns[name] = SegmentColumn(offsets, column.codes[places], column.words)
        return UserSegments(self.users[rows], self.since[rows], columns)

    def save(self, folder: Path) -> None:
        """Writes one `.npy` an array, and the columns' names and words."""
        folder.mkdir(parents=True)
        np.save(folder / "users.npy", self.users)
        np.save(folder / "since.npy", self.since)
        for position, column in enumerate(self.columns.values()):
            # Files are numbered: a column's name may hold anything, a file's name may not.
            np.save(folder / f"{position}.offsets.npy", column.offsets)
            np.save(folder / f"{position}.codes.npy", column.codes)
        words = {name: list(column.words) for name, column in self.columns.items()}
        (folder / "columns.json").write_text(json.dumps(words, ensure_ascii=False), "utf-8")

    @classmethod
    def open(cls, folder: Path) -> UserSegments:
        """Maps what `save` wrote; nothing where the folder is not there."""
        if not folder.exists():
            return cls.empty()
        words = json.loads((folder / "columns.json").read_text("utf-8"))
        columns = {
            name: SegmentColumn(
                map_array(folder / f"{position}.offsets.npy"), map_array(folder / f"{position}.codes.npy"), of_column
            )
            for position, (name, of_column) in enumerate(words.items())
        }
        return cls(map_array(folder / "users.npy"), map_array(folder / "since.npy"), columns)
