"""What users of a similar history had: matrix factorisation by `implicit`, folded in at request time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from ensemble.history import History
from ensemble.retrieval.channel import Hits, Question

# Of the three that `implicit` offers for this, factors reached most on Complete Journey: see docs/design-notes.md.
CONFIDENCE = 5.0  # Hu, Koren, Volinsky: Collaborative Filtering for Implicit Feedback Datasets, 2008 (alpha)
REGULARIZATION = 0.1


class Collaborative:
    """Items by the dot product of their factors and the user's, which are solved from the request's own history.

    An event recorded a second ago counts, and so does a user who was not there at training.
    """

    name = "collaborative"

    def __init__(self, factors: NDArray[np.float32]) -> None:
        """Takes the items' factors, float32 `[items, factors]`; an item without events has zeros and is no hit."""
        self._known = np.any(factors != 0, axis=1)
        with threadpool_limits(1, "blas"):  # the library warns of more while it is made
            self._model = AlternatingLeastSquares(factors.shape[1], regularization=REGULARIZATION, num_threads=1)
        # implicit wants a buffer that it could write to, which mapped files are not.
        self._model.item_factors = np.require(factors, np.float32, ["C", "W"])
        self._rows = np.flatnonzero(self._known).astype(np.int32)

    def search(self, questions: Sequence[Question], depth: int) -> list[Hits]:
        """See `Channel`."""
        return [self._one(question, depth) for question in questions]

    def _one(self, question: Question, depth: int) -> Hits:
        seen = question.seen
        if not len(seen) or not self._known[seen.rows].any():
            return Hits.none()
        rows = self._rows if question.near is None else question.near[self._known[question.near]]
        if question.allowed is not None:
            rows = rows[question.allowed[rows]]
        if not len(rows):
            return Hits.none()
        user = self._model.recalculate_user(0, confidences(seen, len(self._known)))
        return Hits.best(rows, self._model.item_factors[rows] @ user, depth)


def confidences(seen: History, items: int) -> csr_matrix:
    """A history as the model wants it: log-damped counts times the confidence, float32 `[1, items]`."""
    weights = (CONFIDENCE * np.log1p(seen.counts)).astype(np.float32)
    return csr_matrix((weights, seen.rows, np.asarray([0, len(seen)])), shape=(1, items))
