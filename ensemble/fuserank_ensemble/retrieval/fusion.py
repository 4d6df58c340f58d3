"""Reciprocal-rank fusion: the channels' lists become one list of candidates."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from copy import copy
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.retrieval.channel import Knowledge, RankedItems
from fuserank_ensemble.retrieval.evidence import Evidence, JoinedLists, keep_required
from fuserank_ensemble.retrieval.row_table import RowTable

K_RRF = 60.0
MOST_FILLED = 2.0
NO_ROWS = np.empty(0, np.int32)


def reciprocal_rank(weight: float | NDArray[np.float64], rank: NDArray[Any]) -> NDArray[np.float64]:
    """A channel's votes for the items at some ranks, counted from 1: weight / (60 + rank).

    The weight is the channel's, or one a rank. A rank that ties share may lie between two places.

    Cormack, Clarke, Buettcher: Reciprocal Rank Fusion outperforms Condorcet and individual rank learning methods,
    SIGIR 2009.
    """
    return weight / (K_RRF + rank)


@dataclass(frozen=True)
class Votable:
    """Lists that are joined and wait for the weights of their channels.

    Attributes:
        lists: The channels' lists, one behind the other.
        voting: The entries of them that have a vote.
        votes: How many of them each list has, int64 `[channels]`.
        rows: The item rows that they name, and those that are required, int32 without repeats `[rows]`.
        voted: The position in `rows` of what each of them votes for, int32 `[votes]`.
        required: The positions of those that are required, int32 `[required]`.
        unknown: Of which rows a channel that has a list can know nothing, by its name, bool `[rows]`.
    """

    lists: JoinedLists
    voting: NDArray[np.int64] | slice
    votes: NDArray[np.int64]
    rows: NDArray[np.int32]
    voted: NDArray[np.int32]
    required: NDArray[np.int32]
    unknown: Mapping[str, NDArray[np.bool_]]


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
        required = NO_ROWS if required is None else required[:limit]
        joined = self.join(lists, required)
        sums = self._sum_votes(joined, weights)
        if worth is not None:
            sums *= worth(joined.rows)
        order = self._order(joined.rows, sums, None if len(required) else limit)
        if len(required):
            order = order[keep_required(np.isin(order, joined.required), limit)]
        kept = order[:limit]
        # Counted in first places of a channel of weight 1.
        return joined.lists.describe(joined.rows[kept], (K_RRF * sums[kept]).astype(np.float32), self._table)

    def join(self, lists: Mapping[str, RankedItems], required: NDArray[np.int32] = NO_ROWS) -> Votable:
        """Returns what of fusing some lists does not depend on the weights; `required` as `fuse` takes it."""
        joined = JoinedLists.of(lists, self._level, self._by_popularity)
        voting, votes = joined.within(self._depth), np.minimum(joined.lengths, self._depth)
        voted = joined.rows[voting]
        rows, positions = self._table.unique(np.concatenate([voted, required]) if len(required) else voted)
        unknown = {name: ~known[rows] for name, known in self._known.items() if len(lists.get(name, NO_ROWS))}
        return Votable(joined, voting, votes, rows, positions[: len(voted)], positions[len(voted) :], unknown)

    def rank(self, joined: Votable, weights: Mapping[str, float], limit: int) -> NDArray[np.int32]:
        """Returns the rows that `fuse` keeps of joined lists, best first, int32 `[candidates]`, and nothing of them."""
        rows: NDArray[np.int32] = joined.rows[self._order(joined.rows, self._sum_votes(joined, weights), limit)[:limit]]
        return rows

    def _sum_votes(self, joined: Votable, weights: Mapping[str, float]) -> NDArray[np.float64]:
        """The sum of each row's votes, for the weight of the channels that can know nothing of it, float64 `[rows]`."""
        lists, voting = joined.lists, joined.voting
        counted = [weights[name] * self._trust.get(name, 1.0) for name in lists.names]
        votes = reciprocal_rank(np.repeat(np.asarray(counted, np.float64), joined.votes), lists.ranks[voting] + 1)
        if lists.shares is not None:
            votes *= lists.shares[voting]
        sums = np.bincount(joined.voted, votes, minlength=len(joined.rows)).astype(np.float64, copy=False)
        total = sum(weight for weight, length in zip(counted, lists.lengths.tolist(), strict=True) if length)
        missing = np.zeros(len(sums))
        for name, unknown in joined.unknown.items():
            missing += counted[lists.names.index(name)] * unknown
        if total:
            sums *= total / np.maximum(total - missing, total / MOST_FILLED)
        return sums

    def _order(self, rows: NDArray[np.int32], sums: NDArray[np.float64], limit: int | None) -> NDArray[np.int64]:
        """Positions of the best sums, all or at least `limit`: equal ones by popularity, those of 0 as they stand."""
        best = np.arange(len(rows))
        if limit and len(rows) > limit:
            # Sorting is for the few that stay.
            best = np.flatnonzero(sums >= np.partition(sums, len(sums) - limit)[len(sums) - limit])
        ties = best if self._place is None else np.where(sums[best] > 0, self._place[rows[best]], best)
        order: NDArray[np.int64] = best[np.lexsort((ties, -sums[best]))]
        return order
