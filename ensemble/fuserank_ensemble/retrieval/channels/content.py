"""Items whose text is near what the user had lately."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from fuserank_ensemble.catalog.arrays import RowSource
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.events import EVENTS
from fuserank_ensemble.interactions.history import CACHED_USERS, History, digest
from fuserank_ensemble.retrieval.channel import (
    ChannelDeclaration,
    ChannelQuery,
    EventsRead,
    Feature,
    LocalChannel,
    RankedItems,
    ScoreFeature,
)
from fuserank_ensemble.retrieval.index import RetrievalIndex
from fuserank_ensemble.retrieval.vectors.half import to_float32
from fuserank_ensemble.retrieval.vectors.items import ItemVectorSearch
from fuserank_ensemble.retrieval.vectors.texts import text_cosines

LONGEST_PROFILE = 128  # items of a history that make the profile, those with the most weight


class ContentChannel(LocalChannel):
    """Items by cosine to the recency-weighted mean of the history's text embeddings."""

    declaration = ChannelDeclaration(
        name="content",
        phase="candidate",
        weights={"both": 0.1, "user": 0.1, "similar": 1.0},
        score=ScoreFeature("content_score", "content", "cosine of the item's text and what the user had lately"),
        rank=Feature("content_rank", "content", "log position by that cosine"),
        ties_by_popularity=True,
        scores_cosine=True,
        reads=EventsRead(EVENTS, "the texts' weights in the mean are the history's sums of strengths"),
    )

    def __init__(self, search: ItemVectorSearch, items: Items, vectors: RowSource) -> None:
        """Joins what the channel reads.

        Args:
            search: Nearest items of a vector in the whole catalogue.
            items: The catalogue.
            vectors: Text vectors, fp16 `[texts, dim]`.
        """
        self._search, self._items, self._vectors = search, items, vectors
        self._profiles: LRUCache[bytes, NDArray[np.float32]] = LRUCache(CACHED_USERS)

    @classmethod
    def open(cls, index: RetrievalIndex) -> Self:
        """See `LocalChannel`."""
        return cls(index.item_vectors, index.catalog.items, index.catalog.vectors)

    def search(self, queries: Sequence[ChannelQuery], depth: int) -> list[RankedItems]:
        """See `Channel`. The whole catalogue is searched in one scan for all requests without a pool."""
        results = [RankedItems.empty()] * len(queries)
        profiles = {i: self.profile(query.seen, query.now) for i, query in enumerate(queries) if len(query.seen)}
        unrestricted = [i for i in profiles if queries[i].pool is None]
        if unrestricted:
            vectors = np.stack([profiles[i] for i in unrestricted])
            nearest = self._search.search(vectors, depth, [queries[i].allowed for i in unrestricted])
            for i, (rows, scores) in zip(unrestricted, nearest, strict=True):
                results[i] = RankedItems(rows, scores)
        for i, profile in profiles.items():
            pool = queries[i].pool
            if pool is not None and len(pool):
                cosines = text_cosines(self._vectors, self._items.text[pool], profile)
                results[i] = RankedItems.best(pool, cosines, depth)
        return [ranked.distinguishing(depth) for ranked in results]

    def prepare(self, queries: Sequence[ChannelQuery]) -> None:
        """Computes the profiles of the queries' users, which are cached."""
        for query in queries:
            if len(query.seen):
                self.profile(query.seen, query.now)

    def profile(self, seen: History, now: float) -> NDArray[np.float32]:
        """The L2-normalised mean of the history's text vectors, float32 `[dim]`.

        With time all weights decay alike: the profile stays the same as long as the history does, and is cached.
        """
        latest = seen.last.max()
        if now < latest:  # events of the future do not decay
            return self._compute_profile(seen, now)
        key = digest(seen.rows, seen.recent, seen.last - latest)
        profile = self._profiles.get(key)
        if profile is None:
            profile = self._profiles[key] = self._compute_profile(seen, float(latest))
        return profile

    def _compute_profile(self, seen: History, now: float) -> NDArray[np.float32]:
        weights = seen.weights(now)
        kept = np.argsort(-weights, kind="stable")[:LONGEST_PROFILE]
        mean = weights[kept] @ to_float32(self._vectors[self._items.text[seen.rows[kept]]])
        profile: NDArray[np.float32] = mean / max(float(np.linalg.norm(mean)), 1e-12)
        return profile
