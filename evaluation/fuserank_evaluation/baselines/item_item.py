"""Item-item collaborative filtering by cosine similarity, of `implicit`."""

from __future__ import annotations

import warnings

import numpy as np
from implicit.nearest_neighbours import CosineRecommender
from implicit.utils import ParameterWarning
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fuserank_evaluation.datasets.past import PastLog


class ItemItem:
    """Sum of an item's cosines to the user's items, times how often the user had each (Sarwar et al., WWW 2001).

    Items are similar if the same users had them, however often. Counting how often lowered nDCG@10 of items new to the
    household from 0.041 to 0.033 on the window before the last.

    Args:
        neighbours: Most similar items kept of each item.
    """

    name = "item_item"
    needs_history = True

    def __init__(self, neighbours: int = 100) -> None:
        self._neighbours = neighbours

    def fit(self, past: PastLog) -> None:
        """See `Baseline`."""
        model = CosineRecommender(K=self._neighbours, num_threads=1)
        self._counts = past.counts
        is_in_history = past.counts.copy()
        is_in_history.data[:] = 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ParameterWarning)  # of a format that the library chose itself
            model.fit(is_in_history, show_progress=False)
        self._similarity = csr_matrix(model.similarity, dtype=np.float32)

    def scores(self, users: NDArray[np.int32]) -> csr_matrix:
        """See `Baseline`."""
        return csr_matrix(self._counts[users] @ self._similarity)
