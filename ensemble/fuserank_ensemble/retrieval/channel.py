"""What every retrieval channel is: a batch of questions in, for each a list of items out, best first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.filters import Mask
from fuserank_ensemble.interactions.history import History


class ChannelUnavailableError(RuntimeError):
    """A channel that cannot answer at present; the others do without it, and the reply says so (`degraded`)."""


@dataclass(frozen=True)
class RankedItems:
    """A channel's list, best first.

    Attributes:
        rows: Item rows without repeats, int32 `[hits]`.
        scores: The channel's own score of each, float32 `[hits]`, never increasing.
    """

    rows: NDArray[np.int32]
    scores: NDArray[np.float32]

    @classmethod
    def none(cls) -> RankedItems:
        """An empty list."""
        return cls(np.empty(0, np.int32), np.empty(0, np.float32))

    @classmethod
    def best(cls, rows: NDArray[np.int32], scores: NDArray[np.float32], depth: int) -> RankedItems:
        """The `depth` best of some scored rows; equal scores keep their order."""
        if len(rows) > 4 * depth:
            # Sorting is for the few that stay. A cut among equals keeps them all for the stable sort.
            least = np.partition(scores, len(scores) - depth)[len(scores) - depth]
            kept = np.flatnonzero(scores >= least)
            rows, scores = rows[kept], scores[kept]
        order = np.argsort(-scores, kind="stable")[:depth]
        return cls(rows[order].astype(np.int32, copy=False), scores[order].astype(np.float32, copy=False))

    def __len__(self) -> int:
        return len(self.rows)

    def top(self, depth: int) -> RankedItems:
        """The first `depth` hits."""
        return RankedItems(self.rows[:depth], self.scores[:depth])


@dataclass(frozen=True)
class ChannelQuery:
    """One request as channels see it.

    Attributes:
        query: The normalised query; empty for none.
        embedding: The query's L2-normalised embedding, float32 `[dim]`; zeros without a query.
        seen: The user's history.
        now: The request's time, epoch seconds.
        allowed: Which items may be returned, `[items]`; None allows all.
        condition: The filter that `allowed` is the answer to, for engines that filter by themselves; None where
            `allowed` cannot be said as a filter.
        context: Where the question is asked: `region` and `store`, as far as known.
        near: Rows that the text channels found, best first, for the channels after them; None without a query.
        also: Rows that are candidates whatever the channels find, such as pinned ones; None for none.
        newcomers: How many of the channel `new` are candidates whatever the others find: exploring needs some.
    """

    query: str
    embedding: NDArray[np.float32]
    seen: History
    now: float
    allowed: Mask | None = None
    condition: Mapping[str, Any] | None = None
    context: Mapping[str, str] | None = None
    near: NDArray[np.int32] | None = None
    also: NDArray[np.int32] | None = None
    newcomers: int = 0


class Channel(Protocol):
    """A way to find candidates. Filters hold inside it, before its list is cut.

    Raises:
        ChannelUnavailableError: From `search`, where what it depends on does not answer.
    """

    name: str

    def search(self, questions: Sequence[ChannelQuery], depth: int) -> list[RankedItems]:
        """Finds at most `depth` items for each question; nothing for a question it has no answer to."""
        ...
