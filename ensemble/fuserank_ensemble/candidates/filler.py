"""What fills the places of a recommendation for which no channel knows an item."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.filters import Mask
from fuserank_ensemble.retrieval.channel import RankedItems

_SEED = 0  # the same order in every process


class Filler:
    """Fills short recommendations: the newest items first, the others in an order that is not the catalogue's.

    Args:
        arrived: When each item came, epoch seconds, NaN where unknown, float64 `[items]`.
    """

    def __init__(self, arrived: NDArray[np.float64]) -> None:
        self._arrived = arrived

    @cached_property
    def order(self) -> NDArray[np.int32]:
        """All item rows in the order in which they fill a list, int32 `[items]`."""
        mixed = np.random.default_rng(_SEED).permutation(len(self._arrived))
        order: NDArray[np.int32] = np.lexsort((mixed, -self._arrived)).astype(np.int32)
        return order

    def add_rows(
        self, required: NDArray[np.int32] | None, lists: Mapping[str, RankedItems], limit: int, allowed: Mask | None
    ) -> NDArray[np.int32] | None:
        """Adds to the rows that a request requires as many as its lists are short of; these have no votes.

        Args:
            required: Rows that are candidates whatever the channels find; None for none.
            lists: The channels' lists.
            limit: How many candidates are wanted.
            allowed: Which items may be returned, bool `[items]`; None for all.
        """
        if max((len(ranked) for ranked in lists.values()), default=0) >= limit:
            return required
        known = np.empty(0, np.int32) if required is None else required
        listed = np.unique(np.concatenate([known, *(ranked.rows for ranked in lists.values())]))
        rows = self.order if allowed is None else self.order[allowed[self.order]]
        rows = rows[: limit + len(listed)]
        missing = max(limit - len(listed), 0)
        filled: NDArray[np.int32] = np.concatenate([known, rows[~np.isin(rows, listed)][:missing]])
        return filled
