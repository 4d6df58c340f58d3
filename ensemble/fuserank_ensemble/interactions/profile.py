"""A user's history summed up by category, brand and price; computed once a request."""

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
        category_weight: Events by category code, late ones counting more, float32 `[categories]`.
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
    def from_history(cls, seen: History, items: Items, now: float) -> UserProfile:
        """Sums a history up as of `now`, epoch seconds."""
        category, weights = items.category[seen.rows], seen.weights(now)
        prices = items.log_price[seen.rows]
        priced = ~np.isnan(prices)
        known_prices = prices[priced]
        last = np.full(max(items.categories, 1) + 1, np.nan)
        np.fmax.at(last, category + 1, seen.last)
        priced_events = _sum_by_code(category[priced], seen.counts[priced], items.categories)
        with np.errstate(invalid="ignore"):
            by_category = (
                _sum_by_code(category[priced], known_prices * seen.counts[priced], items.categories) / priced_events
            )
        return cls(
            seen,
            weights,
            float(seen.counts.sum()),
            _sum_by_code(category, seen.counts, items.categories),
            _sum_by_code(category, weights, items.categories),
            last[1:],
            _sum_by_code(items.brand[seen.rows], seen.counts, items.brands),
            float(known_prices.mean()) if len(known_prices) else float("nan"),
            by_category,
        )

    def own_items(self, rows: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Finds the rows that the user had: their positions in `rows`, and in the history."""
        in_history = np.minimum(np.searchsorted(self.seen.rows, rows), len(self.seen.rows) - 1)
        in_rows = np.flatnonzero(self.seen.rows[in_history] == rows)
        return in_rows, in_history[in_rows]

    def similar_events(
        self, history_codes: NDArray[np.int32], row_codes: NDArray[np.int32], items: Items, rows: NDArray[np.int32]
    ) -> FloatArray:
        """Counts the events in each row's category that share a trait with it, such as its brand or its text.

        Args:
            history_codes: The trait's code of each item of the history, -1 where unknown, int32 `[history]`.
            row_codes: The trait's code of each row, int32 `[rows]`.
            items: The catalogue.
            rows: Item rows, int32 `[rows]`.

        Returns:
            float32 `[rows]`.
        """
        keys = items.category[self.seen.rows].astype(np.int64) * _PAIR + history_codes
        distinct, key_of_item = np.unique(keys, return_inverse=True)
        sums = np.bincount(key_of_item, weights=self.seen.counts)
        wanted = items.category[rows].astype(np.int64) * _PAIR + row_codes
        position = np.minimum(np.searchsorted(distinct, wanted), len(distinct) - 1)
        return np.where(distinct[position] == wanted, sums[position], 0.0).astype(np.float32)


def days_since(last: NDArray[np.float64] | NDArray[np.int64], now: float) -> NDArray[np.float64]:
    """Days from moments to `now`, at least 0; NaN stays NaN."""
    return np.maximum(now - last, 0.0) / SECONDS_PER_DAY


def _sum_by_code(codes: NDArray[np.int32], weights: FloatArray, size: int) -> FloatArray:
    # Missing codes are -1: they fall into the place before the first, which is cut off.
    return np.bincount(codes + 1, weights=weights, minlength=max(size, 1) + 1)[1:].astype(np.float32)
