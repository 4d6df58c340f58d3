"""Matrix factorisation by alternating least squares, of `implicit`, with the settings of the collaborative channel."""

from __future__ import annotations

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fuserank_ensemble.retrieval.channels.collaborative import REGULARIZATION
from fuserank_ensemble.retrieval.fold_in import confidence
from fuserank_evaluation.datasets.past import PastLog
from fuserank_export.learning.interactions import item_factors


class Als:
    """The dot product of a user's and an item's factors (Hu, Koren, Volinsky, ICDM 2008)."""

    name = "als"
    needs_history = True

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def fit(self, past: PastLog) -> None:
        """See `Baseline`."""
        factors = item_factors(past.counts, self._seed)
        with threadpool_limits(1, "blas"):  # the library warns of more while it is made
            self._model = AlternatingLeastSquares(factors.shape[1], regularization=REGULARIZATION, num_threads=1)
        self._model.item_factors = factors
        self._confidences = past.counts.copy()
        self._confidences.data = confidence(self._confidences.data)

    def scores(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        """See `Baseline`; a user's factors are solved from their history, as in serving."""
        factors = self._model.recalculate_user(np.arange(len(users)), self._confidences[users])
        scores: NDArray[np.float32] = factors.astype(np.float32) @ self._model.item_factors.T
        return scores
