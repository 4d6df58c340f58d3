"""The gate before a refreshed bundle: it ranks real requests about as well as the last one, and embeds as it did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_export.encoder.onnx_encoder import OnnxEncoder
from fuserank_export.engines.parity.gate import mean_overlap, relative_loss, trace_requests
from fuserank_export.engines.parity.requests import RealRequest, draw_requests
from fuserank_export.index.catalog import Indexed
from fuserank_export.refresh.carry import Carried

REQUESTS = 90  # a third recommendations, a third searches by a user, a third other searches
MAX_NDCG_LOSS = 0.05  # relative: what is new moves some of what was asked for before down
SAMPLED_TEXTS = 32
MIN_COSINE = 0.999  # of a text's vector with what the encoder makes of the text now


@dataclass(frozen=True)
class GateReport:
    """What the gate found.

    Attributes:
        requests: How many requests were ranked by both bundles.
        ndcg_before: Mean nDCG@10 of the last bundle.
        ndcg_after: That of the next one.
        ndcg_loss_relative: The loss as a share of the former; negative where it rises.
        top10_overlap: Mean share of the former's first ten items that are among the latter's.
        least_cosine: Of the vectors of some texts that were carried over with what the encoder makes of them.
        problems: Why the bundle does not pass; empty where it does.
    """

    requests: int
    ndcg_before: float
    ndcg_after: float
    ndcg_loss_relative: float
    top10_overlap: float
    least_cosine: float
    problems: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return {**asdict(self), "problems": list(self.problems)}


def check_refreshed(
    old: Bundle, folder: Path, indexed: Indexed, carried: Carried, encoder: OnnxEncoder, gone: frozenset[str], seed: int
) -> GateReport:
    """Compares a bundle with the one that it was made from.

    The requests are of what both have learned from, so that a difference is the refresh's.

    Args:
        old: The last bundle.
        folder: The next one.
        indexed: Its catalogue.
        carried: What it took over.
        encoder: What embeds texts.
        gone: Names of the users who are not in it any more.
        seed: Of the requests.
    """
    new = Bundle.open(folder, verify=())
    requests = _answerable(draw_requests(old, REQUESTS, seed), set(new.items.ids.tolist()), gone)
    before, after = (trace_requests(LocalGraph(bundle), requests)[0] for bundle in (old, new))
    loss = relative_loss(after.ndcg, before.ndcg)
    sampled = np.flatnonzero(carried.texts >= 0)
    sampled = sampled[:: max(1, len(sampled) // SAMPLED_TEXTS)][:SAMPLED_TEXTS]
    cosine = 1.0
    if len(sampled):
        made = encoder.embed([indexed.texts[text] for text in sampled.tolist()])
        cosine = float((made * new.vectors[sampled].astype(np.float32)).sum(1).min())
    problems = []
    if loss > MAX_NDCG_LOSS:
        problems.append(
            f"nDCG@10 of {len(requests)} requests is {after.ndcg.mean():.3f} instead of {before.ndcg.mean():.3f}; "
            f"allowed: a loss of {MAX_NDCG_LOSS:.0%}"
        )
    if cosine < MIN_COSINE:
        problems.append(f"a text's vector has cosine {cosine:.4f} with the encoder's; allowed: {MIN_COSINE}")
    return GateReport(
        len(requests),
        round(float(before.ndcg.mean()), 4),
        round(float(after.ndcg.mean()), 4),
        round(loss, 4),
        round(mean_overlap(after.ids, before.ids), 4),
        round(cosine, 5),
        tuple(problems),
    )


def _answerable(requests: Sequence[RealRequest], items: set[bytes], gone: frozenset[str]) -> list[RealRequest]:
    """The requests of users who are still there, with the relevant items that are."""
    kept = [
        replace(request, relevant={item: 1 for item in request.relevant if item.encode() in items})
        for request in requests
        if request.user not in gone
    ]
    return [request for request in kept if request.relevant]
