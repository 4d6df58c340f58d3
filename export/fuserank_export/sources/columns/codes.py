"""Columns that grow chunk by chunk: texts as numbers, and blocks that are joined once all are there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass
class Codes:
    """Numbers for texts, in order of first appearance; sorted only once all are known."""

    numbers: dict[str, int] = field(default_factory=dict)

    def encode(self, values: NDArray[np.object_]) -> NDArray[np.int32]:
        """The number of each text, new ones getting the next; -1 for None."""
        codes, distinct = pd.factorize(values)
        numbers = [self.numbers.setdefault(value, len(self.numbers)) for value in distinct]
        return np.array([*numbers, -1], dtype=np.int32)[codes]

    def sort(self, codes: NDArray[Any]) -> tuple[NDArray[np.int32], list[str]]:
        """Renumbers by the texts' UTF-8 bytes, whose order is that of Python's code points."""
        names = sorted(self.numbers)
        ranks = np.full(len(names) + 1, -1, dtype=np.int32)
        ranks[[self.numbers[name] for name in names]] = np.arange(len(names), dtype=np.int32)
        return ranks[codes], names


@dataclass
class Blocks:
    """Parallel columns, each a list of blocks so far."""

    columns: dict[str, list[NDArray[Any]]] = field(default_factory=dict)

    def append(self, name: str, values: NDArray[Any]) -> None:
        """Puts a block at the end of a column."""
        self.columns.setdefault(name, []).append(values)

    def __bool__(self) -> bool:
        return bool(self.columns)

    def joined(self, by: str) -> dict[str, NDArray[Any]]:
        """Each column as one array, sorted by one of them; equal values keep their order. Empties the blocks."""
        order = np.argsort(np.concatenate(self.columns[by]), kind="stable")
        # One column at a time gives up its blocks, so that at most one exists twice.
        return {name: np.concatenate(self.columns.pop(name))[order] for name in list(self.columns)}
