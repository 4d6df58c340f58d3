"""What a user's history says about categories, brands, texts and prices: computed once a request."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY, History

FloatArray = NDArray[np.float32]
_PAIR = 1 << 32  # joins two codes into one key


@dataclass(frozen=True)
class UserProfile:
    """A history summed up by what its items are.

    Attributes:
        seen: The history.
        weights: Events with each item, late ones counting more, float32 `[history]`.
        total: Events in all.
        category: Events by category code, float32 `[categories]`.
        category_weight: The same, late ones counting more, float32 `[categories]`.
        category_last: Epoch seconds of the newest event by category code, NaN where there is none,
            float64 `[categories]`.
        brand: Events by brand code, float32 `[brands]`.
        log_price: Mean log price of the items, NaN where no price is known.
        category_log_price: Mean log price of the events by category code, NaN where none is known, float32
            `[categories]`.
    """

    seen: History
    weights: FloatArray
    total: float
    category: FloatArray
    category_weight: FloatArray
    category_last: NDArray[np.float64]
    brand: FloatArray
    log_price: float
    category_log_price: FloatArray

    @classmethod
    def of(cls, seen: History, items: Items, now: float) -> UserProfile:
        """Sums a history up as of `now`, epoch seconds."""
        category, weights = items.category[seen.rows], seen.weights(now)
        prices = items.log_price[seen.rows]
        priced = ~np.isnan(prices)
        known = prices[priced]
        last = np.full(max(items.categories, 1) + 1, np.nan)
        np.fmax.at(last, category + 1, seen.last)
        priced_events = _sums(category[priced], seen.counts[priced], items.categories)
        with np.errstate(invalid="ignore"):
            by_category = _sums(category[priced], known * seen.counts[priced], items.categories) / priced_events
        return cls(
            seen,
            weights,
            float(seen.counts.sum()),
            _sums(category, seen.counts, items.categories),
            _sums(category, weights, items.categories),
            last[1:],
            _sums(items.brand[seen.rows], seen.counts, items.brands),
            float(known.mean()) if len(known) else float("nan"),
            by_category,
        )

    def own(self, rows: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Which of the rows the user had: positions in `rows` and in the history."""
        position = np.minimum(np.searchsorted(self.seen.rows, rows), len(self.seen.rows) - 1)
        mine = np.flatnonzero(self.seen.rows[position] == rows)
        return mine, position[mine]

    def events_alike(
        self, of_history: NDArray[np.int32], of_rows: NDArray[np.int32], items: Items, rows: NDArray[np.int32]
    ) -> FloatArray:
        """Events in each row's category that share a trait with it, such as its brand or its text.

        Args:
            of_history: The trait's code of each item of the history, -1 where unknown, int32 `[history]`.
            of_rows: The same of each row, int32 `[rows]`.
            items: The catalogue.
            rows: Item rows, int32 `[rows]`.
        """
        keys = items.category[self.seen.rows].astype(np.int64) * _PAIR + of_history
        distinct, at = np.unique(keys, return_inverse=True)
        sums = np.bincount(at, weights=self.seen.counts)
        wanted = items.category[rows].astype(np.int64) * _PAIR + of_rows
        position = np.minimum(np.searchsorted(distinct, wanted), len(distinct) - 1)
        return np.where(distinct[position] == wanted, sums[position], 0.0).astype(np.float32)


def days_since(last: NDArray[np.float64] | NDArray[np.int64], now: float) -> NDArray[np.float64]:
    """Days from moments to `now`, at least 0; NaN stays NaN."""
    return np.maximum(now - last, 0.0) / SECONDS_PER_DAY


def _sums(codes: NDArray[np.int32], weights: FloatArray, size: int) -> FloatArray:
    # Missing codes are -1: they fall into the place before the first, which is cut off.
    return np.bincount(codes + 1, weights=weights, minlength=max(size, 1) + 1)[1:].astype(np.float32)
