"""Items whose text is near what the user had lately."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.history import REMEMBERED, History, digest
from fuserank_ensemble.retrieval.channel import ChannelQuery, RankedItems
from fuserank_ensemble.retrieval.channels.dense import Dense

LONGEST_PROFILE = 128  # items of a history that make the profile, those with the most weight


class Content:
    """Items by cosine to the recency-weighted mean of the history's text embeddings."""

    name = "content"

    def __init__(self, dense: Dense, items: Items, vectors: NDArray[Any]) -> None:
        """Takes the dense channel, whose index it shares, and the text vectors, fp16 `[texts, dim]`."""
        self._dense, self._items, self._vectors = dense, items, vectors
        self._profiles: LRUCache[bytes, NDArray[np.float32]] = LRUCache(REMEMBERED)

    def search(self, questions: Sequence[ChannelQuery], depth: int) -> list[RankedItems]:
        """See `Channel`. The whole catalogue is searched in one scan for all questions without a query."""
        found = [RankedItems.none()] * len(questions)
        profiles = {i: self.profile(q.seen, q.now) for i, q in enumerate(questions) if len(q.seen)}
        everywhere = [i for i in profiles if questions[i].near is None]
        if everywhere:
            embeddings = np.stack([profiles[i] for i in everywhere])
            hits = self._dense.search_vectors(embeddings, [questions[i].allowed for i in everywhere], depth)
            for i, each in zip(everywhere, hits, strict=True):
                found[i] = each
        for i, profile in profiles.items():
            near = questions[i].near
            if near is not None and len(near):
                texts, place = np.unique(self._items.text[near], return_inverse=True)
                scores = self._vectors[texts].astype(np.float32) @ profile
                found[i] = RankedItems.best(near, scores[place], depth)
        return found

    def remember(self, questions: Sequence[ChannelQuery]) -> None:
        """Makes profiles before they are asked for."""
        for question in questions:
            if len(question.seen):
                self.profile(question.seen, question.now)

    def profile(self, seen: History, now: float) -> NDArray[np.float32]:
        """The L2-normalised mean of what was had, float32 `[dim]`.

        With time all weights wear off alike: it stays the same as long as the history does, and is remembered.
        """
        latest = seen.last.max()
        if now < latest:  # events of the future do not wear off
            return self._made(seen, now)
        key = digest(seen.rows, seen.recent, seen.last - latest)
        found = self._profiles.get(key)
        if found is None:
            found = self._profiles[key] = self._made(seen, float(latest))
        return found

    def _made(self, seen: History, now: float) -> NDArray[np.float32]:
        weights = seen.weights(now)
        kept = np.argsort(-weights, kind="stable")[:LONGEST_PROFILE]
        mean = weights[kept] @ self._vectors[self._items.text[seen.rows[kept]]].astype(np.float32)
        profile: NDArray[np.float32] = mean / max(float(np.linalg.norm(mean)), 1e-12)
        return profile
