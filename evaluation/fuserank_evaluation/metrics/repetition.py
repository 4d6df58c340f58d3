"""Repetition and exploration measured apart: recall of items that the user had before, and of items new to them.

Li, Jullien, Ariannezhad, de Rijke: A Next Basket Recommendation Reality Check, TOIS 41(4), 2023, section 3.3: the
list stays as it is, the relevant items are split, and a user without relevant items of one sort is not counted there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fuserank_evaluation.datasets.cases import RankingCases, Rows
from fuserank_evaluation.metrics.measures import CUT, MEASURES, measure


@dataclass(frozen=True)
class Repetition:
    """Means over cases of one method's lists.

    Attributes:
        repeat_share: Share of the first ten that the user had before.
        repeat_recall: Recall of the first ten among relevant items that the user had before.
        repeat_hit: Share of cases with one of those among the first ten.
        explore_recall: Recall of the first ten among relevant items that are new to the user.
        explore_hit: Share of cases with one of those among the first ten.
        repeat_cases: Cases with relevant items that the user had before.
        explore_cases: Cases with relevant items that are new to the user.
    """

    repeat_share: float
    repeat_recall: float
    repeat_hit: float
    explore_recall: float
    explore_hit: float
    repeat_cases: int
    explore_cases: int


def measure_repetition(ranked: Sequence[Rows], cases: RankingCases) -> Repetition:
    """Splits the relevant items of each case, and measures the lists against either part.

    Args:
        ranked: Item rows of each case, best first, `[cases]`.
        cases: The cases.
    """
    is_repeat = [np.isin(relevant, seen.rows) for relevant, seen in zip(cases.relevant, cases.seen, strict=True)]
    repeats = [relevant[had] for relevant, had in zip(cases.relevant, is_repeat, strict=True)]
    explored = [relevant[~had] for relevant, had in zip(cases.relevant, is_repeat, strict=True)]
    shares = [np.isin(rows[:CUT], seen.rows).mean() for rows, seen in zip(ranked, cases.seen, strict=True) if len(rows)]
    repeat_recall, repeat_hit, repeat_cases = _recall_and_hit(ranked, repeats)
    explore_recall, explore_hit, explore_cases = _recall_and_hit(ranked, explored)
    return Repetition(
        float(np.mean(shares)) if shares else 0.0,
        repeat_recall,
        repeat_hit,
        explore_recall,
        explore_hit,
        repeat_cases,
        explore_cases,
    )


def _recall_and_hit(ranked: Sequence[Rows], relevant: Sequence[Rows]) -> tuple[float, float, int]:
    """Means over the cases that have relevant items, and how many those are."""
    kept = [i for i, rows in enumerate(relevant) if len(rows)]
    if not kept:
        return 0.0, 0.0, 0
    wanted = {name: MEASURES[name] for name in ("recall_at_10", "hit_at_10")}
    values = measure([ranked[i] for i in kept], [relevant[i] for i in kept], wanted)
    return float(values["recall_at_10"].mean()), float(values["hit_at_10"].mean()), len(kept)
