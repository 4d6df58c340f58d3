"""Maximal marginal relevance: variety in a ranked list."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


def mmr(scores: FloatArray, vectors: FloatArray, k: int, diversity: float) -> NDArray[np.int64]:
    """Picks items one by one, each weighing its score against its likeness to those picked before.

    Source: Carbonell and Goldstein, The use of MMR, SIGIR 1998, with lambda = 1 - diversity. Scores are scaled
    to 0..1 first, so that they compare with a cosine.

    Args:
        scores: float32 `[candidates]`, decreasing.
        vectors: L2-normalised item vectors, float32 `[candidates, dim]`.
        k: How many to pick.
        diversity: 0 keeps the order, 1 looks at variety alone.

    Returns:
        Positions of the picked items, in the order picked, `[min(k, candidates)]`.
    """
    if not len(scores):
        return np.empty(0, np.int64)
    span = float(scores.max() - scores.min()) or 1.0
    relevance = (scores - scores.min()) / span
    likeness = np.zeros(len(scores), np.float32)
    free = np.ones(len(scores), np.bool_)
    picked: list[int] = []
    for _ in range(min(k, len(scores))):
        value = np.where(free, (1 - diversity) * relevance - diversity * likeness, -np.inf)
        best = int(value.argmax())
        picked.append(best)
        free[best] = False
        likeness = np.maximum(likeness, vectors @ vectors[best])
    return np.asarray(picked, np.int64)
