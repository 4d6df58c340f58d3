"""Nearest vectors of an index and of some that came later, which are compared one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.filters import Mask
from fuserank_ensemble.retrieval.vectors.search import Embeddings, Neighbours, VectorSearch

Scored = tuple[NDArray[np.integer[Any]], NDArray[np.float32]]


class GrownSearch:
    """A `VectorSearch` over vectors and others behind them.

    Args:
        bundled: The search over the first of them.
        size: How many these are.
        added: The others, float32 `[added, dim]`.
    """

    def __init__(self, bundled: VectorSearch, size: int, added: NDArray[np.float32]) -> None:
        self._bundled, self._size, self._added = bundled, size, added

    def search(self, embeddings: Embeddings, depth: int, allowed: Sequence[Mask | None]) -> list[Neighbours]:
        """See `VectorSearch`."""
        masks = [None if mask is None else mask[: self._size] for mask in allowed]
        nearest = self._bundled.search(embeddings, depth, masks)
        products = embeddings @ self._added.T
        results = []
        for (rows, scores), of_added, mask in zip(nearest, products, allowed, strict=True):
            kept = np.arange(len(of_added)) if mask is None else np.flatnonzero(mask[self._size :])
            results.append(merge_nearest((rows, scores), (kept + self._size, of_added[kept]), depth))
        return results


def merge_nearest(first: Scored, second: Scored, depth: int) -> Neighbours:
    """Returns the best of two lists of rows and scores, of equal ones the first's first."""
    rows: NDArray[np.int64] = np.concatenate([first[0], second[0]]).astype(np.int64)
    scores = np.concatenate([first[1], second[1]])
    best = np.argsort(-scores, kind="stable")[:depth]
    return rows[best], scores[best]
