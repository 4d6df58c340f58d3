"""What a user rated badly is not recommended to them, nor are categories of which they rated nothing well."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.history import History

LEAST_DISLIKED = 3  # items of a category, for the category itself to be disliked
LIKED_SHARE = 0.25  # of the items rated or had, from which on a category is not disliked


def disliked_rows(disliked: History, seen: History) -> NDArray[np.int32]:
    """Returns the rows of items that a user rated badly and has not had since, int32 `[items]`."""
    places = np.minimum(np.searchsorted(seen.rows, disliked.rows), max(len(seen) - 1, 0))
    if not len(seen):
        return disliked.rows
    had_since = (seen.rows[places] == disliked.rows) & (seen.last[places] > disliked.last)
    rows: NDArray[np.int32] = disliked.rows[~had_since]
    return rows


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
        disliked: Rows of the items that the user rated badly.
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
