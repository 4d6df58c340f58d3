"""What the user had before, most and latest first."""

from __future__ import annotations

import numpy as np

from ensemble.retrieval.channel import Hits, Question
from ensemble.retrieval.items import HALF_LIFE_DAYS


class Personal:
    """The user's own items by frequency, worn off by the time since; with a query, only those near it."""

    name = "history"

    def search(self, question: Question, depth: int) -> Hits:
        """See `Channel`."""
        seen = question.seen
        if not len(seen):
            return Hits.none()
        keep = np.ones(len(seen), np.bool_) if question.allowed is None else question.allowed[seen.rows]
        if question.has_query:
            # A table of rows instead of a sort: both lists are short and their range is known.
            keep = keep & np.isin(seen.rows, question.near.rows, kind="table")
        days = np.maximum(question.now - seen.last[keep], 0) / 86_400
        scores = (seen.counts[keep] * np.exp2(-days / HALF_LIFE_DAYS)).astype(np.float32)
        order = np.argsort(-scores, kind="stable")[:depth]
        return Hits(seen.rows[keep][order], scores[order])
