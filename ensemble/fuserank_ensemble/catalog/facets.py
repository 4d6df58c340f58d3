"""Counts the values of fields over sets of items: of texts, numbers in ranges, and the tree of categories."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.filters import CATEGORIES, CATEGORY_SEPARATOR, Column, Columns
from fuserank_ensemble.contract.identity import clean_identity
from fuserank_ensemble.contract.page import DEFAULT_FACET_VALUES, DEFAULT_RANGES, Facet

Rows = NDArray[np.int32]
Counts = NDArray[np.int64]
# Of all items, from which share on a set of items is looked up in a table of all rather than item by item.
_MANY = 0.25


@dataclass(frozen=True)
class _Values:
    """A field's values as codes.

    Attributes:
        labels: What each code stands for: words, numbers in rising order, or false and true.
        codes: Of each value, int32 `[values]`; where `starts` is None, of each item, -1 where missing, int32 `[items]`.
        owners: The item row of each value, int32 `[values]`; None where each item has one at most.
        starts: Where each item's values begin, int64 `[items + 1]`; None where each item has one at most.
    """

    labels: Sequence[Any]
    codes: NDArray[np.int32]
    owners: NDArray[np.int32] | None = None
    starts: NDArray[np.int64] | None = None

    def of(self, rows: Rows) -> tuple[NDArray[np.int32], Rows]:
        """Returns the code of each value of some items, and the item's row, both int32 `[values]`."""
        if self.starts is None or self.owners is None:
            codes = self.codes[rows]
            known = codes >= 0
            return codes[known], rows[known]
        if len(rows) > _MANY * (len(self.starts) - 1):
            wanted = np.zeros(len(self.starts) - 1, np.bool_)
            wanted[rows] = True
            taken = wanted[self.owners]
            return self.codes[taken], self.owners[taken]
        lengths = self.starts[rows + 1] - self.starts[rows]
        positions = np.repeat(self.starts[rows] - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
        return self.codes[positions], self.owners[positions]

    def count(self, rows: Rows, groups: NDArray[np.int32] | None) -> Counts:
        """Returns how many items, or groups of items, have each value, int64 `[labels]`.

        Args:
            rows: The items, without repeats.
            groups: The group of each item of the catalogue, -1 for one of its own, int32 `[items]`; None counts items.
        """
        codes, owners = self.of(rows)
        if groups is not None:
            pairs = np.unique(group_ids(groups, owners) * len(self.labels) + codes)
            codes = (pairs % max(len(self.labels), 1)).astype(np.int32)
        return np.bincount(codes, minlength=len(self.labels))


def group_ids(groups: NDArray[np.int32], rows: Rows) -> NDArray[np.int64]:
    """Returns a number for the group of each item, int64 `[rows]`: one that is in none is a group of its own."""
    of_rows = groups[rows].astype(np.int64)
    return np.where(of_rows < 0, int(groups.max(initial=-1)) + 1 + rows, of_rows)


class FacetCounter:
    """Counts facets over sets of items. What it derives of a field it keeps until the field changes.

    One instance serves one thread.
    """

    def __init__(self) -> None:
        self._derived: dict[str, tuple[Column, Column | None, _Values]] = {}

    def count(
        self,
        columns: Columns,
        facet: Facet,
        rows: Rows,
        groups: NDArray[np.int32] | None = None,
        selected: Collection[str] = (),
    ) -> list[dict[str, Any]]:
        """Counts a field's values over some items.

        A filter on a value that is returned leaves exactly as many of the items as its count says.

        Args:
            columns: The catalogue's fields.
            facet: The field, and how much of it is wanted.
            rows: The items, int32 without repeats.
            groups: See `_Values.count`.
            selected: Values that are returned whatever their count.

        Returns:
            Values with their counts, the most frequent first; of a number ranges in rising order, each from its `from`
            up to but without its `to`; of categories the first levels, each with those below it as `children`.
        """
        column = columns.by_name[facet.field]
        values = self._values(columns, facet.field)
        counts = values.count(rows, groups)
        limit = facet.limit or DEFAULT_FACET_VALUES
        if column.kind == "number":
            return _ranges(values, counts, facet, rows, groups)
        if column.kind == "category":
            return _tree(values.labels, counts, limit, selected)
        return _values(values.labels, counts, limit, selected)

    def _values(self, columns: Columns, name: str) -> _Values:
        column = columns.by_name[name]
        listed = columns.by_name.get(CATEGORIES) if column.kind == "category" else None
        known = self._derived.get(name)
        if known is None or known[0] is not column or known[1] is not listed:
            known = (column, listed, _derive(column, listed, columns.items))
            self._derived[name] = known
        return known[2]


def _derive(column: Column, listed: Column | None, items: int) -> _Values:
    """Returns a field's values; `listed` is the column of further categories, where the catalogue has one."""
    if column.kind == "number":
        distinct, codes = np.unique(column.values, return_inverse=True)  # NaN is sorted behind all numbers
        codes = np.where(np.isnan(column.values), -1, codes).astype(np.int32)
        return _Values(distinct[~np.isnan(distinct)], codes)
    if column.kind == "bool":
        return _Values((False, True), column.values.astype(np.int32))
    if column.kind == "keyword":
        return _Values(column.words, column.values)
    if column.kind == "keywords":
        assert column.owners is not None
        return _many_values(column.words, column.values, column.owners, items)
    columns = [each for each in (column, listed) if each is not None]
    paths = dict.fromkeys(path for each in columns for word in each.words for path in _path(word))
    code_of = {path: code for code, path in enumerate(paths)}
    codes, owners = [], []
    for each in columns:
        known = np.flatnonzero(each.values >= 0)
        holders = known if each.owners is None else each.owners[known]
        # Every category with those that it lies in, one word's behind the other's.
        nodes = [[code_of[path] for path in _path(word)] for word in each.words]
        depths = np.asarray([len(above) for above in nodes], np.int64)
        starts, words = np.cumsum(depths) - depths, each.values[known]
        lengths = depths[words]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        joined = np.asarray([code for above in nodes for code in above], np.int32)
        codes.append(joined[np.repeat(starts[words], lengths) + within])
        owners.append(np.repeat(holders, lengths).astype(np.int32))
    return _many_values(list(paths), np.concatenate(codes), np.concatenate(owners), items)


def _many_values(labels: Sequence[str], codes: NDArray[np.int32], owners: NDArray[np.int32], items: int) -> _Values:
    """Returns values of which an item may have several; one that it has twice counts once."""
    pairs = np.unique(owners.astype(np.int64) * max(len(labels), 1) + codes)
    owners = (pairs // max(len(labels), 1)).astype(np.int32)
    starts = np.searchsorted(owners, np.arange(items + 1)).astype(np.int64)
    return _Values(labels, (pairs % max(len(labels), 1)).astype(np.int32), owners, starts)


def _path(category: str) -> list[str]:
    """Returns a category and all those that it lies in, the uppermost first."""
    levels = category.split(CATEGORY_SEPARATOR)
    return [CATEGORY_SEPARATOR.join(levels[:depth]) for depth in range(1, len(levels) + 1)]


def _values(labels: Sequence[Any], counts: Counts, limit: int, selected: Collection[str]) -> list[dict[str, Any]]:
    """Returns the most frequent values, equal ones by name, and those that are selected."""
    found = np.flatnonzero(counts)
    order = found[np.lexsort((found, -counts[found]))]
    kept = {labels[code]: int(counts[code]) for code in order[:limit].tolist()}
    more = [value for value in selected if value not in kept]
    if more:
        further = {labels[code]: int(counts[code]) for code in order[limit:].tolist()}
        kept |= {value: further.get(value, 0) for value in more}
    return [{"value": value, "count": count} for value, count in kept.items()]


def _tree(labels: Sequence[str], counts: Counts, limit: int, selected: Collection[str]) -> list[dict[str, Any]]:
    """Returns the categories that items are in, each with the most frequent ones below it."""
    wanted = {path for category in selected for path in _path(_cleaned(category))}
    count_of = {labels[code]: int(counts[code]) for code in np.flatnonzero(counts).tolist()}
    below: defaultdict[str, list[str]] = defaultdict(list)
    for path in dict.fromkeys((*count_of, *wanted)):
        below[path.rpartition(CATEGORY_SEPARATOR)[0]].append(path)

    def nodes(parent: str) -> list[dict[str, Any]]:
        ordered = sorted(below.get(parent, ()), key=lambda path: (-count_of.get(path, 0), path))
        kept = [path for place, path in enumerate(ordered) if place < limit or path in wanted]
        return [{"value": path, "count": count_of.get(path, 0), "children": nodes(path)} for path in kept]

    return nodes("")


def _cleaned(category: str) -> str:
    return CATEGORY_SEPARATOR.join(part.strip() for part in clean_identity(category).split(">"))


def _ranges(
    values: _Values, counts: Counts, facet: Facet, rows: Rows, groups: NDArray[np.int32] | None
) -> list[dict[str, Any]]:
    """Returns how many items are in each range of a number; those without one are in none."""
    numbers = np.asarray(values.labels, np.float64)
    bounds = facet.ranges if isinstance(facet.ranges, list) else _even_bounds(numbers, counts, facet.ranges)
    edges = np.searchsorted(numbers, bounds, side="left")
    if groups is None:
        sums = np.concatenate([[0], np.cumsum(counts)])
        limits = np.concatenate([[0], edges, [len(numbers)]])
        per_range = sums[limits[1:]] - sums[limits[:-1]]
    else:  # a group may have several numbers of one range
        codes, owners = values.of(rows)
        of_value = np.searchsorted(edges, codes, side="right")
        pairs = np.unique(group_ids(groups, owners) * (len(bounds) + 1) + of_value)
        per_range = np.bincount(pairs % (len(bounds) + 1), minlength=len(bounds) + 1)
    if not bounds:  # one number at most
        return [{"from": float(number), "count": int(per_range[0])} for number in numbers[np.flatnonzero(counts)][:1]]
    limits_of = [{"to": bounds[0]}, *({"from": low, "to": high} for low, high in pairwise(bounds))]
    limits_of += [{"from": bounds[-1]}]
    return [{**limit, "count": int(count)} for limit, count in zip(limits_of, per_range.tolist(), strict=True)]


def _even_bounds(numbers: NDArray[np.float64], counts: Counts, wanted: int | None) -> list[float]:
    """Returns round bounds of about as many ranges as wanted, about equally full; fewer where values are few."""
    sums = np.cumsum(counts)
    total = int(sums[-1]) if len(sums) else 0
    if not total:
        return []
    ranges = wanted or DEFAULT_RANGES
    at = np.searchsorted(sums, total * np.arange(1, ranges) / ranges)
    bounds = dict.fromkeys(float(f"{number:.2g}") for number in numbers[at].tolist())
    used = numbers[np.flatnonzero(counts)]
    return [bound for bound in bounds if used[0] < bound <= used[-1]]
