"""What everybody buys at present: overall, or among what matches the query."""

from __future__ import annotations

import numpy as np

from ensemble.retrieval.channel import Hits, Question, best
from ensemble.retrieval.items import Popularity


class Popular:
    """Items by trend; with a query, only those that the dense channel found near it."""

    name = "popular"

    def __init__(self, popularity: Popularity) -> None:
        self._popularity = popularity

    def search(self, question: Question, depth: int) -> Hits:
        """See `Channel`."""
        trend = self._popularity.trend
        if question.has_query:
            rows = question.near.rows
            return best(rows, trend[rows], depth)
        order = self._popularity.order
        rows = order[:depth] if question.allowed is None else order[question.allowed[order]][:depth]
        return Hits(rows, trend[rows])


class Personal:
    """What the user had before, most and latest first; with a query, only what is near it."""

    name = "history"
    half_life_days = 28.0

    def search(self, question: Question, depth: int) -> Hits:
        """See `Channel`."""
        seen = question.seen
        age = np.maximum(question.now - seen.last, 0) / 86_400
        # Frequency, worn off by the time since the item was last had.
        scores = (seen.counts * np.exp2(-age / self.half_life_days)).astype(np.float32)
        keep = np.ones(len(seen.rows), np.bool_)
        if question.has_query:
            keep &= np.isin(seen.rows, question.near.rows)
        if question.allowed is not None:
            keep &= question.allowed[seen.rows]
        return best(seen.rows[keep], scores[keep], depth)
