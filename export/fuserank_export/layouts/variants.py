"""Joins the rows of a product's variants to one row, and takes apart the cells in which shops list options."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import pandas as pd

from fuserank_export.layouts.mapping import find_name

STANDARD = frozenset(
    {"itemid", "title", "description", "category", "brand", "price", "instock", "createdat", "imageurl"}
)
Rule = Callable[[list[Any]], Any]


def is_blank(value: Any) -> bool:
    """Returns whether a cell holds nothing: None, NaN or blank text."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    return isinstance(value, str) and not value.strip()


def take_first(values: list[Any]) -> Any:
    """Returns the first of a product's values."""
    return values[0] if values else None


def take_all(values: list[Any]) -> Any:
    """Returns the distinct values of a product as a list; None where there are none."""
    return list(dict.fromkeys(str(value).strip() for value in values)) or None


def take_lowest(values: list[Any]) -> Any:
    """Returns the lowest number as the file writes it; the first value where one is no number."""
    try:
        return min(values, key=lambda value: float(str(value)), default=None)
    except ValueError:
        return take_first(values)


def cell(row: Mapping[str, Any], name: str) -> Any:
    """Returns a row's value of a column in any spelling; None where it is blank or missing."""
    found = name if name in row else _spelling(tuple(row), name)
    value = row[found] if found is not None else None
    return None if is_blank(value) else value


@lru_cache(maxsize=4096)
def _spelling(columns: tuple[str, ...], name: str) -> str | None:
    return find_name(columns, name)


def join_products(
    rows: Sequence[Mapping[str, Any]],
    rules: Mapping[str, Rule],
    options: Iterable[tuple[Any, Any]],
) -> dict[str, Any]:
    """Returns one row for the rows of a product.

    Args:
        rows: The product's row and those of its variants; of most columns the first value counts.
        rules: What to take of a column's values where it is not the first, by the column's name in the file.
        options: Names and values of its options; each name becomes a column of its distinct values.
    """
    joined = {
        name: rules.get(name, take_first)([row[name] for row in rows if not is_blank(row.get(name))])
        for name in rows[0]
    }
    values: dict[str, list[str]] = {}
    for name, value in options:
        if not is_blank(name) and not is_blank(value):
            known = values.setdefault(option_column(str(name).strip(), joined), [])
            if (text := str(value).strip()) not in known:
                known.append(text)
    return {**joined, **values}


def option_column(name: str, columns: Collection[str]) -> str:
    """Returns the column of an option: its name, unless a column of the file or of the product has that."""
    taken = find_name(columns, name) is not None or find_name(STANDARD, name) is not None
    return f"option {name}" if taken else name


def rules_of(columns: Iterable[str], rules: Mapping[str, Rule]) -> dict[str, Rule]:
    """Returns rules by the file's own spelling of their columns."""
    names = list(columns)
    return {found: rule for name, rule in rules.items() if (found := find_name(names, name)) is not None}


def to_frame(rows: Sequence[Mapping[str, Any]], lines: Sequence[int], columns: Iterable[str] = ()) -> pd.DataFrame:
    """Returns rows as a frame of objects whose index is their lines; without rows, one of the columns."""
    names = list(dict.fromkeys([*columns, *(name for row in rows for name in row)]))
    index = pd.Index(list(lines), dtype="int64")
    data = {name: pd.Series([row.get(name) for row in rows], index=index, dtype=object) for name in names}
    return pd.DataFrame(data, index=index)


def deepest(paths: Iterable[str], separator: str) -> str | None:
    """Returns the category path with the most levels, ` > ` between them; the first of several."""
    levels = [[level for part in path.split(separator) if (level := part.strip())] for path in paths]
    best: list[str] = max(levels, key=len, default=[])
    return " > ".join(best) or None
