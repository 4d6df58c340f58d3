"""The interface of baselines that score items for a user: settings, a fit on the past, then scores."""

from __future__ import annotations

from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fuserank_evaluation.datasets.past import PastLog

Scores: TypeAlias = NDArray[np.float32] | csr_matrix  # [users, items]; what a sparse matrix leaves out is 0


class Baseline(Protocol):
    """Scores every item for users; items of equal score keep the order of the candidates.

    Attributes:
        name: Its name in the report.
        needs_history: Whether it has no scores for a new user.
    """

    name: str
    needs_history: bool

    def fit(self, past: PastLog) -> None:
        """Learns from the events before the cut."""
        ...

    def scores(self, users: NDArray[np.int32]) -> Scores:
        """Scores `[users, items]` for user rows of the past, row -1 being a new user."""
        ...
