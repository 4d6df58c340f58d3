"""The gate before a small query encoder: it ranks searches about as well as the full one does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_rel

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.spec import GraphSpec, QueryEncoder
from fuserank_export.engines.parity.gate import Ranking, mean_overlap, trace_requests
from fuserank_export.engines.parity.requests import RealRequest
from fuserank_export.training.text.data.labels import LabelledQuery

Asked = Literal["as served", "by meaning alone"]
# Share of nDCG@10 that may be lost, at the upper end of its 95 % interval: what may lose more is not served.
MAX_LOSS: Mapping[Asked, float] = {"as served": 0.02, "by meaning alone": 0.05}
MIN_OVERLAP: Mapping[Asked, float] = {"as served": 0.8, "by meaning alone": 0.6}
WORDS = ("lexical", "graph")  # channels that find an item by words that it has
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Comparison:
    """How a small query encoder ranks beside the full one.

    Attributes:
        asked: `as served`, or `by meaning alone`: as if in words that no item has.
        queries: How many queries both ranked.
        ndcg_full: Mean nDCG@10 of the full encoder's lists.
        ndcg_distilled: That of the small one's.
        lost: The difference as a share of the former; negative where it is better.
        lost_low: Lower end of its 95 % interval, of Student's t over the queries.
        lost_high: Upper end.
        overlap: Mean share of the full one's first ten that are among the small one's.
        problems: Why it does not pass; empty where it does.
    """

    asked: Asked
    queries: int
    ndcg_full: float
    ndcg_distilled: float
    lost: float
    lost_low: float
    lost_high: float
    overlap: float
    problems: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return {**asdict(self), "problems": list(self.problems)}


def compare_query_encoders(bundle: Bundle, queries: Sequence[LabelledQuery]) -> list[Comparison]:
    """Ranks queries with both encoders, as served and by meaning alone.

    Args:
        bundle: A bundle that holds the engines of both.
        queries: Queries with their right items; two or more.
    """
    requests = [
        RealRequest(query.text, "", {bundle.items.ids[row].decode(): 1 for row in query.relevant.tolist()})
        for query in queries
    ]

    def rank(kind: QueryEncoder, asked: Asked) -> Ranking:
        spec = replace(bundle.spec, query_encoder=kind)
        spec = spec if asked == "as served" else _by_meaning(spec)
        return trace_requests(LocalGraph(replace(bundle, spec=spec)), requests)[0]

    return [compare_rankings(asked, rank("full", asked), rank("distilled", asked)) for asked in MAX_LOSS]


def _by_meaning(spec: GraphSpec) -> GraphSpec:
    """The graph without channels that go by words: how it answers whoever asks in words that no item has."""
    weights = {
        kind: {name: weight for name, weight in channels.items() if name not in WORDS}
        for kind, channels in spec.channel_weights.items()
    }
    return replace(spec, channel_weights=weights)


def compare_rankings(asked: Asked, full: Ranking, distilled: Ranking) -> Comparison:
    """Compares the lists of the same queries, and says what of it is more than is allowed."""
    before, after = float(full.ndcg.mean()), float(distilled.ndcg.mean())
    lost = (before - after) / before if before else 0.0
    low, high = _interval(full.ndcg, distilled.ndcg)
    overlap = mean_overlap(distilled.ids, full.ids)
    problems = []
    if not high <= MAX_LOSS[asked]:
        problems.append(
            f"{asked}: nDCG@10 of {len(full.ids)} queries is {after:.3f} instead of {before:.3f}, {lost:.1%} lost "
            f"({low:.1%} to {high:.1%}); allowed: {MAX_LOSS[asked]:.0%} at the upper end of that interval"
        )
    if overlap < MIN_OVERLAP[asked]:
        problems.append(f"{asked}: {overlap:.2f} of the first ten are kept; allowed: {MIN_OVERLAP[asked]}")
    return Comparison(
        asked=asked,
        queries=len(full.ids),
        ndcg_full=round(before, 4),
        ndcg_distilled=round(after, 4),
        lost=round(lost, 4),
        lost_low=round(low, 4),
        lost_high=round(high, 4),
        overlap=round(overlap, 4),
        problems=tuple(problems),
    )


def _interval(before: NDArray[np.float64], after: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % interval of the share of the mean that is lost; all of it where the queries show nothing."""
    mean = float(before.mean())
    if len(before) < 2 or not mean:
        return 0.0, 1.0
    if not (before - after).any():
        return 0.0, 0.0
    low, high = ttest_rel(before, after).confidence_interval(CONFIDENCE)
    return float(low) / mean, float(high) / mean
