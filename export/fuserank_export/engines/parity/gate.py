"""The gate: an engine passes where its tensors agree with FP32 and real requests are ranked alike."""

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

CUT = 10
LARGEST_NDCG_LOSS = 0.005  # relative
SMALLEST_OVERLAP = 0.95
Precision = Literal["fp32", "fp16", "int8"]
# Of an output's norm. Eight bits move the vectors of all-MiniLM-L6-v2 by a fifth; whether that matters, ranking says.
LARGEST_ERROR: Mapping[Precision, float] = {"fp32": 1e-4, "fp16": 1e-2, "int8": 0.3}
SMALLEST_READING = 0.2  # of what exchanged texts do to the scores of the bundle's own tower
BATCH = 8  # requests that share a run, as under load: 8-bit ranges are those of the whole batch
OUTPUTS = {"encoder": "EMBEDDING", "text_tower": "TEXT_SCORES", "ranker": "HEADS"}


@dataclass(frozen=True)
class Ranking:
    """What a graph answers to the requests.

    Attributes:
        ids: The first ten item ids of each request.
        ndcg: nDCG@10 of each request.
    """

    ids: list[list[str]]
    ndcg: NDArray[np.float64]


@dataclass(frozen=True)
class Parity:
    """One engine's row of the table.

    Attributes:
        engine: The stage's name, or all of them joined by `and` where all that was chosen runs together.
        kind: What it is made for.
        precision: Of its matrix products.
        method: How it was made.
        max_abs_diff: Largest difference of an output from FP32, over real inputs.
        error: Norm of the difference over the norm of the output.
        ndcg_at_10: Of its ranking.
        ndcg_loss_relative: What is lost of FP32's; negative where it gained.
        top10_overlap: Mean share of FP32's first ten that are among its own.
        speedup_vs_fp32: FP32's time over its own, geometric mean over the buckets; None where it cannot run here.
        bytes: Of its file.
        milliseconds: Of one request by bucket.
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
        """Whether it may be served."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "problems": list(self.problems), "passes": self.passes}


def record(graph: LocalGraph, requests: Sequence[RealRequest]) -> tuple[Ranking, dict[str, list[Feed]]]:
    """Answers the requests, in batches; returns also each engine's inputs, batch by batch."""
    ids: list[list[str]] = []
    feeds: dict[str, list[Feed]] = {name: [] for name in OUTPUTS}
    for start in range(0, len(requests), BATCH):
        asked = [(each.query, each.user, {"k": CUT}) for each in requests[start : start + BATCH]]
        for name, tensors in graph.trace(asked):
            if name in feeds:
                feeds[name].append(dict(tensors))
            elif name == "search":
                ids += [[item.decode() for item in row if item] for row in tensors["ITEM_ID"]]
    return Ranking(ids, ndcg(ids, requests)), feeds


def ndcg(ids: Sequence[Sequence[str]], requests: Sequence[RealRequest]) -> NDArray[np.float64]:
    """nDCG@10 as ir-measures computes it, float64 `[requests]`; a request without an answer scores 0."""
    run = {str(i): {item: -float(rank) for rank, item in enumerate(mine)} for i, mine in enumerate(ids)}
    judged = {str(i): dict(each.relevant) for i, each in enumerate(requests)}
    out = np.zeros(len(requests))
    for metric in ir_measures.iter_calc([nDCG @ CUT], judged, run):
        out[int(metric.query_id)] = metric.value
    return out


def overlap(found: Sequence[Sequence[str]], expected: Sequence[Sequence[str]]) -> float:
    """Mean share of the expected ids that were found; a request that nothing answers agrees where both are empty."""
    shares = [
        len(set(mine) & set(theirs)) / len(theirs) if theirs else float(not mine)
        for mine, theirs in zip(found, expected, strict=True)
    ]
    return float(np.mean(shares))


def loss(found: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """What is lost of the mean nDCG, as a share of it."""
    before = float(expected.mean())
    return (before - float(found.mean())) / before if before else 0.0


def tensor_agreement(
    session: Session, output: str, feeds: Sequence[Feed], expected: Sequence[NDArray[np.float32]]
) -> tuple[float, float]:
    """The largest difference of an output, and the largest relative error of a run; infinite where it is no number."""
    worst, error = 0.0, 0.0
    for feed, wanted in zip(feeds, expected, strict=True):
        found = session.run([output], feed)[0]
        if not np.array_equal(np.isnan(found), np.isnan(wanted)):
            return float("inf"), float("inf")
        scored = ~np.isnan(wanted)  # a place without a pair has no score in either
        difference = np.abs(found - wanted)[scored]
        worst = max(worst, float(difference.max(initial=0.0)) if np.isfinite(difference).all() else float("inf"))
        error = max(error, relative_error(found[scored], wanted[scored]))
    return worst, error


def reading(session: Session, output: str, feeds: Sequence[Feed]) -> float:
    """Returns how far scores move when candidates get each other's texts, on average; 0 where all texts are alike."""
    moved = []
    for feed in feeds:
        scores = session.run([output], feed)[0]
        moved.append(np.abs(scores - np.roll(scores, 1, axis=1)))
    moved_by_pair = np.concatenate([part.ravel() for part in moved])
    return float(np.nanmean(moved_by_pair)) if np.isfinite(moved_by_pair).any() else 0.0


def verdict(
    allowed: float, error: float, ndcg_loss: float, top10_overlap: float, layers: Callable[[], str]
) -> tuple[str, ...]:
    """Why an engine does not pass; empty where it does.

    Args:
        allowed: The largest relative error that it may have.
        error: The one that it has.
        ndcg_loss: See `loss`.
        top10_overlap: See `overlap`.
        layers: Says which layers disagree; asked only where something is wrong.
    """
    problems = []
    if not error <= allowed:
        problems.append(f"its output differs from FP32's by {error:.2g} of its norm; allowed: {allowed:g}")
    if not ndcg_loss <= LARGEST_NDCG_LOSS:
        problems.append(f"nDCG@10 is {ndcg_loss:.2%} lower; allowed: {LARGEST_NDCG_LOSS:.1%}")
    if not top10_overlap >= SMALLEST_OVERLAP:
        problems.append(f"{top10_overlap:.3f} of FP32's first ten are kept; allowed: {SMALLEST_OVERLAP}")
    return (*problems, layers()) if problems else ()


def unread(found: float, expected: float) -> tuple[str, ...]:
    """Why a taught tower does not pass that hardly tells texts apart; ranking alone would not notice a silent one.

    Args:
        found: Its `reading`.
        expected: That of the tower whose place it is to take.
    """
    if found >= SMALLEST_READING * expected:
        return ()
    share = found / expected
    return (
        f"exchanged texts move its scores {share:.2f} times as far as with the bundle's own tower; allowed: "
        f"{SMALLEST_READING:g}. It hardly reads: teach it longer (--epochs, --max-queries, --learning-rate)",
    )
