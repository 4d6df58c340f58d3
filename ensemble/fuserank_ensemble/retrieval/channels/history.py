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
    """The user's own items by frequency, decayed by the time since; with a query, only those that match it."""

    declaration = ChannelDeclaration(
        name="history",
        phase="candidate",
        weights={"both": 1.0, "user": 1.0},
        rank=Feature("history_rank", "history", "log position among the user's own items"),
        lists_history=True,
        reads=EventsRead(EVENTS, "sum of strengths; what is not wanted takes away, and is not listed at 0"),
    )

    @classmethod
    def open(cls, index: RetrievalIndex) -> Self:
        """See `LocalChannel`; a request brings all that the channel reads."""
        del index
        return cls()

    def search(self, queries: Sequence[ChannelQuery], depth: int) -> list[RankedItems]:
        """See `Channel`."""
        return [self._rank(query, depth) for query in queries]

    @staticmethod
    def _rank(query: ChannelQuery, depth: int) -> RankedItems:
        seen = query.seen
        if not len(seen):
            return RankedItems.empty()
        kept = np.ones(len(seen), np.bool_) if query.allowed is None else query.allowed[seen.rows]
        if query.pool is not None:
            # A table of rows instead of a sort: both lists are short and their range is known.
            kept = kept & np.isin(seen.rows, query.pool, kind="table")
        return RankedItems.best(seen.rows[kept], seen.weights(query.now)[kept], depth)
