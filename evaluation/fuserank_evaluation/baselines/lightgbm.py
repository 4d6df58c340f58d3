"""LambdaMART on the ranker's own features and training cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from lightgbm import LGBMRanker, early_stopping, log_evaluation
from numpy.typing import NDArray

from fuserank_ensemble.contract.options import HEADS
from fuserank_evaluation.datasets.cases import RankingCases, Rows
from fuserank_evaluation.retrieval.candidates import LIST_DEPTH, CandidateFinder
from fuserank_export.training.cases.cases import Cases
from fuserank_export.training.cases.training_query import Kind

SETTINGS: dict[str, Any] = {
    "n_estimators": 1_000,  # at most: see `PATIENCE`
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_child_samples": 50,
    "subsample": 0.8,
    "subsample_freq": 1,
    "colsample_bytree": 0.8,
    "importance_type": "gain",
}
PATIENCE = 50  # rounds without a better nDCG@10 on the validation lists


@dataclass(frozen=True)
class LabelledLists:
    """Lists of candidates with labels, one list after the other.

    Attributes:
        features: float32 `[candidates, features]`, NaN where missing.
        labels: 1 where right, int8 `[candidates]`.
        sizes: Candidates of each list, int64 `[lists]`.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int8]
    sizes: NDArray[np.int64]

    @classmethod
    def from_cases(cls, cases: Cases, kind: str, heads: Sequence[str] = ("purchase",)) -> LabelledLists:
        """Takes the lists of one kind of request that have a right answer; the others teach no order.

        Args:
            cases: The ranker's cases.
            kind: The kind of request.
            heads: Whose labels to take: of each candidate those of the first head that has one.
        """
        first, *others = (cases.labels[..., HEADS.index(head)] for head in heads)
        for labels in others:
            first = np.where(np.isnan(first), labels, first)
        right = np.nan_to_num(first) > 0
        kept = (cases.kinds == kind) & right.any(1)
        lists = cases.part(kept)
        present = lists.present
        return cls(lists.features[present], right[kept][present].astype(np.int8), present.sum(1).astype(np.int64))


class LightGbm:
    """Gradient-boosted trees under LambdaMART's loss (Burges, 2010), a model for each kind of request.

    Args:
        finder: Finds and describes the candidates of the cases to be ranked.
        candidates: How many of each case's candidates are ranked, as many as the ranker gets; the others follow in
            the order of fusion.
        seed: Seed of sampling rows and columns.
        threads: Threads of training; on shared cores two wait for each other far longer than they work.
    """

    name = "lightgbm"

    def __init__(self, finder: CandidateFinder, candidates: int, seed: int, threads: int = 1) -> None:
        self._finder, self._candidates, self._seed, self._threads = finder, candidates, seed, threads
        self._models: dict[str, LGBMRanker] = {}

    def fit(self, kind: Kind, training: LabelledLists, validation: LabelledLists) -> None:
        """Fits the model of one kind of request; without lists there is none, and `rank` returns None.

        Args:
            kind: The kind of request.
            training: Lists to learn from.
            validation: Lists whose nDCG@10 decides when to stop.
        """
        if not len(training.sizes) or not len(validation.sizes):
            return
        model = LGBMRanker(random_state=self._seed, n_jobs=self._threads, verbosity=-1, **SETTINGS)
        model.fit(
            training.features,
            training.labels,
            group=training.sizes,
            eval_X=validation.features,
            eval_y=validation.labels,
            eval_group=[validation.sizes],
            eval_at=[10],
            callbacks=[early_stopping(PATIENCE, verbose=False), log_evaluation(0)],
        )
        self._models[kind] = model

    def rank(self, cases: RankingCases) -> list[Rows] | None:
        """See `RankingMethod`; None for a kind of request without a model."""
        model = self._models.get(cases.kind)
        if model is None:
            return None
        candidates = self._finder.find(cases).candidates
        sizes = [min(len(one.rows), self._candidates) for one in candidates]
        features = np.concatenate([one.features[:size] for one, size in zip(candidates, sizes, strict=True)])
        scores = np.asarray(model.predict(features)) if len(features) else np.empty(0)
        ranked: list[Rows] = []
        for one, own_scores in zip(candidates, np.split(scores, np.cumsum(sizes)[:-1]), strict=True):
            order = np.argsort(-own_scores, kind="stable")
            ranked.append(np.concatenate([one.rows[order], one.rows[len(order) :]])[:LIST_DEPTH])
        return ranked
