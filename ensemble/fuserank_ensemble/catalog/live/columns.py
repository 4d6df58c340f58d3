"""Columns in which some items have other values."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.filters import Column, Columns


def patch_columns(columns: Columns, values: Mapping[str, Mapping[int, Any]]) -> Columns:
    """Returns the columns with some items' other values; columns without any are shared, not copied.

    Args:
        columns: The columns as they were, which stay as they are.
        values: New values by column and row, None where an item has none; what is no column is passed over.
    """
    known = {name: of_rows for name, of_rows in values.items() if name in columns.by_name and of_rows}
    if not known:
        return columns
    patched = {name: patch_column(columns.by_name[name], of_rows) for name, of_rows in known.items()}
    return Columns(columns.items, {**columns.by_name, **patched})


def patch_column(column: Column, values: Mapping[int, Any]) -> Column:
    """Returns a column with some items' other values; a value of another kind than the column's is missing.

    Args:
        column: The column, whose arrays stay as they are.
        values: New values by row; None where an item has none.
    """
    rows = np.fromiter(values, np.int32, len(values))
    if column.kind in ("number", "bool"):
        read = _number if column.kind == "number" else _truth
        copied = column.values.copy()
        copied[rows] = [read(value) for value in values.values()]
        return replace(column, values=copied)
    words_of = [list(map(str, _elements(value))) for value in values.values()]
    if column.kind != "keywords":
        words_of = [words[:1] for words in words_of]
    column = _with_words(column, {word for words in words_of for word in words})
    codes_of = [[bisect.bisect_left(column.words, word) for word in words] for words in words_of]
    if column.owners is not None:
        return _with_keywords(column, rows, codes_of)
    copied = column.values.copy()
    copied[rows] = [codes[0] if codes else -1 for codes in codes_of]
    return replace(column, values=copied)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else np.nan


def _truth(value: Any) -> int:
    return int(value) if isinstance(value, bool) else -1


def _elements(value: Any) -> Iterable[Any]:
    if value is None or isinstance(value, dict):
        return ()
    return value if isinstance(value, list | tuple) else (value,)


def _with_words(column: Column, words: set[str]) -> Column:
    """The column with codes for some words that it may not have yet; its words stay sorted."""
    new = sorted(words.difference(column.words))
    if not new:
        return column
    codes = np.arange(len(column.words), dtype=np.int32)
    before = [bisect.bisect_left(column.words, word) for word in new]  # how many of the old ones stand before each
    # Of the code behind the last word, which stands for a missing value, it is -1 as before.
    moved = np.append(codes + np.searchsorted(before, codes, "right").astype(np.int32), np.int32(-1))
    return replace(column, values=moved[column.values], words=sorted([*column.words, *new]))


def _with_keywords(column: Column, rows: NDArray[np.int32], codes_of: list[list[int]]) -> Column:
    """The column with other values of some items; those of an item stand together, items in the order of rows."""
    assert column.owners is not None
    kept = ~np.isin(column.owners, rows)
    owners = np.concatenate([column.owners[kept], np.repeat(rows, [len(codes) for codes in codes_of])])
    values = np.concatenate([column.values[kept], np.asarray([code for codes in codes_of for code in codes], np.int32)])
    order = np.argsort(owners, kind="stable")
    return replace(column, values=values[order].astype(np.int32), owners=owners[order].astype(np.int32))
