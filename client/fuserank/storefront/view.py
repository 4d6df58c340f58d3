"""A page of results as its address says it: the query, what narrows it, the order, the page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args
from urllib.parse import urlencode

from fuserank.types import Sort

PAGE_SIZE = 24
LAST_PAGE = 1_000 // PAGE_SIZE  # a request reaches the first thousand items
SORTS: tuple[Sort, ...] = get_args(Sort)
MAX_QUERY = 500
MAX_NUMBER = 1e12
MAX_TYPED = 40  # characters of a bound that are repeated
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")

Value = str | bool


@dataclass(frozen=True)
class Range:
    """Bounds of a number; `below` is left out itself, `upto` is not. None where there is no bound."""

    start: float | None = None
    below: float | None = None
    upto: float | None = None

    @property
    def is_reversed(self) -> bool:
        """Whether it ends before it starts."""
        ends = [end for end in (self.below, self.upto) if end is not None]
        return self.start is not None and bool(ends) and min(ends) < self.start

    def spell(self) -> str:
        """Returns its bounds as they are shown."""
        end = self.below if self.below is not None else self.upto
        return " … ".join("–" if bound is None else f"{bound:.2f}" for bound in (self.start, end))

    def to_condition(self) -> dict[str, float]:
        """Returns the range as a filter's condition."""
        bounds = {"gte": self.start, "lt": self.below, "lte": self.upto}
        return {name: bound for name, bound in bounds.items() if bound is not None}


@dataclass(frozen=True)
class Misread:
    """A bound that was typed and cannot be meant; it narrows nothing.

    Attributes:
        field: The field.
        reason: `number` where it is none, `negative`, or `reversed` where the range ends before it starts.
        text: What was typed.
    """

    field: str
    reason: Literal["number", "negative", "reversed"]
    text: str


@dataclass(frozen=True)
class View:
    """What the address of a page of results says.

    Attributes:
        query: What was asked; empty for browsing.
        values: The chosen values by field.
        ranges: The chosen ranges by field.
        sort: One of `SORTS`.
        page: From 1.
        misread: Bounds that narrow nothing; the address of the view does not have them.
    """

    query: str = ""
    values: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    ranges: Mapping[str, Range] = field(default_factory=dict)
    sort: Sort = "relevance"
    page: int = 1
    misread: tuple[Misread, ...] = field(default=(), compare=False)

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
    """Returns the view that an address names; what it cannot mean is passed over, and of bounds told.

    Args:
        parameters: Names and values of the address, in their order.
        fields: The fields that may narrow a list.
    """
    query, page = "", 1
    sort: Sort = "relevance"
    values: dict[str, tuple[Value, ...]] = {}
    bounds: dict[str, dict[str, float]] = {}
    misread: list[Misread] = []
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
        elif kind in ("from", "below", "upto") and text.strip():
            number = _read_number(text)
            if number is None or number < 0:
                misread.append(Misread(field_name, "number" if number is None else "negative", text[:MAX_TYPED]))
            else:
                bounds.setdefault(field_name, {})["start" if kind == "from" else kind] = number
    ranges = {name: Range(**given) for name, given in bounds.items()}
    reversed_ones = {name: chosen for name, chosen in ranges.items() if chosen.is_reversed}
    misread += [Misread(name, "reversed", chosen.spell()) for name, chosen in reversed_ones.items()]
    ranges = {name: chosen for name, chosen in ranges.items() if name not in reversed_ones}
    return View(query, values, ranges, sort, page, tuple(misread))


def _read_number(text: str) -> float | None:
    """Returns a number as people type it, `12,50` and `1,250.00` among them; None where it is none."""
    digits = "".join(text.split())
    # Three digits behind a comma are thousands, one or two are hundredths.
    digits = digits.replace(",", "") if _THOUSANDS.fullmatch(digits) else digits.replace(",", ".")
    if not _NUMBER.fullmatch(digits):
        return None
    number = float(digits)
    return number if abs(number) < MAX_NUMBER else None
