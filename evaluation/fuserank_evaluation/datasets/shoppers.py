"""Groceries asked for in shoppers' own words: 373 queries, written by hand, with the product types that answer them.

None is the name of a product type. See `shopper_queries/README.md`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal
from zlib import crc32

import numpy as np
import pandas as pd
from numpy.typing import NDArray

QUERIES = Path(__file__).parent / "shopper_queries" / "queries.tsv"
RIGHT, CLOSE = 2, 1  # grades: what was asked for, and what a shopper might take instead
Half = Literal["tuned", "held"]  # the half that may be looked at while tuning, and the one that may not


@dataclass(frozen=True)
class ShopperQuery:
    """A query, and what answers it.

    Attributes:
        kind: What makes it hard, such as `typo`.
        text: The query.
        right_types: Patterns of the product types that it asks for; none where the shop has nothing of the kind.
        close_types: Patterns of types that a shopper might take instead.
        categories: Categories outside which a type of that name is another thing; none restricts nothing.
        size: Pattern of the package size that it asks for; empty for any.
        price_from: Least price that it allows.
        price_to: Highest price that it allows.
        ruled_out: Pattern of what the title must not say; empty for nothing.
    """

    kind: str
    text: str
    right_types: tuple[str, ...]
    close_types: tuple[str, ...]
    categories: tuple[str, ...]
    size: str
    price_from: float
    price_to: float
    ruled_out: str

    @property
    def half(self) -> Half:
        """Which half it belongs to, by the hash of its text."""
        return "tuned" if crc32(self.text.encode()) % 2 else "held"


@dataclass(frozen=True)
class Answers:
    """What answers one query.

    Attributes:
        grades: `RIGHT`, `CLOSE` or 0, int8 `[items]`.
        of_right_type: Whether an item is of a type that was asked for, whatever its size and price, bool `[items]`.
        absurd: Whether an item is neither right nor close, and outside every right item's department, bool `[items]`.
    """

    grades: NDArray[np.int8]
    of_right_type: NDArray[np.bool_]
    absurd: NDArray[np.bool_]


def read_shopper_queries() -> list[ShopperQuery]:
    """Reads the queries in the order of the file."""
    with QUERIES.open(encoding="utf-8", newline="") as file:
        return [
            ShopperQuery(
                row["kind"],
                row["query"],
                _listed(row["right_types"]),
                _listed(row["close_types"]),
                _listed(row["categories"]),
                row["size"],
                float(row["price_from"] or "-inf"),
                float(row["price_to"] or "inf"),
                row["ruled_out"],
            )
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        ]


class ShopperAnswers:
    """Answers of queries over Complete Journey's catalogue.

    Args:
        catalog: The catalogue in the order of the items' rows: `title`, `category`, `department`, `product_type`,
            `package_size`, `price`.
    """

    def __init__(self, catalog: pd.DataFrame) -> None:
        self._catalog = catalog
        self._type = catalog["product_type"].fillna("").to_numpy(str)
        self._types = np.unique(self._type)
        levels = catalog["category"].fillna("").str.split(" > ")
        self._category = levels.str[1].fillna("").map(_normal).to_numpy(str)
        self._department = catalog["department"].fillna("").to_numpy(str)
        self._price = catalog["price"].to_numpy(np.float64)

    def find(self, query: ShopperQuery) -> Answers:
        """Grades every item for one query.

        A right type in another size or at another price is close; with what was ruled out, it is wrong.
        """
        inside = np.isin(self._category, query.categories) if query.categories else np.ones(len(self._type), np.bool_)
        right = inside & self._of_types(query.right_types)
        close = self._of_types(query.close_types)
        fits = np.ones(len(right), np.bool_)
        if query.size:
            fits &= self._holds("package_size", query.size)
        if np.isfinite([query.price_from, query.price_to]).any():
            fits &= (self._price >= query.price_from) & (self._price <= query.price_to)
        grades = np.where(right & fits, RIGHT, np.where(right | close, CLOSE, 0)).astype(np.int8)
        if query.ruled_out:
            grades[self._holds("title", query.ruled_out)] = 0
        departments = np.unique(self._department[right])
        absurd = ~(right | close) & ~np.isin(self._department, departments)
        return Answers(grades, right, absurd)

    def _of_types(self, patterns: Sequence[str]) -> NDArray[np.bool_]:
        named = [name for name in self._types if any(fnmatchcase(name, pattern) for pattern in patterns)]
        return np.isin(self._type, named)

    def _holds(self, column: str, pattern: str) -> NDArray[np.bool_]:
        holds: NDArray[np.bool_] = (
            self._catalog[column].fillna("").str.contains(pattern, flags=re.IGNORECASE).to_numpy(np.bool_)
        )
        return holds


def _listed(cell: str) -> tuple[str, ...]:
    return tuple(part for part in cell.split("; ") if part)


def _normal(name: str) -> str:
    return " ".join(re.findall("[a-z0-9]+", name.lower()))
