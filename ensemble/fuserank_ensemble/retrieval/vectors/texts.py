"""Computes cosines of items' texts, several of which share a vector."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.arrays import RowSource
from fuserank_ensemble.retrieval.vectors.half import to_float32


def text_cosines(vectors: RowSource, texts: NDArray[np.int32], vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Computes the cosine of each text and a vector, times its norm; a text that repeats is read once.

    Args:
        vectors: Text vectors, fp16 or float32 `[texts of the catalogue, dim]`.
        texts: Rows of them, int32 `[texts]`.
        vector: float32 `[dim]`.

    Returns:
        float32 `[texts]`.
    """
    distinct = np.unique(texts)
    cosines: NDArray[np.float32] = (to_float32(vectors[distinct]) @ vector)[distinct.searchsorted(texts)]
    return cosines
