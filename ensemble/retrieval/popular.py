"""What everybody buys at present: overall, or among what matches the query."""

from __future__ import annotations

import numpy as np

from ensemble.retrieval.channel import Hits, Question
from ensemble.retrieval.items import Popularity


class Popular:
    """Items by trend; with a query, only those that the dense channel found near it."""

    name = "popular"

    def __init__(self, popularity: Popularity) -> None:
        self._popularity = popularity

    def search(self, question: Question, depth: int) -> Hits:
        """See `Channel`."""
        order = self._popularity.order
        if question.has_query:
            # What nobody had is not popular; without a query it may still fill the list.
            rows = question.near.rows[self._popularity.trend[question.near.rows] > 0]
            rows = rows[np.argsort(self._popularity.place[rows])[:depth]]
        elif question.allowed is None:
            rows = order[:depth]
        else:
            rows = order[question.allowed[order]][:depth]
        return Hits(rows, self._popularity.trend[rows])
