"""The items with most events of all users."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fuserank_evaluation.datasets.past import PastLog


class Popularity:
    """Number of an item's events, of all users and all times."""

    name = "popularity"
    needs_history = False

    def fit(self, past: PastLog) -> None:
        """See `Baseline`."""
        self._counts = past.popularity

    def scores(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        """See `Baseline`; the same for every user."""
        return np.broadcast_to(self._counts, (len(users), len(self._counts)))
