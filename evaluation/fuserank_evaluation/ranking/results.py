"""Lets entrants rank the sets of cases, and measures them all alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fuserank_evaluation.datasets.cases import RankingCases, Rows
from fuserank_evaluation.metrics.measures import Values, measure
from fuserank_evaluation.ranking.entrant import Entrant

MAIN = "ndcg_at_10"


@dataclass(frozen=True)
class Ranking:
    """One entrant's lists for one set of cases.

    Attributes:
        ranked: Item rows of each case, best first.
        values: Every measure by name, float64 `[cases]`.
    """

    ranked: list[Rows]
    values: Mapping[str, Values]

    def mean(self, name: str) -> float:
        """A measure's mean over the cases."""
        return float(self.values[name].mean())


@dataclass
class Results:
    """Rankings by set of cases and entrant.

    Attributes:
        cases: The sets by name.
        rankings: For each set, the entrants that had an answer.
    """

    cases: dict[str, RankingCases] = field(default_factory=dict)
    rankings: dict[str, dict[str, Ranking]] = field(default_factory=dict)

    def add(
        self,
        cases: RankingCases,
        entrants: Sequence[Entrant],
        advanced: Callable[[str, int, int], None] = lambda step, done, total: None,
    ) -> None:
        """Measures entrants on a set; those without an answer to it (None) do not stand in its table."""
        self.cases[cases.name] = cases
        mine = self.rankings.setdefault(cases.name, {})
        for done, entrant in enumerate(entrants, start=1):
            ranked = entrant.rank(cases)
            if ranked is not None:
                mine[entrant.name] = Ranking(ranked, measure(ranked, cases.relevant))
            advanced(f"{cases.name}: {entrant.name}", done, len(entrants))

    def best_baseline(self, name: str, ranker: str, measured: str = MAIN) -> str | None:
        """Which other entrant is best on a set; None where there is no other."""
        others = {entrant: each.mean(measured) for entrant, each in self.rankings[name].items() if entrant != ranker}
        return max(others, key=lambda entrant: others[entrant]) if others else None


def folded(figures: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation over windows of each entrant's figure; an entrant of one window has 0 for the latter.

    Args:
        figures: For each window, the figure by entrant.
    """
    names = dict.fromkeys(name for each in figures for name in each)
    return {
        name: (float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0)
        for name in names
        if (values := [each[name] for each in figures if name in each])
    }
