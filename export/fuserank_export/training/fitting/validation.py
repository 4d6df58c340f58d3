"""Measures a ranker on later cases, beside fusion and the channels that found their candidates."""

from __future__ import annotations

from typing import Any

import ir_measures
import numpy as np
from ir_measures import nDCG
from numpy.typing import NDArray

from fuserank_ensemble.candidates.features import POSITION
from fuserank_ensemble.candidates.request import head_weights
from fuserank_ensemble.contract.options import HEADS
from fuserank_ensemble.retrieval.channels.registry import DECLARATIONS
from fuserank_export.training.cases.cases import Cases

CUT_OFF = 10


def measure_ndcg(cases: Cases, logits: NDArray[np.float32]) -> dict[str, dict[str, Any]]:
    """Returns nDCG@10 over the candidates by kind of request: the ranker's, fusion's and the best channel's.

    Cases without a right answer score 0, none is dropped.

    Args:
        cases: The cases, whose candidates stand in the order of fusion.
        logits: The ranker's, float32 `[cases, K, heads]`.
    """
    report: dict[str, dict[str, Any]] = {}
    for kind in np.unique(cases.kinds):
        of_kind = cases.kinds == kind
        head, right, scores = _scores_of_kind(cases, logits, str(kind))
        ranked = _ndcg(right, scores)
        fused = _ndcg(right, -np.broadcast_to(np.arange(scores.shape[1], dtype=np.float64), scores.shape))
        report[str(kind)] = {
            "cases": int(of_kind.sum()),
            "head": HEADS[head],
            "ranker": float(ranked.mean()),
            "fusion": float(fused.mean()),
            # Of the mean difference, by the cases.
            "standard_error": float(np.std(ranked - fused) / len(ranked) ** 0.5),
            "best_channel": _best_channel(right, cases.features[of_kind], cases.present[of_kind]),
        }
    return report


def ndcg_by_case(cases: Cases, logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns the ranker's nDCG@10 over the candidates of each case, float64 `[cases]`."""
    values = np.zeros(len(cases))
    for kind in np.unique(cases.kinds):
        _, right, scores = _scores_of_kind(cases, logits, str(kind))
        values[cases.kinds == kind] = _ndcg(right, scores)
    return values


def _scores_of_kind(
    cases: Cases, logits: NDArray[np.float32], kind: str
) -> tuple[int, NDArray[np.float32], NDArray[np.float64]]:
    """The head that a kind of request is measured by, its labels and the ranker's scores, `[cases of the kind, K]`."""
    of_kind = cases.kinds == kind
    labels = cases.labels[of_kind]
    # The last head that has labels: a purchase says more than a click, a click more than relevance.
    known = [h for h in range(len(HEADS)) if not np.isnan(labels[..., h]).all()]
    head = max(known, default=0)
    weights = np.asarray(head_weights(tuple(float(h in known) for h in range(len(HEADS))), kind != "user"))
    right = np.nan_to_num(labels[..., head])
    return head, right, np.where(cases.present[of_kind], logits[of_kind] @ weights, -1e9)


def _best_channel(right: NDArray[Any], features: NDArray[np.float32], present: NDArray[np.bool_]) -> dict[str, Any]:
    """The channel whose own order of the candidates is best, by `name` and `ndcg`; what it does not list comes last."""
    best: tuple[float, str] = (0.0, "none")
    for name, declared in DECLARATIONS.items():
        ranks = features[..., POSITION[declared.rank.name]]
        if np.isnan(ranks).all():
            continue
        ndcg = _ndcg(right, np.where(present & ~np.isnan(ranks), -np.nan_to_num(ranks), -1e6))
        best = max(best, (float(ndcg.mean()), name))
    return {"name": best[1], "ndcg": best[0]}


def _ndcg(right: NDArray[Any], scores: NDArray[Any]) -> NDArray[np.float64]:
    """nDCG@10 of each case, float64 `[cases]`; candidates of one score keep their order."""
    first = np.argsort(-scores, axis=1, kind="stable")[:, :CUT_OFF]
    run = {str(case): {str(item): -float(rank) for rank, item in enumerate(row)} for case, row in enumerate(first)}
    # A case without a right answer is judged, too, or it would be left out.
    qrels = {
        str(case): {str(item): int(right[case, item]) for item in np.flatnonzero(right[case])} or {"none": 0}
        for case in range(len(right))
    }
    values = np.zeros(len(right))
    for metric in ir_measures.iter_calc([nDCG @ CUT_OFF], qrels, run):
        values[int(metric.query_id)] = metric.value
    return values
