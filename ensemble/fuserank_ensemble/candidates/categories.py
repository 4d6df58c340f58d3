"""Which categories a query means, and which items: those of what its text channels list, by rank and by demand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.retrieval.channel import RankedItems
from fuserank_ensemble.retrieval.fusion import reciprocal_rank

FloatArray = NDArray[np.float32]
LEAST_SHARE = 0.001  # of a category that nothing listed is in: one that is not meant is unlikely, and not impossible
# How much a category counts in fusion: the power of its share that an item's votes are multiplied by.
POWER = 0.3
# The list of what is likely meant, and the weight of its votes.
LIKELY, LIKELY_WEIGHT = "likely", 0.5
DEMAND_POWER = (
    0.5  # of an item's demand among what is likely meant: the head of a category, and not its first item alone
)


@dataclass(frozen=True)
class CategoryShares:
    """What each category's share is in what a query means.

    Attributes:
        shares: The share of each category by its code, and last that of an item without one, which is what an item
            drawn at random from the lists can expect, float64 `[categories + 1]`.
    """

    shares: NDArray[np.float64]

    def worth(self, codes: NDArray[np.int32]) -> NDArray[np.float64]:
        """Returns what votes for items of some categories (-1 for none) are worth, 1 in the likeliest."""
        likely = self.shares[codes] + LEAST_SHARE
        worth: NDArray[np.float64] = (likely / (float(self.shares.max()) + LEAST_SHARE)) ** POWER
        return worth

    def log(self, codes: NDArray[np.int32]) -> FloatArray:
        """Returns the logarithm of categories' shares, NaN for none (-1), float32 `[codes]`."""
        logs = np.where(codes >= 0, np.log(LEAST_SHARE + self.shares[codes]), np.nan)
        return logs.astype(np.float32)


def predict_categories(
    lists: Iterable[tuple[float, RankedItems]], items: Items, demand: NDArray[np.float32], depth: int
) -> CategoryShares | None:
    """Predicts the categories that a query means; None where its lists have no item with a category.

    Many more people who look for milk want white milk than chocolate milk, though both match alike: so a place in a
    list counts as much as the item is in demand.

    Args:
        lists: The text channels' lists, each with the weight of its votes.
        items: The catalogue.
        demand: Each item's demand, above 0, float32 `[items]`.
        depth: How many items of each list count.
    """
    if not items.categories:
        return None
    sums = np.zeros(items.categories + 1)
    for rows, votes in _votes(lists, depth):
        sums += np.bincount(items.category[rows] + 1, votes * demand[rows], minlength=len(sums))
    total = float(sums[1:].sum())
    if not total:
        return None
    shares = sums[1:] / total
    return CategoryShares(np.append(shares, np.square(shares).sum()))


def likely_items(
    categories: CategoryShares,
    lists: Iterable[tuple[float, RankedItems]],
    items: Items,
    demand: NDArray[np.float32],
    depth: int,
) -> RankedItems:
    """Returns what a query likely means, the likeliest first: what its text channels list of the categories it means.

    Where thousands of items match alike, those that stand first in the lists may all be of a category that is hardly
    meant: "ice cream" finds toppings before what is called "Premium" in the category of ice creams.

    Args:
        categories: The categories that the query means.
        lists: The text channels' lists, each with the weight of its votes.
        items: The catalogue.
        demand: Each item's demand, above 0, float32 `[items]`.
        depth: How many items of each list count, and how many are returned at most.
    """
    listed = list(_votes(lists, depth))
    rows, positions = np.unique(np.concatenate([rows for rows, _ in listed]), return_inverse=True)
    votes = np.bincount(positions, np.concatenate([votes for _, votes in listed]))
    likely = votes * categories.shares[items.category[rows]] * demand[rows] ** DEMAND_POWER
    return RankedItems.best(rows, likely.astype(np.float32), depth)


def _votes(
    lists: Iterable[tuple[float, RankedItems]], depth: int
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float64]]]:
    """Yields each list's rows and their votes."""
    for weight, ranked in lists:
        rows = ranked.rows[:depth]
        votes = reciprocal_rank(weight, np.arange(1, len(rows) + 1))
        yield rows, votes if ranked.shares is None else votes * ranked.shares[: len(rows)]
