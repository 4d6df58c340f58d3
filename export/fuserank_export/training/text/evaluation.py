"""nDCG@10 of candidates put in a model's order: what training stops by, and what its report says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sentence_transformers.base.evaluation import BaseEvaluator

from fuserank_export.training.text.pairs import Ranked

CUT = 10
METRIC = f"ndcg@{CUT}"
Scorer = Callable[[Any, list[str], list[str]], NDArray[np.float32]]  # model, queries, texts -> score of each pair


class RankingEvaluator(BaseEvaluator):
    """Scores every query's candidates and measures nDCG@10.

    Right items that retrieval missed count against both orders, as they do for a searcher.
    """

    def __init__(self, ranked: Sequence[Ranked], texts: Sequence[str], scorer: Scorer) -> None:
        """Takes queries with candidates, text by item row, and what scores (query, text) pairs."""
        super().__init__()  # type: ignore[no-untyped-call]  # untyped
        self.primary_metric = METRIC
        self._ranked = [each for each in ranked if any(each.labels) or each.missed]
        self._queries = [each.text for each in self._ranked for _ in each.rows]
        self._texts = [texts[row] for each in self._ranked for row in each.rows]
        self._scorer = scorer

    @property
    def pairs(self) -> int:
        """How many (query, text) pairs one evaluation scores."""
        return len(self._queries)

    def __call__(
        self, model: Any, output_path: str | None = None, epoch: float = -1, steps: int = -1
    ) -> dict[str, float]:
        """Measures the model: `ndcg@10`. The other parameters are the library's and not needed."""
        scores = self._scorer(model, self._queries, self._texts)
        cuts = np.cumsum([len(each.rows) for each in self._ranked])[:-1]
        orders = [np.argsort(-part, kind="stable") for part in np.split(scores, cuts)]
        return {METRIC: self._mean(orders)}

    def fused(self) -> float:
        """The same of the candidates as retrieval ordered them."""
        return self._mean([np.arange(len(each.rows)) for each in self._ranked])

    def _mean(self, orders: Sequence[NDArray[np.intp]]) -> float:
        values = [
            ndcg(np.asarray(each.labels)[order], sum(each.labels) + len(each.missed))
            for each, order in zip(self._ranked, orders, strict=True)
        ]
        return float(np.mean(values)) if values else 0.0


def ndcg(labels: NDArray[Any], relevant: int) -> float:
    """nDCG@10 of binary labels in ranked order (Jarvelin and Kekalainen, TOIS 2002).

    Args:
        labels: 1 where right, `[candidates]`, best first.
        relevant: Right items in all, found or not; one or more.
    """
    discounts = 1.0 / np.log2(np.arange(2, CUT + 2))
    top = labels[:CUT]
    return float((top * discounts[: len(top)]).sum() / discounts[: min(CUT, relevant)].sum())
