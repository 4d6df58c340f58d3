"""Arrays on disk, mapped into memory: every process of a server shares one copy in the page cache."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.contract.identity import clean_identity


def map_array(path: Path, mode: Literal["r", "c"] = "r") -> NDArray[Any]:
    """Maps a `.npy` file as a plain array: the `memmap` subclass makes every operation slower.

    Args:
        path: The file.
        mode: `r` is read-only; `c` (copy on write) is for libraries that want a writable buffer: what they write stays
            in this process.
    """
    return np.asarray(np.load(path, mmap_mode=mode))


def release_pages(array: Any) -> None:
    """Takes the pages of a read-only mapped array out of this process's memory; they are mapped again when read.

    Arrays of another kind stay as they are.
    """
    part = array
    while part is not None:
        mapping = getattr(part, "_mmap", None)
        if mapping is not None:
            if part.mode == "r":
                mapping.madvise(mmap.MADV_DONTNEED)
            return
        part = getattr(part, "base", None)


class RowSource(Protocol):
    """Rows that may lie in several arrays; a numpy array is one."""

    def __len__(self) -> int:
        """How many rows there are."""
        ...

    def __getitem__(self, rows: NDArray[Any], /) -> Any:
        """The rows at some positions, `[rows, …]`."""
        ...


class GrownRows:
    """The rows of an array that is mapped, and behind them some that came later."""

    def __init__(self, bundled: NDArray[Any], added: NDArray[Any]) -> None:
        """Joins rows `[bundled, dim]` and `[added, dim]`."""
        self.bundled, self.added = bundled, added

    def __len__(self) -> int:
        return len(self.bundled) + len(self.added)

    def __getitem__(self, rows: NDArray[Any], /) -> Any:
        if not len(self.added):
            return self.bundled[rows]
        rows = np.asarray(rows)
        late = rows >= len(self.bundled)
        out = self.bundled[np.where(late, 0, rows)]
        out[late] = self.added[rows[late] - len(self.bundled)]
        return out


def find_row(ids: NDArray[np.bytes_], wanted: str) -> int:
    """Returns the position of an id, as `clean_identity` spells it, in a sorted array of ids, or -1."""
    key = clean_identity(wanted).encode()
    if len(key) > ids.dtype.itemsize:
        return -1
    row = int(np.searchsorted(ids, key))
    return row if row < len(ids) and ids[row] == key else -1
