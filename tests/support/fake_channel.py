"""Channels that always give the same list."""

from __future__ import annotations

import numpy as np

from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.retrieval.channel import (
    ChannelQuery,
    ChannelUnavailableError,
    Knowledge,
    RankedItems,
)
from fuserank_ensemble.retrieval.channels.registry import DECLARATIONS
from support.channel_shop import NOW

ITEMS, DIM = 40, 8


def ranked(rows, scores=None):
    given_scores = np.linspace(9, 1, len(rows)) if scores is None else scores
    return RankedItems(np.asarray(rows, np.int32), np.asarray(given_scores, np.float32))


class FakeChannel:
    """A channel that always gives the same list, and remembers what it was asked."""

    def __init__(self, name, rows=(), scores=None, broken=False):
        self.declaration = DECLARATIONS[name]
        self._ranked, self._broken = ranked(list(rows), scores), broken
        self.asked, self.depths = [], []

    knowledge = Knowledge()

    def prepare(self, queries):
        """Nothing to compute ahead."""

    def search(self, queries, depth):
        self.asked.append(list(queries))
        self.depths.append(depth)
        if self._broken:
            raise ChannelUnavailableError(f"{self.declaration.name}: does not answer")
        return [self._ranked.top(depth)] * len(queries)


def channel_query(query="q", seen=None, **more):
    embedding = np.eye(DIM, dtype=np.float32)[0] if query else np.zeros(DIM, np.float32)
    return ChannelQuery(query, embedding, History.empty() if seen is None else seen, float(NOW), **more)
