"""Computes the features of a catalogue's own columns, such as a rating, a margin or a season."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.filters import Column
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.retrieval.own_features import LIFTS, OwnFeature

FloatArray = NDArray[np.float32]


class OwnItemFeatures:
    """A shop's own columns of the ranker's input, from its catalogue's columns; those of groups stay unknown."""

    def __init__(self, items: Items, features: Sequence[OwnFeature]) -> None:
        """Takes the catalogue, and which columns; of a column that the catalogue has not, nothing is known."""
        columns = items.columns.by_name
        self._by_item = np.full((len(items), len(features)), np.nan, np.float32)  # [items, features]
        self._shares: dict[int, NDArray[np.int32]] = {}  # the items' values, by the features that are shares
        for position, feature in enumerate(features):
            column = columns.get(feature.source)
            if column is None or feature.form in LIFTS:  # a catalogue may have a column named as a kind of group
                continue
            if feature.form == "share":
                self._shares[position] = column.values
            else:
                self._by_item[:, position] = item_values(column, feature, len(items))

    def __len__(self) -> int:
        return self._by_item.shape[1]

    def __call__(self, rows: NDArray[np.int32], seen: History) -> FloatArray:
        """Returns the features of some items to a user.

        Args:
            rows: Item rows, int32 `[rows]`.
            seen: The user's history.

        Returns:
            float32 `[rows, features]`, NaN where nothing is known.
        """
        out = self._by_item[rows]
        for position, codes in self._shares.items():
            out[:, position] = _shares_of_events(codes, rows, seen)
        return out


def item_values(column: Column, feature: OwnFeature, items: int) -> FloatArray:
    """Returns what a column says of each item, as its feature takes it: float32 `[items]`, NaN where missing."""
    if feature.form in ("number", "log"):
        values = numbers(column)
        return (np.log1p(np.maximum(values, 0.0)) if feature.form == "log" else values).astype(np.float32)
    if feature.form == "flag":
        return np.where(column.values >= 0, column.values, np.nan).astype(np.float32)
    code = column.words.index(feature.value) if feature.value in column.words else len(column.words)
    if column.owners is None:
        return np.where(column.values >= 0, column.values == code, np.nan).astype(np.float32)
    out = np.full(items, np.nan, np.float32)
    out[column.owners] = 0.0
    out[column.owners[column.values == code]] = 1.0
    return out


def numbers(column: Column) -> NDArray[np.float64]:
    """Returns a column's numbers `[items]`, NaN where missing; of a column of texts those that read as numbers."""
    if column.kind == "number":
        return np.asarray(column.values, np.float64)
    # The place behind the last word is that of a missing value, whose code is -1.
    of_words = np.asarray([*map(read_number, column.words), math.nan], np.float64)
    return of_words[np.asarray(column.values, np.int32)]


def read_number(text: str) -> float:
    """Returns the finite number that a text is; NaN where it is none."""
    try:
        number = float(text) if "_" not in text else math.nan
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def _shares_of_events(codes: NDArray[np.int32], rows: NDArray[np.int32], seen: History) -> FloatArray:
    """The share of a user's events with items of each row's value, `[rows]`; NaN without such a value or events."""
    known = codes[seen.rows] >= 0
    if not known.any():
        return np.full(len(rows), np.nan, np.float32)
    counts = np.bincount(codes[seen.rows][known], seen.counts[known], minlength=int(codes.max()) + 1)
    wanted = codes[rows]
    return np.where(wanted >= 0, counts[wanted] / counts.sum(), np.nan).astype(np.float32)
