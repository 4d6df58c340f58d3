"""Repetition and exploration apart: what a list finds of what the user had before, and of what is new to them.

Li, Jullien, Ariannezhad, de Rijke: A Next Basket Recommendation Reality Check, TOIS 41(4), 2023, section 3.3: the
list stays as it is, the right items are split; a user without right items of one sort does not count for that sort.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fuserank_evaluation.datasets.cases import RankingCases, Rows
from fuserank_evaluation.metrics.measures import CUT, measure


@dataclass(frozen=True)
class Repetition:
    """Of one entrant, means over cases.

    Attributes:
        repeat_share: Share of the first ten that the user had before.
        repeat_recall: Recall of the first ten among right items that the user had before.
        repeat_hit: Share of cases with one of them among the first ten.
        explore_recall: Likewise among right items that are new to the user.
        explore_hit: Likewise.
        repeat_cases: Cases with right items of the first sort.
        explore_cases: Of the second.
    """

    repeat_share: float
    repeat_recall: float
    repeat_hit: float
    explore_recall: float
    explore_hit: float
    repeat_cases: int
    explore_cases: int


def repetition(ranked: Sequence[Rows], cases: RankingCases) -> Repetition:
    """Splits the right items of each case, and measures the lists against either part."""
    had = [np.isin(right, seen.rows) for right, seen in zip(cases.relevant, cases.seen, strict=True)]
    repeats = [right[mine] for right, mine in zip(cases.relevant, had, strict=True)]
    explored = [right[~mine] for right, mine in zip(cases.relevant, had, strict=True)]
    shares = [np.isin(rows[:CUT], seen.rows).mean() for rows, seen in zip(ranked, cases.seen, strict=True) if len(rows)]
    repeat_recall, repeat_hit, repeat_cases = _found(ranked, repeats)
    explore_recall, explore_hit, explore_cases = _found(ranked, explored)
    return Repetition(
        float(np.mean(shares)) if shares else 0.0,
        repeat_recall,
        repeat_hit,
        explore_recall,
        explore_hit,
        repeat_cases,
        explore_cases,
    )


def _found(ranked: Sequence[Rows], right: Sequence[Rows]) -> tuple[float, float, int]:
    kept = [i for i, rows in enumerate(right) if len(rows)]
    if not kept:
        return 0.0, 0.0, 0
    values = measure([ranked[i] for i in kept], [right[i] for i in kept])
    return float(values["recall_at_10"].mean()), float(values["hit_at_10"].mean()), len(kept)
