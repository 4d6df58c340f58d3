"""What a user returned, disliked or rated low is not recommended, nor are categories of which they liked nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.events import DISLIKED
from fuserank_ensemble.interactions.history import History

LEAST_DISLIKED = 3  # items of a category, for the category itself to be disliked
LIKED_SHARE = 0.25  # of the items rated or had, from which on a category is not disliked


def still_disliked(disliked: History, seen: History) -> History:
    """Returns the part of what a user disliked that they have not had since."""
    if not len(seen):
        return disliked
    places = np.minimum(np.searchsorted(seen.rows, disliked.rows), len(seen) - 1)
    kept = (seen.rows[places] != disliked.rows) | (seen.last[places] <= disliked.last)
    return History(disliked.rows[kept], disliked.counts[kept], disliked.last[kept], disliked.recent[kept])


def clearly_disliked(disliked: History) -> NDArray[np.int32]:
    """Returns the rows of items that are disliked so much that they are not recommended, int32 `[items]`."""
    rows: NDArray[np.int32] = disliked.rows[disliked.counts >= DISLIKED]
    return rows


def strengths_of(disliked: History, rows: NDArray[np.int32]) -> NDArray[np.float32]:
    """Returns how much a user dislikes each of some items, 0 to 1, float32 `[rows]`."""
    if not len(disliked):
        return np.zeros(len(rows), np.float32)
    places = np.minimum(np.searchsorted(disliked.rows, rows), len(disliked) - 1)
    strengths: NDArray[np.float32] = np.where(
        disliked.rows[places] == rows, np.minimum(disliked.counts[places], 1.0), 0.0
    ).astype(np.float32)
    return strengths


def mask_disliked(
    items: Items,
    disliked: NDArray[np.int32],
    seen: NDArray[np.int32],
    least: int,
    allowed: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Returns which items may be recommended, bool `[items]`.

    Args:
        items: The catalogue.
        disliked: Rows of the items that the user clearly dislikes.
        seen: Rows of the items that the user had.
        least: How many items must be left, for whole categories to be left out.
        allowed: Which items the request allows, bool `[items]`; None allows all.
    """
    mask = np.ones(len(items), np.bool_)
    mask[disliked] = False
    category = items.category
    known = category >= 0
    bad, good = (np.bincount(category[rows[known[rows]]], minlength=items.categories) for rows in (disliked, seen))
    avoided = np.flatnonzero((bad >= LEAST_DISLIKED) & (good < LIKED_SHARE * (good + bad)))
    if len(avoided):
        without = mask & ~np.isin(category, avoided)
        left = without if allowed is None else without & allowed
        if np.count_nonzero(left) >= least:
            return without
    return mask
