"""What a search for the nearest vectors by inner product is; `cpu` (FAISS) and `gpu` (torch) implement it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.filters import Mask

Embeddings = NDArray[np.float32]  # [batch, dim]
Vectors = NDArray[np.floating[Any]]  # [vectors, dim], fp16 or float32
Neighbours = tuple[NDArray[np.int64], NDArray[np.float32]]  # rows and scores of one query, best first


class VectorSearch(Protocol):
    """Maximum inner product over a set of vectors."""

    def search(self, embeddings: Embeddings, depth: int, allowed: Sequence[Mask | None]) -> list[Neighbours]:
        """Finds the nearest vectors of each query.

        Args:
            embeddings: L2-normalised, float32 `[batch, dim]`.
            depth: How many vectors to find at most.
            allowed: For each query which vectors to search in, `[vectors]`; None for all.

        Returns:
            For each query rows and inner products, `[<= depth]`, best first. As many as there are: fewer than `depth`
            only where fewer vectors exist or are allowed.
        """
        ...
