"""The orders in which a shopper may have what matches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.pages.check import SORTED_BY
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.contract.page import Sort
from fuserank_ensemble.interactions.popularity import Popularity

_FALLING: tuple[Sort, ...] = ("price_desc", "rating")


def sort_key(sort: Sort, items: Items, popularity: Popularity) -> NDArray[np.float64] | None:
    """Returns what an order goes by, lowest first and NaN for an item that comes last, float64 `[items]`.

    Args:
        sort: The order.
        items: The catalogue, which has the field of numbers that the order reads.
        popularity: All users' events by item.

    Returns:
        The key; None for relevance.
    """
    if sort == "relevance":
        return None
    if sort == "newest":
        return -popularity.arrived
    if sort == "popularity":
        return -popularity.events.astype(np.float64)
    values = items.columns.by_name[SORTED_BY[sort]].values.astype(np.float64)
    return -values if sort in _FALLING else values
