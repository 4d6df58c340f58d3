"""The ranker as an entrant: it gets retrieval's candidates and their features, as the graph hands them on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.request import head_weights
from fuserank_ensemble.candidates.retriever import Candidates
from fuserank_ensemble.contract.options import HEADS
from fuserank_evaluation.datasets.cases import RankingCases, Rows
from fuserank_evaluation.metrics import calibration
from fuserank_evaluation.metrics.calibration import Probabilities
from fuserank_evaluation.ranking.entrant import DEPTH
from fuserank_evaluation.ranking.retrieved import Retrieved

# Of each case's candidates the logits, float32 [candidates, heads].
Score = Callable[[Sequence[Candidates]], list[NDArray[np.float32]]]


@dataclass(frozen=True)
class Ranker:
    """Orders the candidates that it scores by the weighted heads; the others follow in the order of fusion.

    Attributes:
        retrieved: What was found.
        score: The network; it may score fewer than there are, the first ones.
        weights: Of the heads, in the order of `HEADS`.
        trained: The heads that have learned something.
        name: As the report calls it.
    """

    retrieved: Retrieved
    score: Score
    weights: tuple[float, ...]
    trained: tuple[str, ...]
    name: str = "ranker"

    def rank(self, cases: RankingCases) -> list[Rows]:
        """See `Entrant`."""
        found = self.retrieved.of(cases).candidates
        weights = np.asarray(head_weights(self.weights, cases.searches))
        ranked = []
        for each, logits in zip(found, self.score(found), strict=True):
            order = np.argsort(-(logits @ weights), kind="stable")
            ranked.append(np.concatenate([each.rows[order], each.rows[len(order) :]])[:DEPTH])
        return ranked

    def probabilities(self, cases: RankingCases) -> list[Probabilities]:
        """See `Calibrated`."""
        found = self.retrieved.of(cases).candidates
        heads = [head for head in calibration.HEADS if head in self.trained]
        return [
            Probabilities(
                each.rows[: len(logits)], {head: 1 / (1 + np.exp(-logits[:, HEADS.index(head)])) for head in heads}
            )
            for each, logits in zip(found, self.score(found), strict=True)
        ]
