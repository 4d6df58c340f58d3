"""Candidates of a hybrid search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Hits:
    """Candidates of a search, best first, each array `[candidates]`.

    Attributes:
        rows: Item rows.
        relevance: Reciprocal-rank fusion of both searches.
        distance: Of the vectors; NaN where only words found the item.
        score: BM25; NaN where only the vector found the item.
    """

    rows: NDArray[np.int32]
    relevance: NDArray[np.float32]
    distance: NDArray[np.float32]
    score: NDArray[np.float32]

    def first(self, count: int) -> Hits:
        """The first candidates."""
        return Hits(self.rows[:count], self.relevance[:count], self.distance[:count], self.score[:count])

    def take(self, places: NDArray[np.int64], rows: NDArray[np.int32]) -> Hits:
        """Candidates with other rows and the figures of the hits at some places."""
        return Hits(rows, self.relevance[places], self.distance[places], self.score[places])
