"""Cases with a planted pattern: what is right follows from the user's latest item, and from nothing else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.features import POSITION
from fuserank_ensemble.contract.options import HEADS
from fuserank_export.training.cases.cases import Cases

TEXTS, DIM, EVENTS, CANDIDATES = 12, 16, 4, 8
FOLLOWS = np.random.default_rng(3).permutation(TEXTS)  # the text that follows each
VECTORS = np.random.default_rng(2).normal(size=(TEXTS, DIM)).astype(np.float16)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)


def planted(count: int, seed: int, noise: float = 0.0) -> Cases:
    """Recommendations whose one right candidate follows the latest item.

    Args:
        count: How many cases.
        seed: Of the draw.
        noise: Share of the cases in which any candidate is the right one.
    """
    draw = np.random.default_rng(seed)
    cases = Cases.blank(["user"] * count, CANDIDATES, EVENTS)
    cases.events[:] = draw.integers(TEXTS, size=(count, EVENTS))
    right = FOLLOWS[cases.events[:, 0]]
    for i in range(count):
        others = np.delete(np.arange(TEXTS), right[i])
        candidates = draw.permutation([right[i], *draw.choice(others, CANDIDATES - 1, replace=False)])
        cases.rows[i] = cases.texts[i] = candidates
    days = np.sort(draw.integers(0, 60, (count, EVENTS)), axis=1) + np.arange(EVENTS)
    cases.moments[:] = np.stack([np.log1p(days), np.full(days.shape, np.log(2)), np.ones(days.shape)], -1)
    cases.features[..., POSITION["popularity"]] = draw.normal(size=cases.rows.shape)
    cases.features[..., POSITION["has_query"]], cases.features[..., POSITION["has_history"]] = 0.0, 1.0
    answer = np.where(draw.random(count) < noise, draw.integers(CANDIDATES, size=count), _place(cases.rows, right))
    for head in ("click", "purchase"):
        cases.labels[..., HEADS.index(head)] = np.arange(CANDIDATES) == answer[:, None]
    return cases


def _place(rows: NDArray[np.int32], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.argmax(rows == wanted[:, None], axis=1)


def share_right(logits: NDArray[np.float32], cases: Cases) -> float:
    """Share of the cases whose right candidate the purchase head puts first."""
    head = HEADS.index("purchase")
    return float((logits[..., head].argmax(1) == cases.labels[..., head].argmax(1)).mean())
