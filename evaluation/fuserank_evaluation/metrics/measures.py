"""Measures of ranked lists, case by case, so that methods can be compared case by case.

ir-measures computes all that TREC defines. Coverage, novelty, diversity and miscalibration are short formulas over
numpy and scipy, each with its source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ir_measures
import numpy as np
from ir_measures import AP, RR, P, R, SetF, Success, nDCG
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from scipy.special import rel_entr

from fuserank_ensemble.interactions.history import History
from fuserank_evaluation.datasets.cases import Rows
from fuserank_evaluation.datasets.judged import JudgedQueries

CUT = 10
Measures = Mapping[str, ir_measures.Measure]  # by the name of the figure
MEASURES: Measures = {
    "ndcg_at_10": nDCG @ CUT,
    "hit_at_10": Success @ CUT,
    "recall_at_10": R @ CUT,
    "recall_at_50": R @ 50,
    "recall_at_100": R @ 100,
    "precision_at_10": P @ CUT,
    "mrr": RR,
    "map": AP,
}
SET_MEASURES: Measures = {"f1_at_10": SetF}  # of the list cut after the first ten
MEANINGS = {
    "ndcg_at_10": "normalised discounted cumulative gain of the first 10",
    "hit_at_10": "share of cases with a right item among the first 10",
    "recall_at_10": "share of the right items among the first 10",
    "recall_at_50": "among the first 50",
    "recall_at_100": "among the first 100",
    "precision_at_10": "share of the first 10 that is right",
    "f1_at_10": "harmonic mean of precision and recall of the first 10",
    "mrr": "mean reciprocal rank of the first right item, within 200",
    "map": "mean average precision, within 200",
}
Values = NDArray[np.float64]  # [cases]
_SMOOTHING = 0.01  # alpha in Steck's formula 7


def measure_all(ranked: Sequence[Rows], relevant: Sequence[Rows]) -> dict[str, Values]:
    """Every measure of `MEANINGS`; see `measure`."""
    first = [rows[:CUT] for rows in ranked]
    return measure(ranked, relevant, MEASURES) | measure(first, relevant, SET_MEASURES)


def measure(ranked: Sequence[Rows], relevant: Sequence[Rows], measures: Measures) -> dict[str, Values]:
    """Values of every case, float64 `[cases]`; a case with an empty list scores 0, none is dropped.

    Args:
        ranked: Item rows, best first, `[cases]`.
        relevant: Relevant item rows, at least one a case, `[cases]`.
        measures: What to compute, by name.

    Raises:
        ValueError: A case has no relevant item, or a list names an item twice.
    """
    for i, (rows, answers) in enumerate(zip(ranked, relevant, strict=True)):
        if not len(answers):
            raise ValueError(f"relevant[{i}]: found no relevant item; allowed: at least one. Leave such cases out")
        if len(np.unique(rows)) != len(rows):
            raise ValueError(f"ranked[{i}]: found an item twice; allowed: distinct item rows")
    cases = [str(i) for i in range(len(relevant))]
    qrels = {case: {str(row): 1 for row in answers} for case, answers in zip(cases, relevant, strict=True)}
    return _values(cases, qrels, [[str(row) for row in rows] for rows in ranked], measures)


def measure_judged(judged: JudgedQueries, ranked: Sequence[Sequence[str]], measures: Measures) -> dict[str, Values]:
    """Values of every judged query in the order of `judged.queries`, float64 `[queries]`.

    Args:
        judged: Queries and grades; an item without a grade counts as not relevant.
        ranked: Distinct item ids, best first, `[queries]`.
        measures: What to compute, by name.
    """
    return _values(list(judged.queries), judged.grades, ranked, measures)


def _values(
    queries: Sequence[str], qrels: dict[str, dict[str, int]], ranked: Sequence[Sequence[str]], measures: Measures
) -> dict[str, Values]:
    run = {
        query: {item: float(-place) for place, item in enumerate(items)}
        for query, items in zip(queries, ranked, strict=True)
    }
    position = {query: i for i, query in enumerate(queries)}
    names = {measure_: name for name, measure_ in measures.items()}
    values = {name: np.zeros(len(queries)) for name in measures}
    for metric in ir_measures.iter_calc(list(measures.values()), {query: qrels[query] for query in queries}, run):
        values[names[metric.measure]][position[metric.query_id]] = metric.value
    return values


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
    """Mean cosine distance over the pairs of the first ten's texts, `[cases]`; NaN below two items.

    The complement of intra-list similarity (Ziegler et al., WWW 2005).

    Args:
        ranked: Item rows, best first.
        vectors: Text vectors `[texts, dim]`.
        text: Row of each item's vector `[items]`.
    """
    pairs = [pdist(vectors[text[rows[:CUT]]].astype(np.float64), "cosine") for rows in ranked]
    return np.asarray([distances.mean() if len(distances) else np.nan for distances in pairs], np.float64)


def miscalibration(ranked: Sequence[Rows], seen: Sequence[History], category: NDArray[np.int32]) -> Values:
    """Kullback-Leibler divergence of the first ten's categories from the user's, in nats, `[cases]`; lower is better.

    Steck, Calibrated Recommendations, RecSys 2018, formulas 5 to 7. Items without a category share one. NaN without
    a history or a list.
    """
    divergence = np.full(len(ranked), np.nan)
    size = int(category.max(initial=-1)) + 2
    for i, (rows, history) in enumerate(zip(ranked, seen, strict=True)):
        if not len(rows) or not len(history):
            continue
        in_history = np.bincount(category[history.rows] + 1, weights=history.counts, minlength=size)
        in_list = np.bincount(category[rows[:CUT]] + 1, minlength=size).astype(np.float64)
        p, q = in_history / in_history.sum(), in_list / in_list.sum()
        divergence[i] = rel_entr(p, (1 - _SMOOTHING) * q + _SMOOTHING * p).sum()
    return divergence
