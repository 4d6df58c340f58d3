"""The ranker as an entrant: it gets retrieval's candidates and their features, as the graph hands them on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble.contract import HEADS
from ensemble.request import head_weights
from ensemble.retrieval.retriever import Candidates
from relevance import calibration
from relevance.calibration import Probabilities
from relevance.cases import RankingCases, Rows
from relevance.entrant import DEPTH
from relevance.retrieved import Retrieved

Score = Callable[[NDArray[np.float32]], NDArray[np.float32]]  # features [batch, K, F] -> logits [batch, K, heads]
_BATCH = 256


@dataclass(frozen=True)
class Ranker:
    """Orders the first candidates by the weighted heads; the others follow in the order of fusion.

    Attributes:
        retrieved: What was found.
        candidates: How many of a case's candidates the ranker gets.
        score: The network.
        weights: Of the heads, in the order of `HEADS`.
        trained: The heads that have learned something.
        name: As the report calls it.
    """

    retrieved: Retrieved
    candidates: int
    score: Score
    weights: tuple[float, ...]
    trained: tuple[str, ...]
    name: str = "ranker"

    def rank(self, cases: RankingCases) -> list[Rows]:
        """See `Entrant`."""
        found = self.retrieved.of(cases).candidates
        weights = np.asarray(head_weights(self.weights, cases.searches))
        ranked = []
        for each, logits in zip(found, self._logits(found), strict=True):
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
            for each, logits in zip(found, self._logits(found), strict=True)
        ]

    def _logits(self, found: Sequence[Candidates]) -> list[NDArray[np.float32]]:
        """Each case's logits, float32 `[candidates, heads]`."""
        out: list[NDArray[np.float32]] = []
        for start in range(0, len(found), _BATCH):
            part = [each.features[: self.candidates] for each in found[start : start + _BATCH]]
            features = np.full((len(part), self.candidates, part[0].shape[1]), np.nan, np.float32)
            for i, each in enumerate(part):
                features[i, : len(each)] = each
            logits = self.score(features)
            out.extend(logits[i, : len(each)] for i, each in enumerate(part))
        return out
