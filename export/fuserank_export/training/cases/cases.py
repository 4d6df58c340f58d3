"""Training cases: requests with candidates, their features and their labels, as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.features import FEATURES
from fuserank_ensemble.contract.options import HEADS
from fuserank_ensemble.interactions.sequence import MOMENT_DIM
from fuserank_export.memory import empty_array


@dataclass(frozen=True)
class Cases:
    """Requests with their candidates.

    Attributes:
        kinds: What each request held, `[cases]`.
        rows: The candidates, -1 where there are fewer, int32 `[cases, K]`.
        features: float32 `[cases, K, F]`, NaN where missing.
        texts: Rows of the candidates' text vectors, -1 where there are fewer, int32 `[cases, K]`.
        events: Rows of the text vectors of the user's latest items, -1 where there are fewer, int32 `[cases, N]`.
        moments: See `fuserank_ensemble.interactions.sequence.moments`, float32 `[cases, N, 3]`.
        reading: The text tower's logits, NaN for candidates that it has not read, float32 `[cases, K]`.
        labels: 1, 0, or NaN where a head has no label, float32 `[cases, K, H]`.
        positions: Where each candidate was shown, from 1; 0 where unknown, int32 `[cases, K]`.
        propensities: The probability with which it was shown there; NaN where unknown, float32 `[cases, K]`.
    """

    kinds: NDArray[np.str_]
    rows: NDArray[np.int32]
    features: NDArray[np.float32]
    texts: NDArray[np.int32]
    events: NDArray[np.int32]
    moments: NDArray[np.float32]
    reading: NDArray[np.float32]
    labels: NDArray[np.float32]
    positions: NDArray[np.int32]
    propensities: NDArray[np.float32]

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which candidates are real, bool `[cases, K]`."""
        return self.rows >= 0

    @property
    def retrieved(self) -> Cases:
        """The cases whose candidates were retrieved: a shown list holds what another ranking chose."""
        shown = self.positions.any(1)
        return self.part(~shown) if shown.any() else self

    @classmethod
    def blank(cls, kinds: Sequence[str], candidates: int, events: int, features: int = len(FEATURES)) -> Cases:
        """Returns cases to be filled in: no candidates, nothing known."""
        count = len(kinds)
        return cls(
            np.asarray(kinds, np.str_),
            np.full((count, candidates), -1, np.int32),
            np.full((count, candidates, features), np.nan, np.float32),
            np.full((count, candidates), -1, np.int32),
            np.full((count, events), -1, np.int32),
            np.zeros((count, events, MOMENT_DIM), np.float32),
            np.full((count, candidates), np.nan, np.float32),
            np.full((count, candidates, len(HEADS)), np.nan, np.float32),
            np.zeros((count, candidates), np.int32),
            np.full((count, candidates), np.nan, np.float32),
        )

    def part(self, selected: slice | NDArray[np.bool_]) -> Cases:
        """Returns some of the cases."""
        return Cases(*(getattr(self, field.name)[selected] for field in fields(self)))

    def with_columns(self, columns: Sequence[int], folder: Path | None = None) -> Cases:
        """Returns the cases with some columns of their features alone; those side by side are not copied.

        Args:
            columns: The columns.
            folder: Where a copy lies, see `empty_array`; None holds it in memory.
        """
        if list(columns) == list(range(self.features.shape[-1])):
            return self
        first = columns[0] if len(columns) else 0
        are_side_by_side = list(columns) == list(range(first, first + len(columns)))
        if are_side_by_side:
            return replace(self, features=self.features[..., first : first + len(columns)])
        chosen = empty_array((*self.features.shape[:-1], len(columns)), np.float32, folder)
        # Any other mode makes the whole of it in memory first.
        np.take(self.features, columns, axis=-1, out=chosen, mode="clip")
        return replace(self, features=chosen)

    def __len__(self) -> int:
        return len(self.kinds)

    @classmethod
    def joined(cls, parts: Sequence[Cases], folder: Path | None = None) -> Cases:
        """Concatenates cases; see `collected`."""
        return cls.collected(parts, sum(map(len, parts)), folder)

    @classmethod
    def collected(cls, parts: Iterable[Cases], count: int, folder: Path | None = None) -> Cases:
        """Returns cases that come in parts, one or more, so that no more than one part is in memory twice.

        Args:
            parts: The parts; who yields them lets go of them.
            count: How many cases they have together.
            folder: Where they lie, see `empty_array`; None holds them in memory.
        """
        arrays: dict[str, NDArray[Any]] = {}
        kinds, start = list[NDArray[np.str_]](), 0
        for part in parts:
            kinds.append(part.kinds)
            for name in (field.name for field in fields(cls)[1:]):
                values = getattr(part, name)
                if name not in arrays:
                    arrays[name] = empty_array((count, *values.shape[1:]), values.dtype, folder)
                arrays[name][start : start + len(part)] = values
            start += len(part)
        return cls(np.concatenate(kinds), **arrays)
