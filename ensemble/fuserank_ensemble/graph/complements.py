"""What goes with items of a shop, as the model `similar` answers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog import filters
from fuserank_ensemble.catalog.filters import CATEGORY_SEPARATOR
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.catalog.live.snapshot import CatalogSnapshot
from fuserank_ensemble.contract.controls import Language
from fuserank_ensemble.interactions.history import HistorySnapshot
from fuserank_ensemble.interactions.together import had_together
from fuserank_ensemble.ranking.wording import format_sentence

NEIGHBOURS = 16  # items near in meaning, whose baskets count for what was seldom or never had
SELDOM_HAD = 20.0  # by so many users: then a neighbour counts half as much as the item that was asked about
LEAST_LIFT = 1.2  # from which on an item goes with others
LEAST_USERS = 2
MOST_OF_CATEGORY = 3  # in one answer


@dataclass(frozen=True)
class Complement:
    """An item that goes with what was asked about: how many times as often as by chance, and for how many users."""

    row: int
    lift: float
    users: int


def find_complements(
    histories: HistorySnapshot,
    catalog: CatalogSnapshot,
    anchors: NDArray[np.int32],
    vector: NDArray[np.float32],
    near: NDArray[np.int32],
    condition: dict[str, Any],
    hidden: NDArray[np.int32],
    k: int,
) -> list[Complement]:
    """Returns what is had together with some items beyond its popularity, and is of another kind.

    Args:
        histories: What users had.
        catalog: The catalogue.
        anchors: The items, int32; none for a text.
        vector: Their mean text vector, or that of the text, float32 `[dim]`.
        near: Items that are near it in meaning, int32: baskets of the nearest count, too, so that what nobody
            has had goes with something.
        condition: The filter.
        hidden: Rows that are not shown, int32.
        k: How many are wanted.
    """
    items = catalog.items
    near = near[~np.isin(near, anchors)]
    near = near[np.argsort(-(catalog.vectors[items.text[near]].astype(np.float32) @ vector), kind="stable")]
    siblings = _sibling_categories(items, anchors if len(anchors) else near[:1])
    if siblings:  # how near is alike differs by encoder; the shop's categories say what is of one kind
        near = near[np.isin(items.category[near], siblings)]
    near = near[:NEIGHBOURS]
    sources = np.concatenate([anchors, near]).astype(np.int32)
    if not len(sources) or not len(histories):
        return []
    weights = np.ones(len(sources))
    if len(near):
        cosines = np.maximum(catalog.vectors[items.text[near]].astype(np.float32) @ vector, 0.0)
        first, _ = histories.by_item
        had = sum(int(first[row + 1] - first[row]) for row in anchors.tolist() if row + 1 < len(first))
        weights[len(anchors) :] = SELDOM_HAD / (SELDOM_HAD + had) * cosines / max(float(cosines.max()), 1e-9)
    together = had_together(histories, sources, weights, len(items))
    rows = np.flatnonzero((together.lift >= LEAST_LIFT) & (together.users >= LEAST_USERS)).astype(np.int32)
    if items.visible is not None:
        rows = rows[items.visible[rows]]
    rows = rows[~np.isin(rows, hidden)]
    rows = rows[filters.parse(condition, items.columns.kinds)(items.columns.take(rows))]
    rows = rows[~np.isin(rows, items.of_same_products(sources))]
    rows = rows[~np.isin(items.category[rows], siblings)]
    rows = rows[np.argsort(-together.lift[rows], kind="stable")]
    return [Complement(row, float(together.lift[row]), int(together.users[row])) for row in _varied(items, rows)[:k]]


def explain_complement(found: Complement, asked: str, language: Language) -> list[dict[str, Any]]:
    """Returns the signals of an item that goes with what was asked about; its lift is all of its score."""
    reason = format_sentence(language, "together", lift=found.lift, users=found.users, query=asked)
    return [{"name": "together", "value": found.lift, "contribution": found.lift, "share": 1.0, "reason": reason}]


def _sibling_categories(items: Items, rows: NDArray[np.int32]) -> list[int]:
    """Returns the codes of some items' categories, and of those beside them below the second level."""
    column = items.columns.by_name.get("category")
    if column is None or column.kind != "category":
        return []
    own = {column.words[code] for code in items.category[rows].tolist() if code >= 0}
    shelves = {path.rpartition(CATEGORY_SEPARATOR)[0] for path in own if path.count(CATEGORY_SEPARATOR) > 1}
    return [
        code
        for code, path in enumerate(column.words)
        if path in own or path.rpartition(CATEGORY_SEPARATOR)[0] in shelves
    ]


def _varied(items: Items, rows: NDArray[np.int32]) -> list[int]:
    """Returns the first items of each product, `MOST_OF_CATEGORY` of a category; further ones follow them."""
    products: set[int] = set()
    counts: dict[int, int] = {}
    first, later = list[int](), list[int]()
    for row in rows.tolist():
        product = row if items.product is None else int(items.product[row])
        category = int(items.category[row])
        if product in products or (category >= 0 and counts.get(category, 0) >= MOST_OF_CATEGORY):
            later.append(row)
            continue
        products.add(product)
        counts[category] = counts.get(category, 0) + 1
        first.append(row)
    return first + later
