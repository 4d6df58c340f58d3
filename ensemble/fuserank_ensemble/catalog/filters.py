"""The filter language of a request, and its evaluation over the catalogue's columns.

A filter is a JSON object; all its conditions must hold:

    {"brand": "Acme"}                         equals
    {"brand": ["Acme", "Zenith"]}             is one of
    {"price": {"gte": 1, "lt": 5}}            lies in a range (gt, gte, lt, lte)
    {"category": "Grocery > Dairy"}           lies in that category or below it, or in one of its `categories`
    {"and": [..]}, {"or": [..]}, {"not": {}}  combinations
"""

from __future__ import annotations

import bisect
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.contract.errors import Description, InvalidRequestError, nearest
from fuserank_ensemble.contract.identity import clean_identity

Kind = Literal["number", "bool", "keyword", "keywords", "category"]
Mask = NDArray[np.bool_]
Predicate = Callable[["Columns"], Mask]

CATEGORY_SEPARATOR = " > "
CATEGORIES = "categories"  # all categories of items that have several, `category` among them
_RANGE = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}
_COMBINE = ("and", "or", "not")
_MAX_DEPTH = 8


@dataclass(frozen=True)
class Column:
    """One filterable field of the catalogue.

    Attributes:
        kind: `keywords` is a field of several values an item; the others have one.
        values: `number`: float64 `[items]`, NaN where missing. Others: int32 codes into `words`, -1 where missing
            (`bool`: 0 and 1); for `keywords` they are the values of all items in a row `[values]`.
        words: The distinct words, sorted; empty for numbers and booleans.
        owners: For `keywords`, the item row of each value, int32 `[values]`.
    """

    kind: Kind
    values: NDArray[Any]
    words: list[str] = field(default_factory=list)
    owners: NDArray[np.int32] | None = None

    def without(self, rows: NDArray[np.bool_]) -> Column:
        """The same field, the values of some items unknown; `rows` is bool `[items]`."""
        if self.owners is not None:
            kept = ~rows[self.owners]
            return replace(self, values=self.values[kept], owners=self.owners[kept])
        return replace(self, values=np.where(rows, self._unknown, self.values).astype(self.values.dtype))

    def grown(self, count: int) -> Column:
        """The same field of more items, whose values are unknown."""
        if self.owners is not None:
            return self
        return replace(self, values=np.append(self.values, np.full(count, self._unknown, self.values.dtype)))

    @property
    def _unknown(self) -> float | int:
        return np.nan if self.kind == "number" else -1


@dataclass(frozen=True)
class Columns:
    """The filterable fields of a catalogue of `items` items."""

    items: int
    by_name: Mapping[str, Column]

    @property
    def kinds(self) -> dict[str, Kind]:
        """What `parse` needs to know of the columns."""
        return {name: column.kind for name, column in self.by_name.items()}

    def grown(self, count: int) -> Columns:
        """The fields of `count` more items, whose values are unknown."""
        return Columns(self.items + count, {name: column.grown(count) for name, column in self.by_name.items()})

    def take(self, rows: NDArray[np.integer[Any]]) -> Columns:
        """The fields of some items, rows int `[items]`: a filter then looks at these alone."""
        return Columns(len(rows), _ColumnsOfRows(self.by_name, rows))


class _ColumnsOfRows(Mapping[str, Column]):
    """The columns of some items; each is computed when a filter reads it."""

    def __init__(self, by_name: Mapping[str, Column], rows: NDArray[np.integer[Any]]) -> None:
        self._by_name, self._rows = by_name, rows

    def __getitem__(self, name: str) -> Column:
        return _take_rows(self._by_name[name], self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)


def _take_rows(column: Column, rows: NDArray[np.integer[Any]]) -> Column:
    if column.owners is not None:
        # The values of one item stand together, and items in the order of their rows.
        starts, ends = (np.searchsorted(column.owners, rows, side) for side in ("left", "right"))
        lengths = ends - starts
        owners = np.repeat(np.arange(len(rows), dtype=np.int32), lengths)
        within = np.arange(len(owners)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return Column(column.kind, column.values[np.repeat(starts, lengths) + within], column.words, owners)
    values = column.values[rows]
    if column.kind != "category":
        return Column(column.kind, values, column.words)
    # A condition on categories looks at every word: only those that are left.
    used, codes = np.unique(values[values >= 0], return_inverse=True)
    kept = np.full(len(rows), -1, np.int32)
    kept[values >= 0] = codes
    return Column(column.kind, kept, [column.words[code] for code in used])


def parse(condition: Any, kinds: Mapping[str, Kind], path: str = "OPTIONS.filter", depth: int = 0) -> Predicate:
    """Validates a filter and compiles it to a function from columns to a mask `[items]`.

    Args:
        condition: The filter as parsed JSON.
        kinds: The catalogue's filterable fields.
        path: Where the filter stands in the request, for errors.
        depth: How deep this one is nested.

    Raises:
        InvalidRequestError: On an unknown field or operator, or a value that does not fit the field.
    """
    if not isinstance(condition, dict):
        raise InvalidRequestError(path, condition, 'an object such as {"brand": "Acme"}')
    if depth > _MAX_DEPTH:
        raise InvalidRequestError(path, Description(f"{depth} levels"), f"filters nested at most {_MAX_DEPTH} deep")
    parts = []
    for name, wanted in condition.items():
        here = f"{path}.{name}"
        if name in _COMBINE:
            parts.append(_combination(name, wanted, kinds, here, depth))
        elif name in kinds:
            parts.append(_CONDITIONS[kinds[name]](name, wanted, here))
        else:
            raise InvalidRequestError(here, Description("an unknown field"), nearest(name, [*kinds, *_COMBINE]))
    return lambda columns: _all(columns, parts)


def _all(columns: Columns, parts: Sequence[Predicate]) -> Mask:
    mask = np.ones(columns.items, np.bool_)
    for part in parts:
        mask &= part(columns)
    return mask


def _combination(name: str, wanted: Any, kinds: Mapping[str, Kind], path: str, depth: int) -> Predicate:
    if name == "not":
        inner = parse(wanted, kinds, path, depth + 1)
        return lambda columns: ~inner(columns)
    if not isinstance(wanted, list) or not wanted:
        raise InvalidRequestError(path, wanted, "a non-empty list of filters")
    parts = [parse(part, kinds, f"{path}[{i}]", depth + 1) for i, part in enumerate(wanted)]
    join = np.logical_and if name == "and" else np.logical_or
    return lambda columns: join.reduce([part(columns) for part in parts])


def _number(name: str, wanted: Any, path: str) -> Predicate:
    allowed = 'a finite number, a list of them, or a range such as {"gte": 1, "lt": 5}'
    if isinstance(wanted, dict):
        if not wanted:
            raise InvalidRequestError(path, wanted, allowed)
        for bound, limit in wanted.items():
            if bound not in _RANGE:
                raise InvalidRequestError(f"{path}.{bound}", Description("an unknown bound"), nearest(bound, _RANGE))
            _check_number(limit, f"{path}.{bound}", "a finite number")
        bounds = [(_RANGE[bound], limit) for bound, limit in wanted.items()]
        # A missing value is NaN, which no comparison holds for: items without a price match no price range.
        return lambda columns: np.logical_and.reduce([op(columns.by_name[name].values, to) for op, to in bounds])
    choices = wanted if isinstance(wanted, list) else [wanted]
    if not choices:
        raise InvalidRequestError(path, wanted, allowed)
    for value in choices:
        _check_number(value, path, allowed)
    return lambda columns: np.isin(columns.by_name[name].values, choices)


def _check_number(value: Any, path: str, allowed: str) -> None:
    # Integers of any length are JSON; beyond 64 bits they are neither a price nor a MessagePack number.
    whole = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    if not whole and not (isinstance(value, float) and math.isfinite(value)):
        raise InvalidRequestError(path, value, allowed)


def _bool(name: str, wanted: Any, path: str) -> Predicate:
    if not isinstance(wanted, bool):
        raise InvalidRequestError(path, wanted, "true or false")
    return lambda columns: columns.by_name[name].values == int(wanted)


def _keyword(name: str, wanted: Any, path: str) -> Predicate:
    words = _words(wanted, path)
    return lambda columns: np.isin(columns.by_name[name].values, _codes(columns.by_name[name], words))


def _keywords(name: str, wanted: Any, path: str) -> Predicate:
    words = _words(wanted, path)

    def predicate(columns: Columns) -> Mask:
        column = columns.by_name[name]
        assert column.owners is not None
        mask = np.zeros(columns.items, np.bool_)
        mask[column.owners[np.isin(column.values, _codes(column, words))]] = True
        return mask

    return predicate


def _category(name: str, wanted: Any, path: str) -> Predicate:
    prefixes = [CATEGORY_SEPARATOR.join(p.strip() for p in word.split(">")) for word in _words(wanted, path)]

    def predicate(columns: Columns) -> Mask:
        column = columns.by_name[name]
        mask: Mask = np.isin(column.values, _below(column, prefixes))
        listed = columns.by_name.get(CATEGORIES)
        if listed is not None and listed.owners is not None:
            mask[listed.owners[np.isin(listed.values, _below(listed, prefixes))]] = True
        return mask

    return predicate


def _below(column: Column, prefixes: Sequence[str]) -> list[int]:
    return [i for i, word in enumerate(column.words) if _under(word, prefixes)]


def _under(category: str, prefixes: Sequence[str]) -> bool:
    return any(category == p or category.startswith(p + CATEGORY_SEPARATOR) for p in prefixes)


def _words(wanted: Any, path: str) -> list[str]:
    words = wanted if isinstance(wanted, list) else [wanted]
    if not words or not all(isinstance(word, str) for word in words):
        raise InvalidRequestError(path, wanted, "a string or a non-empty list of strings")
    return [clean_identity(word) for word in words]


def _codes(column: Column, words: Sequence[str]) -> list[int]:
    """Codes of the words the column has; an unknown word simply matches nothing."""
    positions = [bisect.bisect_left(column.words, word) for word in words]
    return [p for p, word in zip(positions, words, strict=True) if column.words[p : p + 1] == [word]]


_CONDITIONS: dict[Kind, Callable[[str, Any, str], Predicate]] = {
    "number": _number,
    "bool": _bool,
    "keyword": _keyword,
    "keywords": _keywords,
    "category": _category,
}
