"""What everybody has at present, there and then: overall, or among what matches the query."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ensemble.retrieval.channel import Hits, Question
from ensemble.retrieval.popularity import Popularity, context_names

# How many events of everywhere a context must outweigh: the prior of Dirichlet smoothing (Zhai and Lafferty, 2001).
PRIOR = 2_000.0


class Trending:
    """Items by time-decayed events, more of them where the request's place, hour and weekday have them more often.

    Each context multiplies an item's trend by 1 + w / (2,000 p): `w` are the item's events in the context, `p` is
    its share in all events. For independent contexts that is the smoothed probability of the item in all of them.
    """

    name = "trending"

    def __init__(self, popularity: Popularity) -> None:
        self._popularity = popularity

    def search(self, questions: Sequence[Question], depth: int) -> list[Hits]:
        """See `Channel`. With a query an item that nobody had is no hit; without, it may still fill the list."""
        return [self._one(question, depth) for question in questions]

    def _one(self, question: Question, depth: int) -> Hits:
        popularity = self._popularity
        found = [popularity.contexts.of(name) for name in context_names(question.now, question.context)]
        contexts = [each for each in found if each is not None]
        rows = self._pool(question, depth, contexts)
        scores = popularity.trend[rows].astype(np.float32)
        prior = PRIOR / max(popularity.total, 1.0) * np.maximum(popularity.trend[rows], 1e-6)
        for members, weights in contexts:
            if not len(members):
                continue
            at = np.minimum(np.searchsorted(members, rows), len(members) - 1)
            scores *= 1.0 + np.where(members[at] == rows, weights[at], 0.0) / prior
        return Hits.best(rows, scores, depth)

    def _pool(
        self, question: Question, depth: int, contexts: Sequence[tuple[NDArray[np.int32], NDArray[np.float32]]]
    ) -> NDArray[np.int32]:
        """Every row that may be among the best, most popular first."""
        popularity = self._popularity
        if question.near is not None:
            rows = question.near[popularity.trend[question.near] > 0]
            # Near it but not in the order of popularity yet, which settles what scores the same.
            return rows[np.argsort(popularity.place[rows], kind="stable")]
        # An item is among the best because it is popular everywhere, or because it is here.
        everywhere = popularity.order
        if question.allowed is not None:
            everywhere = everywhere[question.allowed[everywhere]]
        local = [members for members, _ in contexts]
        rows = np.unique(np.concatenate([everywhere[:depth], *local]))
        if question.allowed is not None:
            rows = rows[question.allowed[rows]]
        ordered: NDArray[np.int32] = rows[np.argsort(popularity.place[rows], kind="stable")]
        return ordered
