"""UP-CF@r: recent item popularity among similar users.

Faggioli, Polato, Aiolli: Recency Aware Collaborative Filtering for Next Basket Recommendation, UMAP 2020.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from fuserank_evaluation.datasets.past import PastLog


class UpCf:
    """The sum, over all users, of their recent popularity of the item times their similarity to the power of q.

    Similarity is the asymmetric cosine of the sets of items had, |u and v| / (|u|^alpha |v|^(1 - alpha)); with
    themselves every user's is 1. The settings were the best of 25 on the window before the last.

    Args:
        recent: Latest baskets that popularity is counted in (r).
        locality: The power of the similarity (q); the higher, the more the nearest count.
        asymmetry: Alpha.
    """

    name = "up_cf"
    needs_history = True

    def __init__(self, recent: int = 25, locality: int = 5, asymmetry: float = 0.75) -> None:
        self._recent, self._locality, self._asymmetry = recent, locality, asymmetry

    def fit(self, past: PastLog) -> None:
        """See `Baseline`."""
        baskets = past.baskets
        window = np.minimum(self._recent, baskets.count)
        late = baskets.position >= baskets.count - window
        self._popularity = baskets.weighted_sum(late / window, past.users)
        is_in_history = past.counts.copy()
        is_in_history.data[:] = 1
        sizes = np.maximum(np.diff(is_in_history.indptr), 1).astype(np.float32)
        self._asking = csr_matrix(diags(sizes**-self._asymmetry) @ is_in_history)
        self._others = csr_matrix(diags(sizes ** (self._asymmetry - 1)) @ is_in_history)

    def scores(self, users: NDArray[np.int32]) -> csr_matrix:
        """See `Baseline`."""
        similarity = (self._asking[users] @ self._others.T).toarray() ** self._locality
        return csr_matrix(csr_matrix(similarity.astype(np.float32)) @ self._popularity)
