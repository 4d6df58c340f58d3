"""New items with few events: no other channel that learns from events can know them yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.events import POSITIVE
from fuserank_ensemble.interactions.history import HALF_LIFE_DAYS, SECONDS_PER_DAY
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.interactions.popularity_order import reorder
from fuserank_ensemble.retrieval.channel import (
    ChannelDeclaration,
    ChannelQuery,
    EventsRead,
    Feature,
    Knowledge,
    LocalChannel,
    RankedItems,
    trust_in_log,
)
from fuserank_ensemble.retrieval.index import RetrievalIndex

FEW_EVENTS = 5
OLDEST_DAYS = 90.0


class NewItemsChannel(LocalChannel):
    """Items of the last 90 days with under five events, newest first; the user's own categories count up to double."""

    declaration = ChannelDeclaration(
        name="new",
        phase="candidate",
        weights={"query": 0.1, "both": 0.1, "user": 0.1},
        rank=Feature("new_rank", "new", "log position among new items"),
        for_exploration=True,
        reads=EventsRead(POSITIVE, "counted one by one: how much is known of an item"),
    )

    def __init__(self, items: Items, popularity: Popularity, by_arrival: NDArray[np.int32] | None = None) -> None:
        """Takes the catalogue, all users' events by item, and where they are known the rows by when the items came."""
        self._items, self._popularity = items, popularity
        self._by_arrival = _rows_by_arrival(popularity) if by_arrival is None else by_arrival
        self._rows = self._by_arrival[popularity.events[self._by_arrival] < FEW_EVENTS]
        self._arrived = popularity.arrived[self._rows]

    @classmethod
    def open(cls, index: RetrievalIndex) -> Self:
        """See `LocalChannel`."""
        return cls(index.catalog.items, index.interactions.popularity)

    def with_popularity(self, popularity: Popularity) -> Self:
        """See `LocalChannel`."""
        before, after = self._popularity.arrived, popularity.arrived
        if len(before) != len(after):
            return type(self)(self._items, popularity)
        came = np.flatnonzero((before != after) & ~np.isnan(after)).astype(np.int32)
        return type(self)(self._items, popularity, reorder(self._by_arrival, after, came))

    @property
    def knowledge(self) -> Knowledge:
        """See `Channel`. That an item has few events says something only where others have many."""
        return Knowledge(trust=trust_in_log(float(self._popularity.events.sum())))

    def search(self, queries: Sequence[ChannelQuery], depth: int) -> list[RankedItems]:
        """See `Channel`."""
        return [self._rank(query, depth) for query in queries]

    def _rank(self, query: ChannelQuery, depth: int) -> RankedItems:
        oldest = OLDEST_DAYS * SECONDS_PER_DAY
        if query.pool is not None:
            arrived = self._popularity.arrived[query.pool]
            age = query.now - arrived
            kept = (self._popularity.events[query.pool] < FEW_EVENTS) & (age >= 0) & (age < oldest)
            rows, arrived = query.pool[kept], arrived[kept]
        else:
            start, end = np.searchsorted(self._arrived, [query.now - oldest, query.now], side="right")
            rows, arrived = self._rows[start:end], self._arrived[start:end]
            if query.allowed is not None:
                kept = query.allowed[rows]
                rows, arrived = rows[kept], arrived[kept]
        if not len(rows):
            return RankedItems.empty()
        scores = np.exp2((arrived - query.now) / (HALF_LIFE_DAYS * SECONDS_PER_DAY))
        if len(query.seen):
            categories = self._items.category
            events = np.bincount(
                categories[query.seen.rows] + 1, weights=query.seen.counts, minlength=self._items.categories + 1
            )
            events[0] = 0.0  # of items without a category, which share none
            scores *= 1.0 + events[categories[rows] + 1] / float(query.seen.counts.sum())
        return RankedItems.best(rows, scores.astype(np.float32), depth)


def _rows_by_arrival(popularity: Popularity) -> NDArray[np.int32]:
    """Rows of the items of which it is known when they came, in that order, int32."""
    known = np.flatnonzero(~np.isnan(popularity.arrived)).astype(np.int32)
    rows: NDArray[np.int32] = known[np.argsort(popularity.arrived[known], kind="stable")]
    return rows
