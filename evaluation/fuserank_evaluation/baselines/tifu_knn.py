"""TIFU-KNN: time-decayed item frequencies of the user and of similar users.

Hu, He, Gao, Zhang: Modeling Personalized Item Frequency Information for Next-basket Recommendation, SIGIR 2020.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fuserank_evaluation.datasets.past import Baskets, PastLog


class TifuKnn:
    """A user's vector is the time-decayed mean of their baskets; the prediction mixes it with its neighbours'.

    Args:
        groups: Groups of baskets that a history is cut into (m).
        within_decay: Decay by basket inside a group (r_b).
        group_decay: Decay by group (r_g).
        own_share: Weight of the user's own vector (alpha).
        neighbours: Users by Euclidean distance (k).
    """

    name = "tifu_knn"
    needs_history = True

    def __init__(
        self,
        groups: int = 7,
        within_decay: float = 1.0,
        group_decay: float = 0.6,
        own_share: float = 0.7,
        neighbours: int = 300,
    ) -> None:
        self._groups, self._within, self._between = groups, within_decay, group_decay
        self._share, self._neighbours = own_share, neighbours

    def fit(self, past: PastLog) -> None:
        """See `Baseline`."""
        weights = basket_weights(past.baskets, self._groups, self._within, self._between)
        self.vectors = past.baskets.weighted_sum(weights, past.users)
        self._squares = np.asarray(self.vectors.multiply(self.vectors).sum(1), np.float32).ravel()
        # A user without events is nobody's neighbour: a zero vector lies near every short one.
        self._known = self._squares > 0

    def scores(self, users: NDArray[np.int32]) -> csr_matrix:
        """See `Baseline`."""
        own = self.vectors[users]
        return csr_matrix(self._share * own + (1 - self._share) * (self._nearest(users) @ self.vectors))

    def _nearest(self, users: NDArray[np.int32]) -> csr_matrix:
        """Each user's neighbours, all of the same weight: float32 `[users, all users]`, rows that add up to 1."""
        products = (self.vectors[users] @ self.vectors.T).toarray()
        distances = self._squares[users][:, None] + self._squares - 2 * products
        distances[:, ~self._known] = np.inf
        distances[np.arange(len(users)), users] = np.inf
        others = int(self._known.sum()) - 1
        count = min(self._neighbours, others)
        if count < 1:
            return csr_matrix(distances.shape, dtype=np.float32)
        nearest = np.argpartition(distances, count - 1, axis=1)[:, :count]
        weights = np.full(nearest.size, 1 / count, np.float32)
        return csr_matrix((weights, (np.repeat(np.arange(len(users)), count), nearest.ravel())), distances.shape)


def basket_weights(baskets: Baskets, groups: int, within_decay: float, group_decay: float) -> NDArray[np.float64]:
    """Weight of each basket in its user's vector, `[baskets]`.

    A history of n baskets is cut into min(groups, n) groups, as even as may be, the later ones being the longer.
    Basket j of a group of s, counted back from the latest as 0, weighs within_decay^j / s; group i, counted back,
    group_decay^i / number of groups (equations 1 and 2 of the paper).
    """
    number = np.minimum(groups, baskets.count)
    length, longer = np.divmod(baskets.count, number)
    in_short = (number - longer) * length  # baskets in the groups of the lesser length
    late = baskets.position - in_short
    is_short = late < 0
    size = np.where(is_short, length, length + 1)
    group = np.where(is_short, baskets.position // length, number - longer + late // (length + 1))
    within = np.where(is_short, baskets.position % length, late % (length + 1))
    decay = within_decay ** (size - 1 - within) * group_decay ** (number - 1 - group)
    weights: NDArray[np.float64] = decay / (size * number)
    return weights
