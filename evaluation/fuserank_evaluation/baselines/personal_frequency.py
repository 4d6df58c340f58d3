"""The user's most frequent items: P-TopFreq of Li et al., A Next Basket Recommendation Reality Check, TOIS 2023."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fuserank_evaluation.datasets.past import PastLog


class PersonalFrequency:
    """Number of the user's events with an item."""

    name = "personal_frequency"
    needs_history = True

    def fit(self, past: PastLog) -> None:
        """See `Baseline`."""
        self._counts = past.counts

    def scores(self, users: NDArray[np.int32]) -> csr_matrix:
        """See `Baseline`."""
        return self._counts[users]
