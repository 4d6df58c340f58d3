"""The evidence for fused candidates: the rank and the score that each channel gave them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.retrieval.channel import RankedItems, starts_of_ties
from fuserank_ensemble.retrieval.row_table import RowTable

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Evidence:
    """What the channels know of the candidates; NaN where a channel did not list one.

    Attributes:
        rows: Item rows, best fused first, int32 `[candidates]`.
        channels: The channels' names.
        score_table: The score in each channel's list, float32 `[channels, candidates]`.
        rank_table: The rank from 0 in each channel's list, which equal scores share, float32 `[channels, candidates]`.
        votes: The sum of the channels' votes, float32 `[candidates]`; None where they were not counted.
    """

    rows: NDArray[np.int32]
    channels: tuple[str, ...]
    score_table: FloatArray
    rank_table: FloatArray
    votes: FloatArray | None = None

    @property
    def scores(self) -> dict[str, FloatArray]:
        """The scores by channel, float32 `[candidates]`."""
        return dict(zip(self.channels, self.score_table, strict=True))

    @property
    def ranks(self) -> dict[str, FloatArray]:
        """The ranks by channel, float32 `[candidates]`."""
        return dict(zip(self.channels, self.rank_table, strict=True))

    def reweighed(self, worth: NDArray[np.float64], depth: int) -> Evidence:
        """Returns the first `depth` candidates by their votes times their worth, float64 `[candidates]`.

        The others follow as they stood.
        """
        assert self.votes is not None
        votes = (self.votes * worth).astype(np.float32)
        order = np.argsort(-votes[:depth], kind="stable")
        return self._reordered(np.concatenate([order, np.arange(len(order), len(votes))]), votes)

    def take(self, positions: NDArray[np.int64]) -> Evidence:
        """Returns some of the candidates, in the order of their positions."""
        assert self.votes is not None
        return self._reordered(positions, self.votes)

    def head(self, limit: int, required: NDArray[np.int32] | None = None) -> Evidence:
        """Returns the first `limit` candidates, and among them those that are required, at most `limit`."""
        if required is None or not len(required):
            return self.take(np.arange(min(limit, len(self.rows))))
        return self.take(np.flatnonzero(keep_required(np.isin(self.rows, required[:limit]), limit)))

    def with_tail_votes(self, added: NDArray[np.float64], first: int) -> Evidence:
        """Returns the candidates, those from place `first` on by their votes with what is added to them.

        Each place keeps the votes of whom it had, so that what stays in its place stays before all others.

        Args:
            added: More votes of each candidate, float64 `[candidates]`.
            first: How many candidates stay in their places.
        """
        assert self.votes is not None
        order = np.arange(len(self.rows))
        order[first:] = first + np.argsort(-(self.votes + added)[first:], kind="stable")
        return replace(self._reordered(order, self.votes), votes=self.votes)

    def bounded_by_nearness(self, channel: str, related: Collection[str]) -> Evidence:
        """Returns the candidates so that a less near one stands before a nearer one for a relation alone.

        Args:
            channel: The channel whose scores are the nearness.
            related: The channels whose lists hold what is related.
        """
        assert self.votes is not None
        nearness = np.nan_to_num(self.scores[channel], nan=-np.inf)
        is_related = np.zeros(len(self.rows), np.bool_)
        ranks = self.ranks
        for name in related:
            is_related |= ~np.isnan(ranks[name])
        by_nearness = np.lexsort((np.arange(len(self.rows)), -nearness))
        votes, least = self.votes.copy(), np.inf  # `least`: of the votes of all nearer candidates
        for position in by_nearness.tolist():
            if not is_related[position]:
                votes[position] = min(votes[position], least)
            least = min(least, votes[position])
        return self._reordered(np.lexsort((-nearness, -votes)), votes)

    def _reordered(self, order: NDArray[np.int64], votes: FloatArray) -> Evidence:
        tables = self.score_table[:, order], self.rank_table[:, order]
        return Evidence(self.rows[order], self.channels, *tables, votes[order])


def keep_required(is_required: NDArray[np.bool_], limit: int) -> NDArray[np.bool_]:
    """Returns which of a list's entries to keep: those that are required, and the first others up to `limit` in all."""
    kept: NDArray[np.bool_] = is_required | (np.cumsum(~is_required) <= limit - np.count_nonzero(is_required))
    return kept


@dataclass(frozen=True)
class JoinedLists:
    """The channels' lists one behind the other.

    Attributes:
        names: The channels' names, in the order of their lists.
        lengths: How many entries each list has, int64 `[channels]`.
        starts: Where each list begins, int64 `[channels]`.
        rows: Item rows, int32 `[entries]`.
        scores: The channels' scores, float32 `[entries]`.
        ranks: The mean place of the entries that are equal, from 0, float64 `[entries]`: ties share a rank.
        shares: What share of its vote counts for each entry, float32 `[entries]`; None where all of each counts.
    """

    names: tuple[str, ...]
    lengths: NDArray[np.int64]
    starts: NDArray[np.int64]
    rows: NDArray[np.int32]
    scores: FloatArray
    ranks: NDArray[np.float64]
    shares: FloatArray | None

    @classmethod
    def of(
        cls, lists: Mapping[str, RankedItems], level: NDArray[np.int32] | None = None, by_level: Collection[str] = ()
    ) -> JoinedLists:
        """Joins lists by channel name.

        Args:
            lists: Each channel's list.
            level: How popular each item is: what is as popular has the same, int32 `[items]`.
            by_level: Channels whose equal scores stand by popularity, and are equal only where that is too.
        """
        lengths = np.asarray([len(ranked) for ranked in lists.values()], np.int64)
        starts = lengths.cumsum() - lengths
        scores = np.concatenate([np.empty(0, np.float32), *(ranked.scores for ranked in lists.values())])
        rows = np.concatenate([np.empty(0, np.int32), *(ranked.rows for ranked in lists.values())])
        is_first = starts_of_ties(scores)
        is_first[starts[lengths > 0]] = True
        if level is not None:
            by_popularity = np.repeat(np.asarray([name in by_level for name in lists], np.bool_), lengths)
            equal = (by_popularity & ~is_first).nonzero()[0]
            is_first[equal] = level[rows[equal]] != level[rows[equal - 1]]
        first = is_first.nonzero()[0]
        tied = np.append(first[1:], len(scores)) - first
        place = first - np.repeat(starts, lengths)[first]
        shares = None
        if any(ranked.shares is not None for ranked in lists.values()):
            shares = np.ones(len(scores), np.float32)
            for start, ranked in zip(starts.tolist(), lists.values(), strict=True):
                if ranked.shares is not None:
                    shares[start : start + len(ranked)] = ranked.shares
        return cls(tuple(lists), lengths, starts, rows, scores, np.repeat(place + (tied - 1) / 2, tied), shares)

    def within(self, depth: int) -> NDArray[np.int64] | slice:
        """Returns which entries are among the first `depth` of their lists."""
        if not (self.lengths > depth).any():
            return slice(None)
        counts = np.minimum(self.lengths, depth)
        entries: NDArray[np.int64] = np.repeat(self.starts + counts - counts.cumsum(), counts)
        return entries + np.arange(len(entries))

    def describe(self, rows: NDArray[np.int32], votes: FloatArray, table: RowTable) -> Evidence:
        """Looks candidates up in every channel's whole list, also beyond the depth to which it voted.

        Args:
            rows: The candidates, int32 without repeats `[candidates]`.
            votes: The sum of their votes, float32 `[candidates]`.
            table: Of the catalogue that the rows are from.
        """
        ranks = np.full((len(self.names), len(rows)), np.nan, np.float32)
        scores = np.full((len(self.names), len(rows)), np.nan, np.float32)
        candidates = table.locate(self.rows, rows)
        entries = (candidates >= 0).nonzero()[0]
        at = np.repeat(np.arange(len(self.names)), self.lengths)[entries], candidates[entries]
        ranks[at], scores[at] = self.ranks[entries], self.scores[entries]
        return Evidence(rows, self.names, scores, ranks, votes)
