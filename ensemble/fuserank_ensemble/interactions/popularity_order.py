"""Items by popularity, and how an order is kept up where only a few of many items have moved."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def order_by_popularity(trend: NDArray[np.float32], counts: NDArray[np.float32]) -> NDArray[np.int32]:
    """Returns item rows, most popular first, as `Popularity.order` has them, int32 `[items]`."""
    order: NDArray[np.int32] = np.lexsort((-counts, -trend)).astype(np.int32)
    return order


def popularity_keys(trend: NDArray[np.float32], counts: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Returns numbers by which items in ascending order are most popular first, uint64 `[items]`.

    The bits of floats that are not negative grow with them.

    Args:
        trend: Each item's trend, not negative, float32 `[items]`.
        counts: Each item's events, not negative, float32 `[items]`.
    """
    # Adding 0 makes a negative zero an ordinary one.
    trend_bits, count_bits = ((values + np.float32(0)).view(np.uint32).astype(np.uint64) for values in (trend, counts))
    keys: NDArray[np.uint64] = ~((trend_bits << np.uint64(32)) | count_bits)
    return keys


def reorder(order: NDArray[np.int32], keys: NDArray[Any], changed: NDArray[np.int32]) -> NDArray[np.int32]:
    """Returns item rows by ascending keys, equal ones by row: for a few hundred of 100,000 far faster than sorting.

    Args:
        order: Rows in an order that holds but for those that changed, which it may lack, int32.
        keys: The keys as they are now, `[items]`.
        changed: Rows whose keys were others before, int32 without repeats.
    """
    has_changed = np.zeros(len(keys), np.bool_)
    has_changed[changed] = True
    kept = order[~has_changed[order]]
    kept_keys = keys[kept]
    moved = changed[np.lexsort((changed, keys[changed]))]
    places, ends = (np.searchsorted(kept_keys, keys[moved], side) for side in ("left", "right"))
    for tied in np.flatnonzero(places < ends):
        places[tied] += np.searchsorted(kept[places[tied] : ends[tied]], moved[tied])
    inserted: NDArray[np.int32] = np.insert(kept, places, moved)
    return inserted
