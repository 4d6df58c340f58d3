"""What every retrieval channel is: one question in, one list of items out, best first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ensemble.filters import Mask
from ensemble.history import History


@dataclass(frozen=True)
class Hits:
    """A channel's list, best first.

    Attributes:
        rows: Item rows without repeats, int32 `[hits]`.
        scores: The channel's own score of each, float32 `[hits]`, never increasing.
    """

    rows: NDArray[np.int32]
    scores: NDArray[np.float32]

    @classmethod
    def none(cls) -> Hits:
        """An empty list."""
        return cls(np.empty(0, np.int32), np.empty(0, np.float32))

    def __len__(self) -> int:
        return len(self.rows)

    def top(self, depth: int) -> Hits:
        """The first `depth` hits."""
        return Hits(self.rows[:depth], self.scores[:depth])


@dataclass(frozen=True)
class Question:
    """One request as channels see it.

    Attributes:
        has_query: Whether `embedding` means anything.
        embedding: L2-normalised query embedding, float32 `[dim]`.
        seen: The user's history.
        now: The request's time, epoch seconds.
        allowed: Which items may be returned, `[items]`; None allows all.
        near: What the dense channel found, for the channels after it; empty without a query.
    """

    has_query: bool
    embedding: NDArray[np.float32]
    seen: History
    now: float
    allowed: Mask | None = None
    near: Hits = field(default_factory=Hits.none)


class Channel(Protocol):
    """A way to find candidates. Filters hold inside it, before its list is cut."""

    name: str

    def search(self, question: Question, depth: int) -> Hits:
        """Finds at most `depth` items."""
        ...
