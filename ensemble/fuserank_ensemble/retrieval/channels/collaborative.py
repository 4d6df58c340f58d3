"""What users of a similar history had: matrix factorisation by `implicit`, folded in at request time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from cachetools import LRUCache
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from fuserank_ensemble.catalog.filters import Mask
from fuserank_ensemble.interactions.history import REMEMBERED, History, digest
from fuserank_ensemble.retrieval.channel import ChannelQuery, RankedItems
from fuserank_ensemble.retrieval.vectors.search import VectorSearch

# Of the three that `implicit` offers for this, factors reached most on Complete Journey: docs/decisions/012.
CONFIDENCE = 5.0  # Hu, Koren, Volinsky: Collaborative Filtering for Implicit Feedback Datasets, 2008 (alpha)
REGULARIZATION = 0.1


class Collaborative:
    """Items by the dot product of their factors and the user's, which are solved from the request's own history.

    An event recorded a second ago counts, and so does a user who was not there at training.
    """

    name = "collaborative"

    def __init__(self, factors: NDArray[np.float32], search: VectorSearch) -> None:
        """Joins the items' factors and the index over them.

        Args:
            factors: float32 `[items, factors]`; an item without events has zeros and is no hit.
            search: Nearest vectors among `factors`.
        """
        self._known = np.any(factors != 0, axis=1)
        self._search = search
        with threadpool_limits(1, "blas"):  # the library warns of more while it is made
            self._model = AlternatingLeastSquares(factors.shape[1], regularization=REGULARIZATION, num_threads=1)
        self._users: LRUCache[bytes, NDArray[np.float32]] = LRUCache(REMEMBERED)
        # No copy of what is mapped copy-on-write; implicit wants a buffer that it could write to.
        self._model.item_factors = np.require(factors, np.float32, ["C", "W"])

    def search(self, questions: Sequence[ChannelQuery], depth: int) -> list[RankedItems]:
        """See `Channel`. The whole catalogue is searched in one scan for all questions without a query."""
        found = [RankedItems.none()] * len(questions)
        everywhere: dict[int, NDArray[np.float32]] = {}
        for i, question in enumerate(questions):
            user = self._user(question.seen)
            if user is None:
                continue
            if question.near is None:
                everywhere[i] = user
                continue
            rows = question.near[self._known[question.near]]
            found[i] = RankedItems.best(rows, self._model.item_factors[rows] @ user, depth)
        if everywhere:
            masks = [self._mask(questions[i].allowed) for i in everywhere]
            hits = self._search.search(np.stack(list(everywhere.values())), depth, masks)
            for i, (rows, scores) in zip(everywhere, hits, strict=True):
                known = self._known[rows]
                found[i] = RankedItems(rows[known].astype(np.int32), scores[known])
        return found

    def remember(self, questions: Sequence[ChannelQuery]) -> None:
        """Solves users' factors before they are asked for."""
        for question in questions:
            self._user(question.seen)

    def _user(self, seen: History) -> NDArray[np.float32] | None:
        """The user's factors, float32 `[factors]`; None where nothing they had is known."""
        if not len(seen) or not self._known[seen.rows].any():
            return None
        key = digest(seen.rows, seen.counts)
        user = self._users.get(key)
        if user is None:
            user = self._model.recalculate_user(0, confidences(seen, len(self._known))).astype(np.float32)
            self._users[key] = user
        return user

    def _mask(self, allowed: Mask | None) -> Mask | None:
        return None if allowed is None else allowed & self._known


def confidences(seen: History, items: int) -> csr_matrix:
    """A history as the model wants it: log-damped counts times the confidence, float32 `[1, items]`."""
    weights = (CONFIDENCE * np.log1p(seen.counts)).astype(np.float32)
    # A copy: implicit wants what it could write to, and a history that came with a request lies in its message.
    return csr_matrix((weights, seen.rows.copy(), np.asarray([0, len(seen)])), shape=(1, items))
