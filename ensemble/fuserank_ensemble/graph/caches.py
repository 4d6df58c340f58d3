"""Caches around engines. What they remember belongs to nobody: the same tokens always have the same answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from fuserank_ensemble.graph.engine import Engine
from fuserank_ensemble.graph.tensors import Tensors
from fuserank_ensemble.graph.text_tower import PairEngine
from fuserank_ensemble.interactions.history import digest

EMBEDDINGS = 8_192  # queries: 12 MB of 384 numbers each
PAIR_SCORES = 65_536  # pairs of query and text: 13 MB


class CacheCounts(Protocol):
    """Look-ups so far, as `functools.lru_cache` counts them."""

    @property
    def hits(self) -> int:
        """Look-ups that found something."""
        ...

    @property
    def misses(self) -> int:
        """Look-ups that did not."""
        ...


@dataclass
class CacheCounter:
    """Counts the look-ups of a cache that does not count them itself."""

    hits: int = 0
    misses: int = 0

    def add(self, hits: int, misses: int) -> None:
        """Counts some look-ups."""
        self.hits += hits
        self.misses += misses


class EmbeddingCache:
    """An encoder that is asked once for each query; the least used queries are forgotten first. For one thread."""

    def __init__(self, encoder: Engine, size: int = EMBEDDINGS) -> None:
        """Takes the encoder and how many embeddings to keep."""
        self._encoder = encoder
        self._known: LRUCache[bytes, NDArray[np.float32]] = LRUCache(size)
        self.counts = CacheCounter()

    def execute(self, requests: Sequence[Tensors]) -> list[Tensors]:
        """Returns `EMBEDDING`, float32 `[rows, dim]`, of each request's tokens."""
        keys = [
            [b"".join(row.tobytes() for row in rows) for rows in zip(*tensors.values(), strict=True)]
            for tensors in requests
        ]
        # Read before anything new is kept: what is asked in this batch must not be forgotten meanwhile.
        known = {key: self._known[key] for row_keys in keys for key in row_keys if key in self._known}
        missing = {}
        for row_keys, tensors in zip(keys, requests, strict=True):
            for row, key in enumerate(row_keys):
                self.counts.add(key in known, key not in known)
                if key not in known and key not in missing:
                    missing[key] = {name: array[row : row + 1] for name, array in tensors.items()}
        for key, output in zip(missing, self._encoder.execute(list(missing.values())), strict=True):
            # A copy of its own: a view would keep the whole batch alive.
            known[key] = self._known[key] = output["EMBEDDING"][0].copy()
        return [{"EMBEDDING": np.stack([known[key] for key in row_keys])} for row_keys in keys]


class PairScoreCache:
    """A text tower that reads each pair of query and text once. For one thread."""

    def __init__(self, tower: PairEngine, size: int = PAIR_SCORES) -> None:
        """Takes the tower and how many scores to keep."""
        self._tower = tower
        self._known: LRUCache[bytes, float] = LRUCache(size)
        self.counts = CacheCounter()

    def score(self, ids: Sequence[NDArray[np.int64]], types: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
        """See `PairEngine`."""
        keys = [digest(tokens, kinds) for tokens, kinds in zip(ids, types, strict=True)]
        scores = {key: self._known.get(key) for key in keys}
        missing = {key: at for at, key in enumerate(keys) if scores[key] is None}
        self.counts.add(len(scores) - len(missing), len(missing))
        if missing:
            read = self._tower.score([ids[at] for at in missing.values()], [types[at] for at in missing.values()])
            for key, score in zip(missing, read.tolist(), strict=True):
                scores[key] = self._known[key] = score
        return np.asarray([scores[key] for key in keys], np.float32)
