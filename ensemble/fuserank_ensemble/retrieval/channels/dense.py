"""Items whose text is near the query in embedding space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from fuserank_ensemble.retrieval.channel import (
    ChannelDeclaration,
    ChannelQuery,
    Feature,
    LocalChannel,
    Pool,
    RankedItems,
)
from fuserank_ensemble.retrieval.index import RetrievalIndex
from fuserank_ensemble.retrieval.vectors.items import ItemVectorSearch

POOL_SHARE = 0.85  # of the best cosine: items nearer than that match the query about as well as the best


def dense_pool(ranked: RankedItems) -> Pool:
    """The items whose cosine is near the best one's."""
    best = ranked.scores[:1]
    # A share of a cosine below zero would be above it.
    return Pool(ranked.rows[ranked.scores >= np.minimum(POOL_SHARE * best, best)])


class DenseChannel(LocalChannel):
    """Items by the cosine of their text and the query; within one text the more popular item comes first."""

    declaration = ChannelDeclaration(
        name="dense",
        phase="text",
        weights={"query": 0.4, "both": 0.1, "similar": 1.0},
        # The ranker reads the cosine of every candidate (`text_score`), not only of those that this channel lists.
        rank=Feature("text_rank", "text", "log position by text score"),
        pool=dense_pool,
        needs_embedding=True,
        ties_by_popularity=True,
        scores_cosine=True,
    )

    def __init__(self, items: ItemVectorSearch) -> None:
        self._items = items

    @classmethod
    def open(cls, index: RetrievalIndex) -> Self:
        """See `LocalChannel`."""
        return cls(index.item_vectors)

    def search(self, queries: Sequence[ChannelQuery], depth: int) -> list[RankedItems]:
        """See `Channel`. All requests whose query is embedded are searched in one scan."""
        results = [RankedItems.empty()] * len(queries)
        positions = [i for i, query in enumerate(queries) if query.is_embedded]
        if positions:
            embeddings = np.stack([queries[i].embedding for i in positions])
            nearest = self._items.search(embeddings, depth, [queries[i].allowed for i in positions])
            for i, (rows, scores) in zip(positions, nearest, strict=True):
                results[i] = RankedItems(rows, scores)
        return results
