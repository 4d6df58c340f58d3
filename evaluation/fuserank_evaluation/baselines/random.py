"""Random scores, the lower bound of every figure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fuserank_evaluation.datasets.past import PastLog


class Random:
    """Uniform scores, the same for a user however the users are batched."""

    name = "random"
    needs_history = False

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._items = 0

    def fit(self, past: PastLog) -> None:
        """See `Baseline`; only the size of the catalogue is used."""
        self._items = past.catalog

    def scores(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        """See `Baseline`."""
        draws = [np.random.default_rng([self._seed, int(user) + 1]) for user in users]
        return np.stack([draw.random(self._items, np.float32) for draw in draws])
