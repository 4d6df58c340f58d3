"""Users' histories summed up by category, brand and price; computed once a request, for all of a batch together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY, History

FloatArray = NDArray[np.float32]
_PAIR = 1 << 32  # joins two codes into one key
_NO_PAIR = np.asarray([np.iinfo(np.int64).max])


@dataclass(frozen=True)
class HistoryGroups:
    """The items of users' histories in groups: those of one user that share a code, such as that of their category.

    Attributes:
        keys: User and code of each group as one number, increasing, and at the end a number that no pair has, int64
            `[groups + 1]`.
        of_item: The group of every item of the histories, int64 `[history]`.
    """

    keys: NDArray[np.int64]
    of_item: NDArray[np.int64]

    @classmethod
    def of(cls, users: NDArray[np.int64], codes: NDArray[np.int32]) -> HistoryGroups:
        """Groups the items of histories, `[history]` each; without a code, -1, they are a group of their own."""
        keys, of_item = np.unique(users * _PAIR + codes, return_inverse=True)
        return cls(np.concatenate([keys, _NO_PAIR]), of_item)

    def find(self, users: NDArray[np.int64], codes: NDArray[np.int32]) -> NDArray[np.int64]:
        """Returns the group of each pair of a user and a code, the number of groups where there is none; `[pairs]`."""
        wanted = users * _PAIR + codes
        groups = self.keys.searchsorted(wanted)
        groups[self.keys[groups] != wanted] = len(self.keys) - 1
        return groups

    def sum_up(self, values: FloatArray) -> FloatArray:
        """Sums of the items' values by group, and at the end 0 for no group, float32 `[groups + 1]`."""
        return np.bincount(self.of_item, values, minlength=len(self.keys)).astype(np.float32)


@dataclass(frozen=True)
class UserProfiles:
    """The histories of a batch's users, one behind the other, summed up by what their items are; one has some items.

    What is summed up by category or brand has a place for each group, and at the end one for what nobody had.

    Attributes:
        keys: User and row of every item as one number, increasing, and at the end a number that no pair has, int64
            `[history + 1]`.
        rows: The items, int32 `[history]`.
        counts: Events with each, float32 `[history]`.
        last: Epoch seconds of the newest of them, int64 `[history]`.
        weights: Events with each, late ones counting more, float32 `[history]`.
        total: Events of each user, float32 `[users]`.
        categories: The items by user and category.
        category: Events by category, float32 `[groups + 1]`.
        category_weight: Events by category, late ones counting more, float32 `[groups + 1]`.
        category_last: Epoch seconds of the newest event by category, NaN where there is none, float64 `[groups + 1]`.
        category_log_price: Mean log price of the events by category, NaN where none is known, float32 `[groups + 1]`.
        brands: The items by user and brand.
        brand: Events by brand, float32 `[groups + 1]`.
        log_price: Mean log price of each user's items, NaN where no price is known, float32 `[users]`.
    """

    keys: NDArray[np.int64]
    rows: NDArray[np.int32]
    counts: FloatArray
    last: NDArray[np.int64]
    weights: FloatArray
    total: FloatArray
    categories: HistoryGroups
    category: FloatArray
    category_weight: FloatArray
    category_last: NDArray[np.float64]
    category_log_price: FloatArray
    brands: HistoryGroups
    brand: FloatArray
    log_price: FloatArray

    @classmethod
    def from_histories(cls, seen: Sequence[History], items: Items, now: Sequence[float]) -> UserProfiles | None:
        """Sums histories up, each as of its own `now`, epoch seconds; None where nobody had anything."""
        if not any(map(len, seen)):
            return None
        user = np.repeat(np.arange(len(seen)), [len(history) for history in seen])
        joined = History.concatenated(seen)
        weights = joined.weights(np.asarray(now, np.float64)[user])
        categories = HistoryGroups.of(user, items.category[joined.rows])
        brands = HistoryGroups.of(user, items.brand[joined.rows])
        last = np.full(len(categories.keys), np.nan)
        np.fmax.at(last, categories.of_item, joined.last.astype(np.float64))
        prices = items.log_price[joined.rows]
        is_priced = ~np.isnan(prices)
        paid = categories.sum_up(np.where(is_priced, prices * joined.counts, 0.0))
        times = categories.sum_up(np.where(is_priced, joined.counts, 0.0))
        return cls(
            np.concatenate([user * _PAIR + joined.rows, _NO_PAIR]),
            joined.rows,
            joined.counts,
            joined.last,
            weights,
            np.asarray([history.counts.sum() for history in seen], np.float32),
            categories,
            categories.sum_up(joined.counts),
            categories.sum_up(weights),
            last,
            np.divide(paid, times, out=np.full(len(times), np.nan, np.float32), where=times > 0),
            brands,
            brands.sum_up(joined.counts),
            _means(prices[is_priced], np.bincount(user[is_priced], minlength=len(seen))),
        )

    def own_items(self, users: NDArray[np.int64], rows: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Finds the rows that their users had: their positions in `rows`, and in the histories.

        Args:
            users: The user of each row, int64 `[rows]`.
            rows: Item rows, int32 `[rows]`.
        """
        wanted = users * _PAIR + rows
        positions = self.keys.searchsorted(wanted)
        in_rows = (self.keys[positions] == wanted).nonzero()[0]
        return in_rows, positions[in_rows]

    def similar_events(
        self, codes: NDArray[np.int32], groups: NDArray[np.int64], rows: NDArray[np.int32]
    ) -> FloatArray:
        """Counts the events in each row's category that share a trait with it, such as its brand or its text.

        Args:
            codes: The trait's code of each item of the catalogue, -1 where unknown, int32 `[items]`.
            groups: The group of each row's user and category in `categories`, int64 `[rows]`.
            rows: Item rows of which the trait is known, int32 `[rows]`.

        Returns:
            float32 `[rows]`.
        """
        alike = HistoryGroups.of(self.categories.of_item, codes[self.rows])
        return alike.sum_up(self.counts)[alike.find(groups, codes[rows])]


def _means(values: FloatArray, counts: NDArray[np.int64]) -> FloatArray:
    """Means of as many values each as `counts` says, one behind the other, NaN of none; float32 `[counts]`."""
    ends = counts.cumsum().tolist()
    parts = [values[end - count : end] for end, count in zip(ends, counts.tolist(), strict=True)]
    return np.asarray([part.mean() if len(part) else np.nan for part in parts], np.float32)


def days_since(last: NDArray[np.float64] | NDArray[np.int64], now: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Days from moments to `now`, at least 0; NaN stays NaN."""
    return np.maximum(now - last, 0.0) / SECONDS_PER_DAY
