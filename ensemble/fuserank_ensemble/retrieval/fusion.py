"""Reciprocal-rank fusion: the channels' lists become one list of candidates."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.retrieval.channel import RankedItems
from fuserank_ensemble.retrieval.evidence import Evidence, RowTable, gather_evidence

K_RRF = 60.0


def reciprocal_rank(weight: float, rank: NDArray[np.int64]) -> NDArray[np.float64]:
    """A channel's votes for the items at some ranks, counted from 1: weight / (60 + rank).

    Cormack, Clarke, Buettcher: Reciprocal Rank Fusion outperforms Condorcet and individual rank learning methods,
    SIGIR 2009.
    """
    return weight / (K_RRF + rank)


class ReciprocalRankFusion:
    """Orders items by the sum of the votes that the channels give them. One instance serves one thread.

    Args:
        items: Size of the catalogue.
        depth: How many items of each list have a vote.
    """

    def __init__(self, items: int, depth: int) -> None:
        self._table = RowTable(items)
        self._ranks = np.arange(1, depth + 1)

    def fuse(
        self,
        lists: Mapping[str, RankedItems],
        weights: Mapping[str, float],
        limit: int,
        required: NDArray[np.int32] | None = None,
        worth: Callable[[NDArray[np.int32]], NDArray[np.float64]] | None = None,
    ) -> Evidence:
        """Joins the channels' lists.

        Args:
            lists: Each channel's list, best first.
            weights: The weight of each channel's votes.
            limit: How many candidates to keep.
            required: Rows without repeats that are kept whatever their sum, at most `limit` of them; no channel need
                list them.
            worth: Maps item rows to factors of their sums.

        Returns:
            The candidates, best first, with every channel's rank and score of each. Equal sums keep the order in
            which the channels listed them.
        """
        required = np.empty(0, np.int32) if required is None else required[:limit]
        voters = {name: ranked.rows[: len(self._ranks)] for name, ranked in lists.items()}
        votes = [reciprocal_rank(weights[name], self._ranks[: len(rows)]) for name, rows in voters.items()]
        votes = [
            vote if ranked.shares is None else vote * ranked.shares[: len(vote)]
            for vote, ranked in zip(votes, lists.values(), strict=True)
        ]
        rows, positions = self._table.unique(np.concatenate([*voters.values(), required]))
        voted = positions[: len(positions) - len(required)]
        sums = np.bincount(voted, np.concatenate([*votes, np.empty(0)]), minlength=len(rows)).astype(np.float64)
        if worth is not None:
            sums *= worth(rows)
        order = np.argsort(-sums, kind="stable")
        if len(required):
            is_required = np.isin(order, positions[len(voted) :])
            order = order[is_required | (np.cumsum(~is_required) <= limit - len(required))]
        kept = order[:limit]
        # Counted in first places of a channel of weight 1.
        return gather_evidence(rows[kept], (K_RRF * sums[kept]).astype(np.float32), lists, self._table)
