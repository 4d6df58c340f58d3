"""Measures nDCG@10 of candidates in a model's order, for early stopping and for the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sentence_transformers.base.evaluation import BaseEvaluator

from fuserank_export.training.text.data.pairs import RankedQuery

CUTOFF = 10
METRIC = f"ndcg@{CUTOFF}"
Scorer = Callable[[Any, list[str], list[str]], NDArray[np.float32]]  # model, queries, texts -> scores [pairs]


class RankingEvaluator(BaseEvaluator):
    """Scores every query's candidates and measures nDCG@10.

    Right items that retrieval missed count as not found, in the model's order as in that of fusion.
    """

    def __init__(self, ranked: Sequence[RankedQuery], texts: Sequence[str], scorer: Scorer) -> None:
        """Takes what is scored.

        Args:
            ranked: Queries with candidates; those without a right item are left out.
            texts: Text by item row.
            scorer: Returns a model's scores of (query, text) pairs.
        """
        super().__init__()  # type: ignore[no-untyped-call]  # untyped
        self.primary_metric = METRIC
        self._ranked = [query for query in ranked if any(query.labels) or query.missed]
        self._queries = [query.text for query in self._ranked for _ in query.rows]
        self._texts = [texts[row] for query in self._ranked for row in query.rows]
        self._scorer = scorer

    @property
    def pairs(self) -> int:
        """Number of (query, text) pairs that one evaluation scores."""
        return len(self._queries)

    def __call__(
        self, model: Any, output_path: str | None = None, epoch: float = -1, steps: int = -1
    ) -> dict[str, float]:
        """Returns the model's mean `ndcg@10`; the other parameters are the library's and not used."""
        scores = self._scorer(model, self._queries, self._texts)
        boundaries = np.cumsum([len(query.rows) for query in self._ranked])[:-1]
        orders = [np.argsort(-part, kind="stable") for part in np.split(scores, boundaries)]
        return {METRIC: self._mean_ndcg(orders)}

    def measure_fusion(self) -> float:
        """Returns the mean nDCG@10 of the candidates in the order of fusion."""
        return self._mean_ndcg([np.arange(len(query.rows)) for query in self._ranked])

    def _mean_ndcg(self, orders: Sequence[NDArray[np.intp]]) -> float:
        values = [
            compute_ndcg(np.asarray(query.labels)[order], sum(query.labels) + len(query.missed))
            for query, order in zip(self._ranked, orders, strict=True)
        ]
        return float(np.mean(values)) if values else 0.0


def compute_ndcg(labels: NDArray[Any], relevant: int) -> float:
    """Returns nDCG@10 of binary labels in ranked order (Järvelin and Kekäläinen, TOIS 2002).

    Args:
        labels: 1 where right, `[candidates]`, best first.
        relevant: Number of right items, retrieved or not; 1 or more.
    """
    discounts = 1.0 / np.log2(np.arange(2, CUTOFF + 2))
    top = labels[:CUTOFF]
    return float((top * discounts[: len(top)]).sum() / discounts[: min(CUTOFF, relevant)].sum())
