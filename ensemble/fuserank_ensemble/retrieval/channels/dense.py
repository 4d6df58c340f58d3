"""Items whose text is near the query in embedding space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import numpy as np

from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.catalog.live.snapshot import TextVectors
from fuserank_ensemble.retrieval.channel import (
    Channel,
    ChannelDeclaration,
    ChannelQuery,
    Feature,
    LocalChannel,
    Pool,
    RankedItems,
)
from fuserank_ensemble.retrieval.index import RetrievalIndex
from fuserank_ensemble.retrieval.vectors.grown import merge_nearest
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


class GrownDenseChannel(Channel):
    """A dense channel elsewhere, such as on Milvus, joined with the items that came since, or have other texts now.

    Args:
        bundled: The channel, which knows the bundle's items.
        items: The catalogue.
        vectors: The texts' vectors.
    """

    declaration = DenseChannel.declaration

    def __init__(self, bundled: Channel, items: Items, vectors: TextVectors) -> None:
        self.bundled, self._items, self._vectors = bundled, items, vectors
        self._is_added = np.zeros(len(items), np.bool_)
        self._is_added[vectors.rows] = True

    def search(self, queries: Sequence[ChannelQuery], depth: int) -> list[RankedItems]:
        """See `Channel`."""
        size, added = len(self._items.ids), self._vectors.rows
        cut = [q if q.allowed is None else replace(q, allowed=q.allowed[:size]) for q in queries]
        results = []
        for query, ranked in zip(queries, self.bundled.search(cut, depth), strict=True):
            stayed = ~self._is_added[ranked.rows]
            rows, scores = ranked.rows[stayed].astype(np.int64), ranked.scores[stayed]
            if query.is_embedded:
                kept = added if query.allowed is None else added[query.allowed[added]]
                cosines = self._vectors[self._items.text[kept]].astype(np.float32) @ query.embedding
                rows, scores = merge_nearest((rows, scores), (kept.astype(np.int64), cosines), depth)
            results.append(RankedItems(rows.astype(np.int32), scores))
        return results
