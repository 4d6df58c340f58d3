"""What is measured of ranked lists, case by case, so that entrants can be compared case by case.

What TREC measures comes from ir-measures. What it lacks (coverage, novelty, diversity, calibration to a user's
taste) no library of this environment has either: a few lines each, with the formula's source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ir_measures
import numpy as np
from ir_measures import AP, RR, P, R, SetF, Success, nDCG
from numpy.typing import NDArray

from fuserank_ensemble.interactions.history import History
from fuserank_evaluation.datasets.cases import Rows

CUT = 10
MEASURES: Mapping[str, ir_measures.Measure] = {
    "ndcg_at_10": nDCG @ CUT,
    "hit_at_10": Success @ CUT,
    "recall_at_10": R @ CUT,
    "recall_at_50": R @ 50,
    "recall_at_100": R @ 100,
    "precision_at_10": P @ CUT,
    "mrr": RR,
    "map": AP,
}
F1 = "f1_at_10"  # the harmonic mean of precision and recall of the first ten: SetF of the list cut there
MEANINGS = {
    "ndcg_at_10": "normalised discounted cumulative gain of the first 10",
    "hit_at_10": "share of cases with a right item among the first 10",
    "recall_at_10": "share of the right items among the first 10",
    "recall_at_50": "among the first 50",
    "recall_at_100": "among the first 100",
    "precision_at_10": "share of the first 10 that is right",
    F1: "harmonic mean of precision and recall of the first 10",
    "mrr": "mean reciprocal rank of the first right item, within 200",
    "map": "mean average precision, within 200",
}
Values = NDArray[np.float64]  # [cases]
_SMOOTHING = 0.01  # alpha in Steck's formula 7


def measure(ranked: Sequence[Rows], relevant: Sequence[Rows]) -> dict[str, Values]:
    """Every measure of every case, float64 `[cases]`; a case without a list scores 0, none is dropped.

    Args:
        ranked: Item rows, best first.
        relevant: Item rows that are right, at least one a case.

    Raises:
        ValueError: A case has no right item, or a list names an item twice.
    """
    for i, (rows, right) in enumerate(zip(ranked, relevant, strict=True)):
        if not len(right):
            raise ValueError(f"relevant[{i}]: found no right item; allowed: at least one. Leave such cases out")
        if len(np.unique(rows)) != len(rows):
            raise ValueError(f"ranked[{i}]: found an item twice; allowed: distinct item rows")
    judged = {str(i): {str(row): 1 for row in right} for i, right in enumerate(relevant)}
    values = {name: np.zeros(len(ranked)) for name in (*MEASURES, F1)}
    name_of = {each: name for name, each in MEASURES.items()}
    for metric in ir_measures.iter_calc(list(MEASURES.values()), judged, _run(ranked)):
        values[name_of[metric.measure]][int(metric.query_id)] = metric.value
    for metric in ir_measures.iter_calc([SetF], judged, _run([rows[:CUT] for rows in ranked])):
        values[F1][int(metric.query_id)] = metric.value
    return values


def _run(ranked: Sequence[Rows]) -> dict[str, dict[str, float]]:
    return {str(i): {str(row): float(-place) for place, row in enumerate(rows)} for i, rows in enumerate(ranked)}


def coverage(ranked: Sequence[Rows], items: int) -> float:
    """Share of the catalogue in anybody's first ten (Ge, Delgado-Battenfeld, Jannach, RecSys 2010)."""
    return len(np.unique(np.concatenate([rows[:CUT] for rows in ranked]))) / items


def novelty(ranked: Sequence[Rows], counts: NDArray[np.float32]) -> Values:
    """Mean self-information of the first ten in bits, -log2 of the item's share of events, `[cases]`.

    Zhou et al., PNAS 107(10), 2010; an item without events counts as one with one. NaN for an empty list.
    """
    bits = -np.log2(np.maximum(counts, 1) / max(float(counts.sum(dtype=np.float64)), 1.0))
    return np.asarray([bits[rows[:CUT]].mean() if len(rows) else np.nan for rows in ranked], np.float64)


def diversity(ranked: Sequence[Rows], vectors: NDArray[np.float32], text: NDArray[np.int32]) -> Values:
    """Mean of 1 - cosine over the pairs of the first ten's texts, `[cases]`; NaN below two items.

    The complement of intra-list similarity (Ziegler et al., WWW 2005).

    Args:
        ranked: Item rows, best first.
        vectors: L2-normalised text vectors `[texts, dim]`.
        text: Row of each item's vector `[items]`.
    """
    out = np.full(len(ranked), np.nan)
    for i, rows in enumerate(ranked):
        first = vectors[text[rows[:CUT]]].astype(np.float64)
        if len(first) > 1:
            cosines = first @ first.T
            out[i] = 1 - cosines[np.triu_indices(len(first), 1)].mean()
    return out


def miscalibration(ranked: Sequence[Rows], seen: Sequence[History], category: NDArray[np.int32]) -> Values:
    """Kullback-Leibler divergence of the first ten's categories from the user's, in nats, `[cases]`; lower is better.

    Steck, Calibrated Recommendations, RecSys 2018, formulas 5 to 7. Items without a category share one. NaN without
    a history or a list.
    """
    out = np.full(len(ranked), np.nan)
    size = int(category.max(initial=-1)) + 2
    for i, (rows, history) in enumerate(zip(ranked, seen, strict=True)):
        if not len(rows) or not len(history):
            continue
        had = np.bincount(category[history.rows] + 1, weights=history.counts, minlength=size)
        shown = np.bincount(category[rows[:CUT]] + 1, minlength=size).astype(np.float64)
        p, q = had / had.sum(), shown / shown.sum()
        smoothed = (1 - _SMOOTHING) * q + _SMOOTHING * p
        of = p > 0
        out[i] = float((p[of] * np.log(p[of] / smoothed[of])).sum())
    return out
