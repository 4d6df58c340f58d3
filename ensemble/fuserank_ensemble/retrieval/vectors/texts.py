"""Computes cosines of items' texts, several of which share a vector."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.arrays import RowSource, to_float32


def text_cosines(
    vectors: RowSource, texts: NDArray[np.int32], vector: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Computes the cosine of each text and a vector, times its norm.

    Items of one text stand together in most lists: a text is read once where it repeats that of the item before.

    Args:
        vectors: Text vectors, fp16 or float32 `[texts of the catalogue, dim]`.
        texts: Rows of them, int32 `[texts]`.
        vector: float32 `[dim]`.

    Returns:
        float32 `[texts]`.
    """
    is_first = np.ones(len(texts), np.bool_)
    np.not_equal(texts[1:], texts[:-1], out=is_first[1:])
    scores: NDArray[np.float32] = to_float32(vectors[texts[is_first]]) @ vector
    return scores[np.cumsum(is_first) - 1]
