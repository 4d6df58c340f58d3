"""The interface of everything that ranks cases: baselines, single channels, the ranker."""

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
from fuserank_evaluation.retrieval.candidates import LIST_DEPTH

_BATCH = 128


class RankingMethod(Protocol):
    """Ranks items for requests."""

    @property
    def name(self) -> str:
        """Its name in the report."""
        ...

    def rank(self, cases: RankingCases) -> list[Rows] | None:
        """Ranks items for each case.

        Args:
            cases: The requests; `relevant` must not be read, and `excluded` is left out.

        Returns:
            For each case distinct item rows, best first, int32, at most `LIST_DEPTH`; None for a set of cases that
            this method cannot rank (a search engine without a query).
        """
        ...


@dataclass(frozen=True)
class ScoringMethod:
    """A baseline's scores as a ranking, of a search's candidates or, for a recommendation, of all items with events.

    Attributes:
        baseline: A fitted baseline.
        past: What it was fitted on.
        candidates: Finds the candidates of searches, in an order that equal scores keep.
    """

    baseline: Baseline
    past: PastLog
    candidates: Callable[[RankingCases], list[Rows]]

    @property
    def name(self) -> str:
        """The baseline's name."""
        return self.baseline.name

    def rank(self, cases: RankingCases) -> list[Rows] | None:
        """See `RankingMethod`; equal scores keep the candidates' order, in a recommendation that by popularity."""
        if self.baseline.needs_history and (cases.users == NOBODY).all():
            return None
        candidates = self.candidates(cases) if cases.is_search else [self.past.by_popularity] * len(cases)
        ranked: list[Rows] = []
        for start in range(0, len(cases), _BATCH):
            scores = self.baseline.scores(cases.users[start : start + _BATCH])
            for i in range(scores.shape[0]):
                of_items = _user_scores(scores, i)
                rows = candidates[start + i]
                if cases.excluded is not None:
                    rows = rows[~np.isin(rows, cases.excluded[start + i])]
                ranked.append(RankedItems.best(rows, of_items[rows], LIST_DEPTH).rows)
        return ranked


def _user_scores(scores: NDArray[np.float32] | csr_matrix, i: int) -> NDArray[np.float32]:
    """One user's scores of all items, float32 `[items]`."""
    row: NDArray[np.float32] = scores[i].toarray().ravel() if isinstance(scores, csr_matrix) else scores[i]
    return row
