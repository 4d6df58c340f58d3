"""What the user had before, most and latest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from fuserank_ensemble.interactions.events import EVENTS
from fuserank_ensemble.retrieval.channel import (
    ChannelDeclaration,
    ChannelQuery,
    EventsRead,
    Feature,
    LocalChannel,
    RankedItems,
)
from fuserank_ensemble.retrieval.index import RetrievalIndex


class HistoryChannel(LocalChannel):
    """The user's own items by frequency, decayed by the time since; with a query, only those that match it.

    One instance serves one thread.

    Args:
        items: Size of the catalogue.
    """

    declaration = ChannelDeclaration(
        name="history",
        phase="candidate",
        weights={"both": 1.0, "user": 1.0},
        rank=Feature("history_rank", "history", "log position among the user's own items"),
        lists_history=True,
        reads=EventsRead(EVENTS, "sum of strengths; what is not wanted takes away, and is not listed at 0"),
    )

    def __init__(self, items: int) -> None:
        # A table of rows, cleaned after each use: faster than sorting two lists to compare them.
        self._in_pool = np.zeros(items, np.bool_)

    @classmethod
    def open(cls, index: RetrievalIndex) -> Self:
        """See `LocalChannel`; a request brings all that the channel reads."""
        return cls(len(index.catalog.items))

    def search(self, queries: Sequence[ChannelQuery], depth: int) -> list[RankedItems]:
        """See `Channel`."""
        return [self._rank(query, depth) for query in queries]

    def _rank(self, query: ChannelQuery, depth: int) -> RankedItems:
        seen = query.seen
        if not len(seen):
            return RankedItems.empty()
        if query.pool is not None:
            self._in_pool[query.pool] = True
            seen = seen.part(self._in_pool[seen.rows])
            self._in_pool[query.pool] = False
        if query.allowed is not None:
            seen = seen.part(query.allowed[seen.rows])
        return RankedItems.best(seen.rows, seen.weights(query.now), depth)
