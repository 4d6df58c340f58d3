"""What every baseline that scores items for a user is: settings, a fit on the past, then scores."""

from __future__ import annotations

from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fuserank_evaluation.datasets.past import PastLog

Scores: TypeAlias = NDArray[np.float32] | csr_matrix  # [users, items]; what a sparse matrix leaves out is 0


class Baseline(Protocol):
    """Scores every item for users. Items of equal score keep the order of the candidates.

    Attributes:
        name: As the report calls it.
        needs_history: Whether it has nothing to say to somebody new.
    """

    name: str
    needs_history: bool

    def fit(self, past: PastLog) -> None:
        """Learns from what lies before the cut."""
        ...

    def scores(self, users: NDArray[np.int32]) -> Scores:
        """Scores for rows of the past's users, row -1 being somebody new: `[users, items]`."""
        ...
