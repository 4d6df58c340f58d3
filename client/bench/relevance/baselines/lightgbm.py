"""LambdaMART on the ranker's own features: what a good engineer would build from the same logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from lightgbm import LGBMRanker, early_stopping, log_evaluation
from numpy.typing import NDArray

from ensemble.features import FEATURES
from ensemble.retrieval.retriever import Candidates
from relevance.cases import RankingCases, Rows
from relevance.entrant import DEPTH
from relevance.retrieved import Retrieved

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
PATIENCE = 50  # rounds without a better nDCG@10 on the held-out lists
HELD_OUT = 0.1  # of the lists


@dataclass(frozen=True)
class Lists:
    """Candidates to learn from.

    Attributes:
        features: float32 `[candidates, features]`, NaN where missing, one list after the other.
        labels: 1 where right, int8 `[candidates]`.
        sizes: Candidates of each list, int64 `[lists]`.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int8]
    sizes: NDArray[np.int64]

    @classmethod
    def of(cls, found: Sequence[Candidates], relevant: Sequence[Rows]) -> Lists:
        """The lists in which something is right; the others teach no order."""
        right = [np.isin(each.rows, rows) for each, rows in zip(found, relevant, strict=True)]
        kept = [i for i, labels in enumerate(right) if labels.any()]
        return cls(
            np.concatenate([found[i].features for i in kept] or [np.empty((0, len(FEATURES)), np.float32)]),
            np.concatenate([right[i] for i in kept] or [np.empty(0, np.bool_)]).astype(np.int8),
            np.asarray([len(right[i]) for i in kept], np.int64),
        )

    @classmethod
    def joined(cls, parts: Sequence[Lists]) -> Lists:
        """Several windows' lists together."""
        return cls(
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.sizes for part in parts]),
        )

    def part(self, which: NDArray[np.bool_]) -> Lists:
        """Some of the lists, bool `[lists]`."""
        rows = np.repeat(which, self.sizes)
        return Lists(self.features[rows], self.labels[rows], self.sizes[which])


class LightGbm:
    """Gradient-boosted trees under LambdaMART's loss (Burges, 2010), a model for each kind of request.

    Args:
        retrieved: Finds and describes the candidates of the cases to be ranked.
        candidates: How many of each case's candidates are ranked, as many as the ranker gets; the others follow in
            the order of fusion.
        seed: Of sampling and of which lists are held out.
        threads: Of training.
    """

    name = "lightgbm"

    def __init__(self, retrieved: Retrieved, candidates: int, seed: int, threads: int = 2) -> None:
        self._retrieved, self._candidates, self._seed, self._threads = retrieved, candidates, seed, threads
        self._models: dict[str, LGBMRanker] = {}

    def fit(self, kind: str, lists: Lists) -> None:
        """Learns one kind of request, see `kind_of_cases`."""
        draw = np.random.default_rng(self._seed)
        held_out = draw.random(len(lists.sizes)) < HELD_OUT
        learned, measured = lists.part(~held_out), lists.part(held_out)
        model = LGBMRanker(random_state=self._seed, n_jobs=self._threads, verbosity=-1, **SETTINGS)
        model.fit(
            learned.features,
            learned.labels,
            group=learned.sizes,
            eval_X=measured.features,
            eval_y=measured.labels,
            eval_group=[measured.sizes],
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


def kind_of_cases(cases: RankingCases) -> str:
    """Which kind of request a set of cases holds: `both`, `query`, `user`, or `new` without what the user had."""
    if not cases.searches:
        return "new" if cases.exclude_seen else "user"
    return "both" if any(len(seen) for seen in cases.seen) else "query"
