"""Which categories a query means: those of what its text channels list, by rank and by demand."""

from __future__ import annotations

from collections.abc import Iterable
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
    size = items.categories + 1
    if size == 1:
        return None
    sums = np.zeros(size)
    for weight, ranked in lists:
        rows = ranked.rows[:depth]
        votes = reciprocal_rank(weight, np.arange(1, len(rows) + 1)) * demand[rows]
        if ranked.shares is not None:
            votes *= ranked.shares[: len(rows)]
        sums += np.bincount(items.category[rows] + 1, votes, minlength=size)
    total = float(sums[1:].sum())
    if not total:
        return None
    shares = sums[1:] / total
    return CategoryShares(np.concatenate([shares, [np.square(shares).sum()]]))
