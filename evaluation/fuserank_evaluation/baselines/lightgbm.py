"""LambdaMART on the ranker's own features: what a good engineer would build from the same logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from lightgbm import LGBMRanker, early_stopping, log_evaluation
from numpy.typing import NDArray

from fuserank_ensemble.contract.options import HEADS
from fuserank_evaluation.datasets.cases import RankingCases, Rows
from fuserank_evaluation.ranking.entrant import DEPTH
from fuserank_evaluation.ranking.retrieved import Retrieved
from fuserank_export.training.cases.cases import Cases
from fuserank_export.training.cases.training_query import Kind

PURCHASE = HEADS.index("purchase")
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
PATIENCE = 50  # rounds without a better nDCG@10 on the later lists


@dataclass(frozen=True)
class Lists:
    """Candidates to learn from.

    Attributes:
        features: float32 `[candidates, features]`, NaN where missing, one list after the other.
        labels: 1 where bought, int8 `[candidates]`.
        sizes: Candidates of each list, int64 `[lists]`.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int8]
    sizes: NDArray[np.int64]

    @classmethod
    def of(cls, cases: Cases, kind: str) -> Lists:
        """The lists of one kind of request in which something was bought; the others teach no order."""
        bought = np.nan_to_num(cases.labels[..., PURCHASE]) > 0
        mine = cases.part((cases.kinds == kind) & bought.any(1))
        present = mine.present
        labels = np.nan_to_num(mine.labels[..., PURCHASE][present]).astype(np.int8)
        return cls(mine.features[present], labels, present.sum(1).astype(np.int64))


class LightGbm:
    """Gradient-boosted trees under LambdaMART's loss (Burges, 2010), a model for each kind of request.

    Args:
        retrieved: Finds and describes the candidates of the cases to be ranked.
        candidates: How many of each case's candidates are ranked, as many as the ranker gets; the others follow in
            the order of fusion.
        seed: Of sampling rows and columns.
        threads: Of training; on shared cores two wait for each other far longer than they work.
    """

    name = "lightgbm"

    def __init__(self, retrieved: Retrieved, candidates: int, seed: int, threads: int = 1) -> None:
        self._retrieved, self._candidates, self._seed, self._threads = retrieved, candidates, seed, threads
        self._models: dict[str, LGBMRanker] = {}

    def fit(self, kind: Kind, learned: Lists, later: Lists) -> None:
        """Learns one kind of request; one that has no lists stays unlearned, and `rank` says so.

        Args:
            kind: Which.
            learned: Lists to learn from.
            later: Lists whose nDCG@10 says when to stop.
        """
        if not len(learned.sizes) or not len(later.sizes):
            return
        model = LGBMRanker(random_state=self._seed, n_jobs=self._threads, verbosity=-1, **SETTINGS)
        model.fit(
            learned.features,
            learned.labels,
            group=learned.sizes,
            eval_X=later.features,
            eval_y=later.labels,
            eval_group=[later.sizes],
            eval_at=[10],
            callbacks=[early_stopping(PATIENCE, verbose=False), log_evaluation(0)],
        )
        self._models[kind] = model

    def rank(self, cases: RankingCases) -> list[Rows] | None:
        """See `Entrant`; None for a kind that it has not learned."""
        model = self._models.get(kind_of_cases(cases))
        if model is None:
            return None
        found = self._retrieved.of(cases).candidates
        sizes = [min(len(each.rows), self._candidates) for each in found]
        features = np.concatenate([each.features[:size] for each, size in zip(found, sizes, strict=True)])
        scores = np.asarray(model.predict(features)) if len(features) else np.empty(0)
        ranked: list[Rows] = []
        for each, own in zip(found, np.split(scores, np.cumsum(sizes)[:-1]), strict=True):
            order = np.argsort(-own, kind="stable")
            ranked.append(np.concatenate([each.rows[order], each.rows[len(order) :]])[:DEPTH])
        return ranked


def kind_of_cases(cases: RankingCases) -> Kind:
    """Which kind of request a set of cases holds, see `fuserank_export.training.cases.builder.Kind`."""
    if not cases.searches:
        return "discover" if cases.exclude_seen else "user"
    return "both" if any(len(seen) for seen in cases.seen) else "query"
