"""A page of results as its address says it: the query, what narrows it, the order, the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args
from urllib.parse import urlencode

from fuserank.types import Sort

PAGE_SIZE = 24
LAST_PAGE = 1_000 // PAGE_SIZE  # a request reaches the first thousand items
SORTS: tuple[Sort, ...] = get_args(Sort)
MAX_QUERY = 500

Value = str | bool


@dataclass(frozen=True)
class Range:
    """Bounds of a number; `below` is left out itself, `upto` is not. None where there is no bound."""

    start: float | None = None
    below: float | None = None
    upto: float | None = None

    def to_condition(self) -> dict[str, float]:
        """Returns the range as a filter's condition."""
        bounds = {"gte": self.start, "lt": self.below, "lte": self.upto}
        return {name: bound for name, bound in bounds.items() if bound is not None}


@dataclass(frozen=True)
class View:
    """What the address of a page of results says.

    Attributes:
        query: What was asked; empty for browsing.
        values: The chosen values by field.
        ranges: The chosen ranges by field.
        sort: One of `SORTS`.
        page: From 1.
    """

    query: str = ""
    values: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    ranges: Mapping[str, Range] = field(default_factory=dict)
    sort: Sort = "relevance"
    page: int = 1

    @property
    def offset(self) -> int:
        """How many items stand on earlier pages."""
        return (self.page - 1) * PAGE_SIZE

    @property
    def narrowed(self) -> bool:
        """Whether anything narrows the list."""
        return bool(self.values or self.ranges)

    def to_filter(self) -> dict[str, Any] | None:
        """Returns the conditions as `Request.filter`, one key a field; None where there are none."""
        values = {name: list(chosen) for name, chosen in self.values.items()}
        ranges = {name: chosen.to_condition() for name, chosen in self.ranges.items()}
        return {**values, **ranges} or None

    def toggle(self, name: str, value: Value) -> View:
        """Returns the first page with a value chosen, or no longer chosen."""
        before = self.values.get(name, ())
        after = tuple(v for v in before if v != value) if value in before else (*before, value)
        values = {**self.values, name: after} if after else {n: v for n, v in self.values.items() if n != name}
        return replace(self, values=values, page=1)

    def only(self, name: str, value: Value) -> View:
        """Returns the first page with this one value of the field chosen."""
        return replace(self, values={**self.values, name: (value,)}, page=1)

    def within(self, name: str, chosen: Range) -> View:
        """Returns the first page with a range chosen, or no longer chosen where it was."""
        ranges = {n: r for n, r in self.ranges.items() if n != name}
        if self.ranges.get(name) != chosen:
            ranges[name] = chosen
        return replace(self, ranges=ranges, page=1)

    def without(self, name: str) -> View:
        """Returns the first page without any condition on a field."""
        values = {n: v for n, v in self.values.items() if n != name}
        ranges = {n: r for n, r in self.ranges.items() if n != name}
        return replace(self, values=values, ranges=ranges, page=1)

    def at(self, page: int) -> View:
        """Returns another page of the same list."""
        return replace(self, page=page)

    def asked(self, query: str) -> View:
        """Returns the first page of another query, narrowed as this one is."""
        return replace(self, query=query, page=1)

    def parameters(self) -> list[tuple[str, str]]:
        """Returns the parameters of the address; what is at its default is left out."""
        listed = [("q", self.query)]
        for name, chosen in self.values.items():
            for value in chosen:
                listed.append((f"b.{name}", str(value).lower()) if isinstance(value, bool) else (f"f.{name}", value))
        for name, chosen_range in self.ranges.items():
            bounds = (("from", chosen_range.start), ("below", chosen_range.below), ("upto", chosen_range.upto))
            listed += [(f"{bound}.{name}", f"{number:g}") for bound, number in bounds if number is not None]
        if self.sort != "relevance":
            listed.append(("sort", self.sort))
        if self.page > 1:
            listed.append(("page", str(self.page)))
        return listed

    def url(self, path: str = "/search") -> str:
        """Returns the address of the page."""
        return f"{path}?{urlencode(self.parameters())}"


def read_view(parameters: Iterable[tuple[str, str]], fields: Sequence[str]) -> View:
    """Returns the view that an address names; what it cannot mean is passed over.

    Args:
        parameters: Names and values of the address, in their order.
        fields: The fields that may narrow a list.
    """
    query, page = "", 1
    sort: Sort = "relevance"
    values: dict[str, tuple[Value, ...]] = {}
    bounds: dict[str, dict[str, float]] = {}
    for name, text in parameters:
        kind, _, field_name = name.partition(".")
        if name == "q":
            query = " ".join(text.split())[:MAX_QUERY]
        elif name == "sort" and text in SORTS:
            sort = text
        elif name == "page" and text.isdecimal() and len(text) < 4:
            page = min(max(int(text), 1), LAST_PAGE)
        elif field_name not in fields or not text:
            continue
        elif kind == "f":
            values[field_name] = (*values.get(field_name, ()), text)
        elif kind == "b" and text in ("true", "false"):
            values[field_name] = (*values.get(field_name, ()), text == "true")
        elif kind in ("from", "below", "upto") and (number := _read_number(text)) is not None:
            bounds.setdefault(field_name, {})["start" if kind == "from" else kind] = number
    ranges = {name: Range(**given) for name, given in bounds.items()}
    return View(query, values, ranges, sort, page)


def _read_number(text: str) -> float | None:
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        return None
    return number if 0 <= number < 1e12 else None  # NaN is neither
