"""Reciprocal-rank fusion: the channels' lists become one list of candidates."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from copy import copy
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.retrieval.channel import Knowledge, RankedItems
from fuserank_ensemble.retrieval.evidence import Evidence, JoinedLists, RowTable

K_RRF = 60.0
MOST_FILLED = 2.0


def reciprocal_rank(weight: float | NDArray[np.float64], rank: NDArray[Any]) -> NDArray[np.float64]:
    """A channel's votes for the items at some ranks, counted from 1: weight / (60 + rank).

    The weight is the channel's, or one a rank. A rank that ties share may lie between two places.

    Cormack, Clarke, Buettcher: Reciprocal Rank Fusion outperforms Condorcet and individual rank learning methods,
    SIGIR 2009.
    """
    return weight / (K_RRF + rank)


class ReciprocalRankFusion:
    """Orders items by the sum of the votes that the channels give them. One instance serves one thread.

    Equal scores share their mean rank: where a channel knows no difference, the order of its list tells nothing. What a
    channel can know nothing of is judged by the others: their votes count more, at most `MOST_FILLED` times.

    Args:
        items: Size of the catalogue.
        depth: How many items of each list have a vote.
        knowledge: What each channel can know, by name; one left out knows all.
        popularity: Orders equal sums; None for the order in which the channels list them.
        by_popularity: Channels whose equal scores stand by popularity, and are equal only where that is too.
    """

    def __init__(
        self,
        items: int,
        depth: int,
        knowledge: Mapping[str, Knowledge] = MappingProxyType({}),
        popularity: Popularity | None = None,
        by_popularity: Collection[str] = (),
    ) -> None:
        self._table, self._depth, self._by_popularity = RowTable(items), depth, by_popularity
        self._place = None if popularity is None else popularity.place
        self._level = None if popularity is None else popularity.level
        self._trust = {name: known.trust for name, known in knowledge.items()}
        self._known = {
            name: known.items for name, known in knowledge.items() if known.items is not None and not known.items.all()
        }

    def with_knowledge(self, name: str, known: Knowledge) -> ReciprocalRankFusion:
        """Returns the same where a channel can know of other items."""
        other = copy(self)
        other._known = {channel: items for channel, items in self._known.items() if channel != name}
        if known.items is not None and not known.items.all():
            other._known[name] = known.items
        return other

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
            The candidates, best first, with every channel's rank and score of each.
        """
        required = np.empty(0, np.int32) if required is None else required[:limit]
        counted = {name: weights[name] * self._trust.get(name, 1.0) for name in lists}
        joined = JoinedLists.of(lists, self._level, self._by_popularity)
        voting = np.flatnonzero(joined.positions < self._depth)
        weight = np.asarray([*counted.values(), 0.0])[joined.channels[voting]]
        votes = reciprocal_rank(weight, joined.ranks[voting] + 1) * joined.shares[voting]
        rows, positions = self._table.unique(np.concatenate([joined.rows[voting], required]))
        voted = positions[: len(voting)]
        sums = np.bincount(voted, votes, minlength=len(rows)).astype(np.float64)
        sums *= self._filled(rows, {name: counted[name] for name, ranked in lists.items() if len(ranked)})
        if worth is not None:
            sums *= worth(rows)
        order = self._order(rows, sums, None if len(required) else limit)
        if len(required):
            is_required = np.isin(order, positions[len(voted) :])
            order = order[is_required | (np.cumsum(~is_required) <= limit - len(required))]
        kept = order[:limit]
        # Counted in first places of a channel of weight 1.
        return joined.describe(rows[kept], (K_RRF * sums[kept]).astype(np.float32), self._table)

    def _order(self, rows: NDArray[np.int32], sums: NDArray[np.float64], limit: int | None) -> NDArray[np.int64]:
        """Positions of the best sums, all or at least `limit`: equal ones by popularity, those of 0 as they stand."""
        best = np.arange(len(rows))
        if limit and len(rows) > limit:
            # Sorting is for the few that stay.
            best = np.flatnonzero(sums >= np.partition(sums, len(sums) - limit)[len(sums) - limit])
        ties = best if self._place is None else np.where(sums[best] > 0, self._place[rows[best]], best)
        order: NDArray[np.int64] = best[np.lexsort((ties, -sums[best]))]
        return order

    def _filled(self, rows: NDArray[np.int32], weights: Mapping[str, float]) -> NDArray[np.float64]:
        """What an item's votes are multiplied by, for the weight of the channels that can know nothing of it."""
        missing = np.zeros(len(rows))
        for name, known in self._known.items():
            if weights.get(name, 0.0) > 0:
                missing += weights[name] * ~known[rows]
        total = sum(weights.values())
        filled: NDArray[np.float64] = total / np.maximum(total - missing, total / MOST_FILLED) if total else missing + 1
        return filled
