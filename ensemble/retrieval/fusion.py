"""Reciprocal-rank fusion: many channels' lists become one, and nothing that a channel knew is thrown away."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ensemble.features import Evidence
from ensemble.retrieval.channel import Hits

K_RRF = 60.0  # Cormack, Clarke, Buettcher: Reciprocal Rank Fusion, SIGIR 2009


def fuse(lists: Mapping[str, Hits], depth: int, limit: int) -> Evidence:
    """Joins the channels' lists by the sum of 1 / (60 + rank).

    Args:
        lists: Each channel's hits.
        depth: How many hits of each channel count towards the fused score.
        limit: How many candidates to keep.

    Returns:
        The candidates, best first (equal scores by row), with every channel's rank of each.
    """
    rows = np.unique(np.concatenate([hits.rows[:depth] for hits in lists.values()])).astype(np.int32)
    fused = np.zeros(len(rows), np.float64)
    ranks: dict[str, NDArray[np.float32]] = {}
    text_score = np.full(len(rows), np.nan, np.float32)
    for name, hits in lists.items():
        position = np.minimum(np.searchsorted(rows, hits.rows), max(len(rows) - 1, 0))
        inside = np.flatnonzero(rows[position] == hits.rows) if len(rows) else position
        ranks[name] = np.full(len(rows), np.nan, np.float32)
        ranks[name][position[inside]] = inside
        counted = inside[inside < depth]
        fused[position[counted]] += 1.0 / (K_RRF + 1 + counted)
        if name == "dense":
            text_score[position[inside]] = hits.scores[inside]
    order = np.lexsort((rows, -fused))[:limit]
    return Evidence(rows[order], text_score[order], {name: rank[order] for name, rank in ranks.items()})
