"""Takes nested values apart: lists become rows, lists of keys and values become objects, paths become columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fuserank_export.layouts.mapping import find_name


def take_column(chunk: pd.DataFrame, path: str) -> pd.Series[Any] | None:
    """Returns a column, or what lies at a path with dots into one, `[rows]`; None where there is none."""
    name = find_name(map(str, chunk.columns), path)
    if name is not None:
        return chunk[name]
    split = _split_path(chunk, path)
    if split is None:
        return None
    name, keys = split
    values = [_dig(value, keys) for value in chunk[name]]
    if all(value is None for value in values) and values:
        return None
    return pd.Series(values, index=chunk.index, dtype=object)


def root_column(chunk: pd.DataFrame, path: str) -> str | None:
    """Returns the name of the column that a path begins with; None where there is none."""
    name = find_name(map(str, chunk.columns), path)
    if name is not None:
        return name
    split = _split_path(chunk, path)
    return split[0] if split else None


def unfold_rows(chunk: pd.DataFrame, path: str) -> tuple[pd.DataFrame, pd.Series[Any]]:
    """Makes a row of each entry of a list; the entry takes the list's place. A row without entries stays as it is.

    Returns:
        The rows, each with the index of the row that it comes from; and whether it came from a list, `[rows]`.
    """
    split = _split_path(chunk, path)
    if split is None:
        return chunk, pd.Series(False, index=chunk.index)
    name, keys = split
    rows: list[int] = []
    values: list[Any] = []
    unfolded: list[bool] = []
    for row, value in enumerate(map(_parse_json, chunk[name])):
        entries = _dig(value, keys)
        entries = entries if isinstance(entries, list) else [entries] if isinstance(entries, dict) else []
        rows += [row] * max(len(entries), 1)
        values += [_replace(value, keys, entry) for entry in entries] or [_replace(value, keys, None)]
        unfolded += [True] * len(entries) or [False]
    result = chunk.iloc[rows].copy()
    result[name] = pd.Series(values, index=result.index, dtype=object)
    return result, pd.Series(unfolded, index=result.index)


def join_pairs(values: pd.Series[Any]) -> pd.Series[Any]:
    """Returns lists of `{"key": …, "value": …}` as objects; a value may lie in an object by type, as in BigQuery."""
    return pd.Series([_join_pairs(_parse_json(value)) for value in values], index=values.index, dtype=object)


def _split_path(chunk: pd.DataFrame, path: str) -> tuple[str, list[str]] | None:
    """Returns the column that a path begins with, and the keys behind it."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        name = find_name(map(str, chunk.columns), ".".join(parts[:length]))
        if name is not None:
            return name, parts[length:]
    return None


def _dig(value: Any, keys: Sequence[str]) -> Any:
    """Returns what lies below keys; of a list, what lies below its first entry."""
    for key in keys:
        value = _parse_json(value)
        if isinstance(value, list):
            value = value[0] if value else None
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _replace(value: Any, keys: Sequence[str], entry: Any) -> Any:
    if not keys:
        return entry
    inside = value if isinstance(value, dict) else {}
    return {**inside, keys[0]: _replace(inside.get(keys[0]), keys[1:], entry)}


def _join_pairs(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return {str(pair["key"]): _scalar(pair.get("value")) for pair in value if isinstance(pair, dict) and "key" in pair}


def _scalar(value: Any) -> Any:
    """Returns the one of several typed values that is there."""
    if not isinstance(value, dict):
        return value
    return next((typed for typed in value.values() if typed is not None), None)


def _parse_json(value: Any) -> Any:
    """Returns the value of a text that is a JSON list or object, as CSV files hold them; all else as it is."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value
