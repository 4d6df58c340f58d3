"""Collects columns chunk by chunk: texts as integer codes, and blocks that are joined at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass
class TextCodes:
    """Gives each distinct text an integer code, in order of first appearance.

    Attributes:
        codes: Code of each text so far.
        names: What texts are called instead, see `rename`.
    """

    codes: dict[str, int] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def encode(self, values: NDArray[np.object_]) -> NDArray[np.int32]:
        """Returns the code of each text `[rows]`, int32; -1 for None. A new text gets the next code."""
        places, distinct = pd.factorize(values)
        if not len(distinct):
            return np.broadcast_to(np.int32(-1), len(values))  # a column that is not there takes no memory
        codes = [self.codes.setdefault(value, len(self.codes)) for value in distinct]
        return np.array([*codes, -1], dtype=np.int32)[places]

    def rename(self, names: Mapping[str, str]) -> None:
        """Gives texts other names; one that another text has already shares its code from then on."""
        self.names = dict(names)

    def sort(self, codes: NDArray[Any]) -> tuple[NDArray[np.int32], list[str]]:
        """Renumbers codes so that they follow the order of the texts' UTF-8 bytes.

        Args:
            codes: What `encode` returned, `[rows]`.

        Returns:
            The new codes, int32 `[rows]`, and the texts by new code.
        """
        renamed = [self.names.get(name, name) for name in self.codes]
        names = sorted(set(renamed))  # Python compares code points, whose order is that of the UTF-8 bytes
        rank = {name: position for position, name in enumerate(names)}
        ranks = np.full(len(self.codes) + 1, -1, dtype=np.int32)
        ranks[list(self.codes.values())] = [rank[name] for name in renamed]
        return ranks[codes], names


@dataclass
class ColumnBlocks:
    """Parallel columns, each a list of the blocks that were appended.

    Attributes:
        columns: Blocks by column name.
    """

    columns: dict[str, list[NDArray[Any]]] = field(default_factory=dict)

    def append(self, name: str, values: NDArray[Any]) -> None:
        """Appends a block to a column."""
        self.columns.setdefault(name, []).append(values)

    def drop(self, name: str) -> None:
        """Removes a column, where it is there."""
        self.columns.pop(name, None)

    def __bool__(self) -> bool:
        return bool(self.columns)

    def join(self, by: str) -> dict[str, NDArray[Any]]:
        """Removes all blocks and returns each column as one array `[rows]`.

        Args:
            by: The column to sort the rows by; rows with equal values keep their order.
        """
        keys = np.concatenate(self.columns[by])
        order = None if (keys[1:] >= keys[:-1]).all() else np.argsort(keys, kind="stable")  # as a rule they are sorted
        del keys
        joined = {}
        # Column by column, so that at most one column is in memory twice.
        for name in list(self.columns):
            column = np.concatenate(self.columns.pop(name))
            joined[name] = column if order is None else column[order]
        return joined
