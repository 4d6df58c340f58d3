"""Reciprocal-rank fusion: many channels' lists become one, and nothing that a channel knew is thrown away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.features import Evidence
from fuserank_ensemble.retrieval.channel import RankedItems

K_RRF = 60.0  # Cormack, Clarke, Buettcher: Reciprocal Rank Fusion, SIGIR 2009


class ReciprocalRankFusion:
    """Joins lists by the sum of weight / (60 + rank), ranks counted from 1.

    Rows are looked up in one table over the catalogue, kept from call to call and cleaned after each: for lists
    of a few hundred rows that is several times faster than sorting them. One instance serves one thread.
    """

    def __init__(self, items: int, depth: int) -> None:
        self._position = np.full(items, -1, np.int32)
        self._depth = depth
        self._denominators = K_RRF + np.arange(1, depth + 1)

    def fuse(
        self,
        lists: Mapping[str, RankedItems],
        weights: Mapping[str, float],
        limit: int,
        also: NDArray[np.int32] | None = None,
    ) -> Evidence:
        """Joins the channels' lists.

        Args:
            lists: Each channel's hits; as many of each as the fusion's depth count towards the fused score.
            weights: What each channel's vote counts.
            limit: How many candidates to keep.
            also: Rows without repeats that are kept whatever their sum, at most `limit` of them; no channel need name
                them.

        Returns:
            The candidates, best first, with every channel's rank and score of each. Equal sums keep the order in
            which the channels named them.
        """
        must = np.empty(0, np.int32) if also is None else also[:limit]
        voting = [hits.rows[: self._depth] for hits in lists.values()]
        named = np.concatenate([*voting, must])
        position = self._position
        position[named[::-1]] = np.arange(len(named) - 1, -1, -1, dtype=np.int32)
        rows = named[position[named] == np.arange(len(named))]
        position[rows] = np.arange(len(rows), dtype=np.int32)
        votes = [weights[name] / self._denominators[: len(mine)] for name, mine in zip(lists, voting, strict=True)]
        voted = named[: len(named) - len(must)]
        fused = np.bincount(position[voted], np.concatenate([*votes, np.empty(0)]), minlength=len(rows))
        order = np.argsort(-fused, kind="stable")
        if len(must):
            due = np.isin(order, position[must])
            order = order[due | (np.cumsum(~due) <= limit - len(must))]
        kept = rows[order[:limit]]
        # From here on the table knows the candidates alone: of hundreds in a list, few are among them.
        position[rows] = -1
        position[kept] = np.arange(len(kept), dtype=np.int32)
        ranks, scores = self._said(list(lists.values()), len(kept))
        position[kept] = -1
        return Evidence(kept, dict(zip(lists, scores, strict=True)), dict(zip(lists, ranks, strict=True)))

    def _said(self, lists: Sequence[RankedItems], count: int) -> NDArray[np.float32]:
        """Each list's ranks and scores of the rows that the table knows, `[2, lists, count]`; NaN for none.

        A list longer than the depth still says where it has a row that another channel named.
        """
        said = np.full((2, len(lists), count), np.nan, np.float32)
        if not lists:
            return said
        at = self._position[np.concatenate([hits.rows for hits in lists])]
        inside = np.flatnonzero(at >= 0)
        ends = np.cumsum([len(hits) for hits in lists])
        of = np.searchsorted(ends, inside, side="right")
        starts = np.concatenate([[0], ends[:-1]])
        said[0, of, at[inside]] = inside - starts[of]
        said[1, of, at[inside]] = np.concatenate([hits.scores for hits in lists])[inside]
        return said
