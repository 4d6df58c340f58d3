"""Whatever ranks cases: baselines, single channels, the ranker. The harness takes them all the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fuserank_ensemble.retrieval.channel import RankedItems
from fuserank_evaluation.baselines.baseline import Baseline
from fuserank_evaluation.datasets.cases import NOBODY, RankingCases, Rows
from fuserank_evaluation.datasets.past import PastLog

DEPTH = 200  # of a ranked list
_BATCH = 128


class Entrant(Protocol):
    """Ranks items for requests."""

    @property
    def name(self) -> str:
        """As the report calls it."""
        ...

    def rank(self, cases: RankingCases) -> list[Rows] | None:
        """Ranks.

        Args:
            cases: The requests; `relevant` is not to be looked at. `exclude_seen` leaves out what a user had.

        Returns:
            For each case distinct item rows, best first, int32, at most `DEPTH`; None for cases that this entrant
            has no answer to (a search engine without a query).
        """
        ...


@dataclass(frozen=True)
class ScoringEntrant:
    """A baseline that scores: it ranks a search's candidates, and for a recommendation all items with events.

    Attributes:
        baseline: It is fitted.
        past: What it was fitted on.
        candidates: Finds the candidates of searches, in an order that equal scores keep.
    """

    baseline: Baseline
    past: PastLog
    candidates: Callable[[RankingCases], list[Rows]]

    @property
    def name(self) -> str:
        """The baseline's."""
        return self.baseline.name

    def rank(self, cases: RankingCases) -> list[Rows] | None:
        """See `Entrant`; items of equal score keep the candidates' order, in a recommendation the popular first."""
        if self.baseline.needs_history and (cases.users == NOBODY).all():
            return None
        candidates = self.candidates(cases) if cases.searches else [self.past.by_popularity] * len(cases)
        ranked: list[Rows] = []
        for start in range(0, len(cases), _BATCH):
            scores = self.baseline.scores(cases.users[start : start + _BATCH])
            for i in range(scores.shape[0]):
                row = _row(scores, i)
                rows = candidates[start + i]
                if cases.exclude_seen:
                    rows = rows[~np.isin(rows, cases.seen[start + i].rows)]
                ranked.append(RankedItems.best(rows, row[rows], DEPTH).rows)
        return ranked


def _row(scores: NDArray[np.float32] | csr_matrix, i: int) -> NDArray[np.float32]:
    """One user's scores of all items, float32 `[items]`."""
    row: NDArray[np.float32] = scores[i].toarray().ravel() if isinstance(scores, csr_matrix) else scores[i]
    return row
