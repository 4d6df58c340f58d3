"""Counts over all that matches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Total:
    """How many items match on all pages; of tiles, how many tiles.

    Attributes:
        value: The number.
        relation: `eq` where it is exact, `gte` where there may be more.
    """

    value: int
    relation: str = "eq"


@dataclass(frozen=True)
class FacetValue:
    """A value of a field, or a range of a number, and how many match.

    Attributes:
        count: How many are left where the filter names it.
        value: The value; of a category the whole path. None for a range.
        low: Least number of a range; None for any.
        high: Number below which a range ends; None for any.
        children: The categories below a category.
    """

    count: int
    value: str | bool | None = None
    low: float | None = None
    high: float | None = None
    children: tuple[FacetValue, ...] = ()

    @property
    def condition(self) -> Any:
        """What the request's `filter` holds for the field to leave these alone."""
        if self.value is not None:
            return self.value
        return {bound: number for bound, number in (("gte", self.low), ("lt", self.high)) if number is not None}
