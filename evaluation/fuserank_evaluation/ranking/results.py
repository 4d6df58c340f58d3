"""Rankings of all methods on all sets of cases, and their measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fuserank_evaluation.datasets.cases import RankingCases, Rows
from fuserank_evaluation.metrics.measures import Values, measure_all
from fuserank_evaluation.progress import ProgressCallback, ignore_progress
from fuserank_evaluation.ranking.method import RankingMethod

MAIN = "ndcg_at_10"


@dataclass(frozen=True)
class Ranking:
    """One method's lists for one set of cases.

    Attributes:
        ranked: Item rows of each case, best first, `[cases]`.
        values: Every measure by name, float64 `[cases]`.
    """

    ranked: list[Rows]
    values: Mapping[str, Values]

    def mean(self, measure: str) -> float:
        """A measure's mean over the cases."""
        return float(self.values[measure].mean())


@dataclass
class Results:
    """Rankings by set of cases and method.

    Attributes:
        cases: The sets by name.
        rankings: For each set, the rankings of the methods that can rank it.
    """

    cases: dict[str, RankingCases] = field(default_factory=dict)
    rankings: dict[str, dict[str, Ranking]] = field(default_factory=dict)

    def add(
        self, cases: RankingCases, methods: Sequence[RankingMethod], on_progress: ProgressCallback = ignore_progress
    ) -> None:
        """Ranks and measures a set by methods; those that cannot rank it are left out."""
        self.cases[cases.name] = cases
        rankings = self.rankings.setdefault(cases.name, {})
        for done, method in enumerate(methods, start=1):
            ranked = method.rank(cases)
            if ranked is not None:
                rankings[method.name] = Ranking(ranked, measure_all(ranked, cases.relevant))
            on_progress(f"ranking {cases.name.replace('_', ' ')}", done, len(methods))

    def best_baseline(self, name: str, ranker: str, measure: str = MAIN) -> str | None:
        """The best method on a set beside the ranker; None where there is no other."""
        others = {method: one.mean(measure) for method, one in self.rankings[name].items() if method != ranker}
        return max(others, key=lambda method: others[method]) if others else None


def mean_and_deviation(figures: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation over windows of each method's figure; a method of one window has deviation 0.

    Args:
        figures: The figure by method, for each window.
    """
    methods = dict.fromkeys(method for window in figures for method in window)
    return {
        method: (float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0)
        for method in methods
        if (values := [window[method] for window in figures if method in window])
    }
