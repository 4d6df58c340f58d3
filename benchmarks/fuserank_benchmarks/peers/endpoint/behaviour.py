"""What a shop computes of its log for a ranker in the caller: habits, tastes, popularity and prices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .hits import Hits

DAY = 86_400
RECENT_DAYS = 28
GROUPS = ("category", "department", "brand")
FEATURES = (
    "position",
    "relevance",
    "distance",
    "score",
    "times_bought",
    "days_since_bought",
    "share_of_user",
    *(f"user_{group}_{kind}" for group in GROUPS for kind in ("count", "share")),
    "user_text_count",
    "user_events",
    "popularity",
    "recent_popularity",
    "buyers",
    "popularity_in_category",
    "price",
    "price_over_category",
    "price_over_user_category",
)
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Log:
    """A log's events in order of time.

    Attributes:
        users: Row of a user by id.
        user: User row of each event.
        item: Item row of each event.
        timestamp: Epoch seconds of each event.
    """

    users: dict[str, int]
    user: NDArray[np.int64]
    item: NDArray[np.int64]
    timestamp: NDArray[np.int64]

    @classmethod
    def open(cls, folder: Path) -> Log:
        """Reads `log.npz`."""
        arrays = np.load(folder / "log.npz")
        users = {str(user): row for row, user in enumerate(arrays["users"])}
        return cls(users, *(arrays[name].astype(np.int64) for name in ("user", "item", "timestamp")))


@dataclass(frozen=True)
class Columns:
    """The catalogue's columns by item row.

    Attributes:
        codes: Number of the item's value by column of `GROUPS` and for `text`, int64 `[items]` each.
        price: NaN where unknown, float32 `[items]`.
    """

    codes: dict[str, NDArray[np.int64]]
    price: Floats

    @classmethod
    def open(cls, folder: Path) -> Columns:
        """Reads `columns.npz`."""
        arrays = np.load(folder / "columns.npz")
        return cls({name: arrays[name].astype(np.int64) for name in (*GROUPS, "text")}, arrays["price"])


@dataclass(frozen=True)
class UserItems:
    """A user's distinct items, by increasing row.

    Attributes:
        rows: Item rows.
        counts: How often the user had each.
        last: When last, epoch seconds.
    """

    rows: NDArray[np.int64]
    counts: NDArray[np.int64]
    last: NDArray[np.int64]


class Behaviour:
    """Counts of all events before a moment, and features of candidates from them.

    Args:
        log: The log.
        columns: The catalogue.
        moment: Epoch seconds; requests have this time.
    """

    def __init__(self, log: Log, columns: Columns, moment: float) -> None:
        past = log.timestamp < moment
        user, item, timestamp = log.user[past], log.item[past], log.timestamp[past]
        size = len(columns.price)
        keys, last, counts = _distinct(user * size + item)
        self._users, self._columns, self._moment = log.users, columns, moment
        self._offsets = np.searchsorted(keys // size, np.arange(len(log.users) + 1))
        self._items = UserItems(keys % size, counts, timestamp[last])
        self._popularity = np.bincount(item, minlength=size).astype(np.float32)
        self._recent = np.bincount(item[timestamp >= moment - RECENT_DAYS * DAY], minlength=size).astype(np.float32)
        self._buyers = np.bincount(keys % size, minlength=size).astype(np.float32)
        category = columns.codes["category"]
        self._category_popularity = np.bincount(category, self._popularity).astype(np.float32)
        known = np.isfinite(columns.price)
        self._category_price = _mean(category[known], columns.price[known], int(category.max()) + 1)

    def features(self, user: str, hits: Hits) -> Floats:
        """Features of a request's candidates, float32 `[candidates, len(FEATURES)]`; NaN where unknown."""
        rows, codes = hits.rows, self._columns.codes
        had = self._items_of(user)
        total = max(int(had.counts.sum()), 1)
        times, since = self._of_items(had, rows)
        category, price = codes["category"][rows], self._columns.price[rows]
        columns: list[Floats | NDArray[np.float64]] = [
            np.arange(len(rows), dtype=np.float32),
            hits.relevance,
            hits.distance,
            hits.score,
            times,
            since,
            times / total,
        ]
        for group in GROUPS:
            of_group = _counts_of(codes[group][had.rows], had.counts, codes[group][rows])
            columns += [of_group, of_group / total]
        columns += [
            _counts_of(codes["text"][had.rows], had.counts, codes["text"][rows]),
            np.full(len(rows), had.counts.sum(), np.float32),
            self._popularity[rows],
            self._recent[rows],
            self._buyers[rows],
            self._popularity[rows] / np.maximum(self._category_popularity[category], 1),
            price,
            price / self._category_price[category],
            price / self._own_price(had, category),
        ]
        return np.stack(columns, axis=1).astype(np.float32)

    def _items_of(self, user: str) -> UserItems:
        row = self._users.get(user)
        own = slice(0, 0) if row is None else slice(self._offsets[row], self._offsets[row + 1])
        return UserItems(self._items.rows[own], self._items.counts[own], self._items.last[own])

    def _of_items(self, had: UserItems, rows: NDArray[np.int32]) -> tuple[Floats, Floats]:
        """How often the user had each candidate, and days since; NaN where never."""
        times, since = np.zeros(len(rows), np.float32), np.full(len(rows), np.nan, np.float32)
        at = np.minimum(np.searchsorted(had.rows, rows), max(len(had.rows) - 1, 0))
        found = np.flatnonzero(had.rows[at] == rows) if len(had.rows) else np.empty(0, np.int64)
        times[found] = had.counts[at[found]]
        since[found] = (self._moment - had.last[at[found]]) / DAY
        return times, since

    def _own_price(self, had: UserItems, category: NDArray[np.int64]) -> Floats:
        """What the user's items of a candidate's category cost on average; NaN where there are none."""
        price = self._columns.price[had.rows]
        known = np.isfinite(price)
        groups = self._columns.codes["category"][had.rows][known]
        return _mean(groups, price[known], len(self._category_popularity))[category]


def _distinct(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Distinct keys, the last position of each, and how often each comes."""
    distinct, first_from_end, counts = np.unique(keys[::-1], return_index=True, return_counts=True)
    return distinct, len(keys) - 1 - first_from_end, counts


def _counts_of(groups: NDArray[np.int64], counts: NDArray[np.int64], wanted: NDArray[np.int64]) -> Floats:
    """The sum of the counts of each wanted group."""
    size = int(max(wanted.max(initial=0), groups.max(initial=0))) + 1
    of_group: Floats = np.bincount(groups, counts, minlength=size)[wanted].astype(np.float32)
    return of_group


def _mean(groups: NDArray[np.int64], values: Floats, size: int) -> Floats:
    """The mean value of each group; NaN for an empty one."""
    totals, counts = np.bincount(groups, values, minlength=size), np.bincount(groups, minlength=size)
    means: Floats = np.where(counts > 0, totals / np.maximum(counts, 1), np.nan).astype(np.float32)
    return means
