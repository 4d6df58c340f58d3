"""The gate: an engine passes where its outputs agree with FP32's and it ranks real requests as FP32 does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import ir_measures
import numpy as np
from ir_measures import nDCG
from numpy.typing import NDArray

from fuserank_ensemble.graph.engine import Session
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.spec import EngineKind
from fuserank_export.engines.parity.adversarial import Feed
from fuserank_export.engines.parity.layers import relative_error
from fuserank_export.engines.parity.requests import RealRequest

CUTOFF = 10
MAX_NDCG_LOSS = 0.005  # relative
MIN_OVERLAP = 0.95
Precision = Literal["fp32", "fp16", "int8"]
# Relative error of an output. Eight bits move the vectors of all-MiniLM-L6-v2 by a fifth; ranking decides whether
# that matters.
MAX_ERROR: Mapping[Precision, float] = {"fp32": 1e-4, "fp16": 1e-2, "int8": 0.3}
MIN_TEXT_EFFECT = 0.2  # relative to that of the bundle's own tower, see `measure_text_effect`
BATCH = 8  # requests of a run, as under load: dynamic 8-bit ranges are those of the whole batch
OUTPUTS = {"encoder": "EMBEDDING", "text_tower": "TEXT_SCORES", "ranker": "HEADS"}


@dataclass(frozen=True)
class Ranking:
    """A graph's results for the requests.

    Attributes:
        ids: The first ten item ids of each request.
        ndcg: nDCG@10 of each request.
    """

    ids: list[list[str]]
    ndcg: NDArray[np.float64]


@dataclass(frozen=True)
class Parity:
    """One engine's row of the report.

    Attributes:
        engine: The stage's name; of all chosen engines together their names joined by `and`.
        kind: The kind of engine.
        precision: Precision of its matrix products.
        method: How it was made.
        max_abs_diff: Largest absolute difference of its output from FP32's, over real inputs.
        error: Largest relative error of its output: norm of the difference over norm of FP32's output.
        ndcg_at_10: Mean nDCG@10 of its ranking.
        ndcg_loss_relative: FP32's nDCG@10 minus its own, divided by FP32's; negative where it is better.
        top10_overlap: Mean share of FP32's first ten items that are among its own.
        speedup_vs_fp32: FP32's time over its own, geometric mean over the buckets; None where not measured.
        bytes: Size of its file.
        milliseconds: Time of one request by bucket.
        requests: How many requests were ranked.
        problems: Why it does not pass; empty where it does.
    """

    engine: str
    kind: EngineKind
    precision: Precision
    method: str
    max_abs_diff: float
    error: float
    ndcg_at_10: float
    ndcg_loss_relative: float
    top10_overlap: float
    speedup_vs_fp32: float | None
    bytes: int
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    requests: int = 0
    problems: tuple[str, ...] = ()

    @property
    def passes(self) -> bool:
        """Whether it passes the gate."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Returns the attributes and `passes` as JSON values."""
        return {**asdict(self), "problems": list(self.problems), "passes": self.passes}


def trace_requests(graph: LocalGraph, requests: Sequence[RealRequest]) -> tuple[Ranking, dict[str, list[Feed]]]:
    """Runs the requests in batches; returns the ranking, and each engine's inputs, batch by batch, by stage."""
    ids: list[list[str]] = []
    feeds: dict[str, list[Feed]] = {name: [] for name in OUTPUTS}
    for start in range(0, len(requests), BATCH):
        batch = [(request.query, request.user, {"k": CUTOFF}) for request in requests[start : start + BATCH]]
        for name, tensors in graph.trace(batch):
            if name in feeds:
                feeds[name].append(dict(tensors))
            elif name == "search":
                ids += [[item.decode() for item in row if item] for row in tensors["ITEM_ID"]]
    return Ranking(ids, measure_ndcg(ids, requests)), feeds


def measure_ndcg(ids: Sequence[Sequence[str]], requests: Sequence[RealRequest]) -> NDArray[np.float64]:
    """Returns nDCG@10 of each request as ir-measures computes it, float64 `[requests]`; 0 for an empty result."""
    run = {str(i): {item: -float(rank) for rank, item in enumerate(ranked)} for i, ranked in enumerate(ids)}
    qrels = {str(i): dict(request.relevant) for i, request in enumerate(requests)}
    values = np.zeros(len(requests))
    for metric in ir_measures.iter_calc([nDCG @ CUTOFF], qrels, run):
        values[int(metric.query_id)] = metric.value
    return values


def mean_overlap(actual: Sequence[Sequence[str]], expected: Sequence[Sequence[str]]) -> float:
    """Returns the mean share of the expected ids that are among the actual ones; two empty lists count as 1."""
    shares = [
        len(set(actual_ids) & set(expected_ids)) / len(expected_ids) if expected_ids else float(not actual_ids)
        for actual_ids, expected_ids in zip(actual, expected, strict=True)
    ]
    return float(np.mean(shares))


def relative_loss(actual: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """Returns the loss of mean nDCG as a share of the expected mean; negative where it rises."""
    before = float(expected.mean())
    return (before - float(actual.mean())) / before if before else 0.0


def compare_outputs(
    session: Session, output: str, feeds: Sequence[Feed], expected: Sequence[NDArray[np.float32]]
) -> tuple[float, float]:
    """Compares an engine's output with FP32's.

    Args:
        session: Runs the engine.
        output: Name of the output.
        feeds: Inputs of each run.
        expected: FP32's output of each run.

    Returns:
        The largest absolute difference and the largest relative error; both infinite where NaN stands elsewhere.
    """
    worst, error = 0.0, 0.0
    for feed, wanted in zip(feeds, expected, strict=True):
        actual = session.run([output], feed)[0]
        if not np.array_equal(np.isnan(actual), np.isnan(wanted)):
            return float("inf"), float("inf")
        scored = ~np.isnan(wanted)  # a place without a pair has no score in either
        difference = np.abs(actual - wanted)[scored]
        worst = max(worst, float(difference.max(initial=0.0)) if np.isfinite(difference).all() else float("inf"))
        error = max(error, relative_error(actual[scored], wanted[scored]))
    return worst, error


def measure_text_effect(session: Session, output: str, feeds: Sequence[Feed]) -> float:
    """Returns the mean change of scores when candidates exchange their texts; 0 where all texts score alike."""
    parts = []
    for feed in feeds:
        scores = session.run([output], feed)[0]
        parts.append(np.abs(scores - np.roll(scores, 1, axis=1)).ravel())
    changes = np.concatenate(parts)
    return float(np.nanmean(changes)) if np.isfinite(changes).any() else 0.0


def find_problems(
    allowed: float, error: float, ndcg_loss: float, top10_overlap: float, layers: Callable[[], str]
) -> tuple[str, ...]:
    """Returns why an engine does not pass the gate; empty where it does.

    Args:
        allowed: Largest allowed relative error of its output.
        error: Its relative error.
        ndcg_loss: Its loss of nDCG, see `relative_loss`.
        top10_overlap: Its overlap with FP32's first ten, see `mean_overlap`.
        layers: Describes the layers that disagree; called only where there is a problem.
    """
    problems = []
    if not error <= allowed:
        problems.append(f"its output differs from FP32's by {error:.2g} of its norm; allowed: {allowed:g}")
    if not ndcg_loss <= MAX_NDCG_LOSS:
        problems.append(f"nDCG@10 is {ndcg_loss:.2%} lower; allowed: {MAX_NDCG_LOSS:.1%}")
    if not top10_overlap >= MIN_OVERLAP:
        problems.append(f"{top10_overlap:.3f} of FP32's first ten are kept; allowed: {MIN_OVERLAP}")
    return (*problems, layers()) if problems else ()


def find_text_problems(effect: float, expected: float) -> tuple[str, ...]:
    """Returns why a distilled tower does not pass; ranking alone would not notice that it ignores texts.

    Args:
        effect: Its `measure_text_effect`.
        expected: That of the tower that it is to replace.
    """
    if effect >= MIN_TEXT_EFFECT * expected:
        return ()
    share = effect / expected
    return (
        f"exchanged texts move its scores {share:.2f} times as far as with the bundle's own tower; allowed: "
        f"{MIN_TEXT_EFFECT:g}. It hardly tells texts apart: train it longer (--epochs, --max-queries, --learning-rate)",
    )
