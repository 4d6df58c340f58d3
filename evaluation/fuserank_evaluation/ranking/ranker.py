"""The bundle's ranker as a ranking method: it gets candidates and features exactly as in serving."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from fuserank_ensemble.candidates.candidate_set import Candidates
from fuserank_ensemble.candidates.request import head_weights
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.contract.options import HEADS
from fuserank_ensemble.ranking.adjustments import CandidatePlaces, adjust
from fuserank_ensemble.ranking.order import rank_by_score, rank_varied
from fuserank_evaluation.datasets.cases import RankingCases, Rows
from fuserank_evaluation.metrics import calibration
from fuserank_evaluation.metrics.calibration import Probabilities
from fuserank_evaluation.retrieval.candidates import LIST_DEPTH, CandidateFinder

# Logits of each case's candidates, float32 [candidates, heads].
Score = Callable[[Sequence[Candidates]], list[NDArray[np.float32]]]


@dataclass(frozen=True)
class Ranker:
    """Orders the candidates that it scores as a served graph does; the others follow in the order of fusion.

    Attributes:
        finder: Finds the candidates.
        score: The network; it may score only the first candidates of a case.
        items: The catalogue.
        priors: Whether it learned from made-up queries, see `adjust`.
        weights: Weights of the heads, in the order of `HEADS`.
        trained: The heads that had labels to learn from.
        name: Its name in the report.
    """

    finder: CandidateFinder
    score: Score
    items: Items
    priors: bool
    weights: tuple[float, ...]
    trained: tuple[str, ...]
    name: str = "ranker"

    def rank(self, cases: RankingCases) -> list[Rows]:
        """See `RankingMethod`."""
        candidates = self.finder.find(cases).candidates
        weights = np.asarray(head_weights(self.weights, cases.is_search))
        ranked = []
        for one, logits in zip(candidates, self.score(candidates), strict=True):
            count, rows = len(logits), one.rows[: len(logits)]
            scores = logits @ weights
            places = CandidatePlaces.of(self.items, rows)
            liked = np.zeros(count, np.float32)  # the cases' users disliked nothing
            adjustments = adjust(scores, one.features[:count], places, liked, count, ranked=True, priors=self.priors)
            scores = adjustments.add_to(scores)
            if cases.is_search:
                best = rank_by_score(rows, scores, count)
            else:
                best = rank_varied(rows, scores, places.category, count, count)
            ranked.append(np.concatenate([best.rows, one.rows[count:]])[:LIST_DEPTH])
        return ranked

    def probabilities(self, cases: RankingCases) -> list[Probabilities]:
        """Probabilities of each case's scored candidates by trained head, `[cases]`."""
        candidates = self.finder.find(cases).candidates
        heads = [head for head in calibration.HEADS if head in self.trained]
        return [
            Probabilities(one.rows[: len(logits)], {head: expit(logits[:, HEADS.index(head)]) for head in heads})
            for one, logits in zip(candidates, self.score(candidates), strict=True)
        ]
