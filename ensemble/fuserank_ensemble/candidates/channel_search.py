"""Asks the channels: the text channels first, then the others, which choose from what those matched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.list_cache import ListCache
from fuserank_ensemble.catalog.arrays import RowSource
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.retrieval.channel import (
    Channel,
    ChannelDeclaration,
    ChannelQuery,
    ChannelUnavailableError,
    Phase,
    RankedItems,
    nearness_channels,
    trust_in_log,
)
from fuserank_ensemble.retrieval.matches import Matches, MatchFinder
from fuserank_ensemble.retrieval.pool import select_pool
from fuserank_ensemble.retrieval.vectors.half import to_float32
from fuserank_ensemble.retrieval.vectors.texts import text_cosines

FloatArray = NDArray[np.float32]
Weights = Mapping[str, float]  # of the channels' votes, by name; one left out is not asked

# How deep channels are asked, in depths of fusion: text channels also set what the others choose from.
DEPTHS: Mapping[Phase, int] = {"text": 2, "candidate": 1}
# Of the nearest text's cosine: a guess that is no nearer than the first counts least, from the second on all.
AGREEMENT = (0.4, 0.8)
# Of its vote that a guess keeps: something, as an encoder does not read every field that words are in, and never all,
# so that it does not pass the certain match before it.
LEAST_GUESS, MOST_GUESS = 0.4, 0.8
WHOLE_TRUST = 0.99  # in a log: from then on what was learned of it counts by itself


class ChannelSearch:
    """All channels, asked for a batch of queries at once.

    Args:
        channels: The channels.
        items: The catalogue.
        vectors: Text vectors, fp16 `[texts, dim]`.
        depth: How many items of each channel take part in fusion.
        events: How many events the log has.
        lists: What text channels over the same index found before.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        items: Items,
        vectors: RowSource,
        depth: int,
        events: float,
        lists: ListCache,
    ) -> None:
        self._channels, self._items, self._vectors, self._depth = channels, items, vectors, depth
        declarations = [channel.declaration for channel in channels]
        self._near_query = nearness_channels(declarations, "text")
        self._near_history = nearness_channels(declarations, "candidate")
        self._history = [declared.name for declared in declarations if declared.lists_history]
        self._trust = trust_in_log(events)
        self._matches = MatchFinder(channels, depth * DEPTHS["text"])
        self.lists = lists

    def with_popularity(self, popularity: Popularity) -> ChannelSearch:
        """Returns the same where all users' events by item are others."""
        return self._with_channels([channel.with_popularity(popularity) for channel in self._channels])

    def with_channel(self, channel: Channel) -> ChannelSearch:
        """Returns the same with another channel in the place of the one of its name."""
        name = channel.declaration.name
        return self._with_channels([channel if known.declaration.name == name else known for known in self._channels])

    def _with_channels(self, channels: Sequence[Channel]) -> ChannelSearch:
        other = copy(self)
        other._channels = channels
        changed = [new for new, old in zip(channels, self._channels, strict=True) if new is not old]
        if any(channel.declaration.phase == "text" for channel in changed):
            other.lists = self.lists.emptied()
        return other

    def prefetch(
        self, queries: Sequence[ChannelQuery], weights: Sequence[Weights]
    ) -> dict[str, dict[int, RankedItems]]:
        """Searches what needs no embeddings, and lets the channels prepare; arguments as for `search`.

        Returns:
            By channel its list for each query, by the query's position; one that did not answer is left out.
        """
        lists: dict[str, dict[int, RankedItems]] = {}
        for channel in self._channels:
            declared = channel.declaration
            positions = positions_for(declared, queries, weights)
            selected = [queries[i] for i in positions]
            channel.prepare(selected)
            if declared.phase == "text" and not declared.needs_embedding:
                with suppress(ChannelUnavailableError):
                    ranked = self.lists.search(channel, selected, self._depth * DEPTHS["text"])
                    lists[declared.name] = dict(zip(positions, ranked, strict=True))
        return lists

    def search(
        self,
        queries: Sequence[ChannelQuery],
        weights: Sequence[Weights],
        everything: bool = False,
        prefetched: Mapping[str, Mapping[int, RankedItems]] | None = None,
    ) -> tuple[list[dict[str, RankedItems]], list[str]]:
        """Asks the channels.

        Args:
            queries: The requests.
            weights: The weights of each; a channel without weight is not asked.
            everything: Ask every channel nevertheless.
            prefetched: What `prefetch` returned.

        Returns:
            For each query the channels' lists by channel name, and the names of the channels that did not answer.
        """
        lists: list[dict[str, RankedItems]] = [{} for _ in queries]
        unavailable: list[str] = []
        self._search_phase("text", queries, weights, everything, prefetched or {}, lists, unavailable)
        declarations = [channel.declaration for channel in self._channels]
        restricted = list(queries)
        for i, query in enumerate(queries):
            if query.query and query.scope is not None:
                matching = self._matches.find(query, lists[i]).mask(len(self._items))
                lists[i] = {name: ranked.within(matching) for name, ranked in lists[i].items()}
            if query.query:
                lists[i] = self._weigh_guesses(query, lists[i])
                restricted[i] = replace(query, pool=select_pool(lists[i], declarations))
        self._search_phase("candidate", restricted, weights, everything, {}, lists, unavailable)
        for i, query in enumerate(queries):
            if not query.query and not self.learned_from_log:
                lists[i] = self._weigh_relations(lists[i])
        return lists, unavailable

    def matches(self, query: ChannelQuery) -> Matches:
        """Returns what matches a request's query, where it has a scope; after `search`, which leaves it at hand."""
        return self._matches.find(query, {})

    @property
    def learned_from_log(self) -> bool:
        """Whether the log has enough events for what was learned of it to count by itself."""
        return self._trust >= WHOLE_TRUST

    def text_scores(self, query: ChannelQuery, texts: NDArray[np.int32]) -> FloatArray:
        """Computes the cosine of the query and some texts, whichever channel found their items.

        Args:
            query: The request.
            texts: Rows of text vectors, int32 `[candidates]`.

        Returns:
            float32 `[candidates]`.
        """
        return self.cosines(texts, query.embedding)

    def mean_vector(self, texts: NDArray[np.int32]) -> FloatArray:
        """Computes the mean of some texts' vectors, float32 `[dim]`."""
        mean: FloatArray = to_float32(self._vectors[texts]).mean(0)
        return mean

    def cosines(self, texts: NDArray[np.int32], vector: FloatArray) -> FloatArray:
        """Computes the cosine of some texts and a vector, times its norm, float32 `[texts]`."""
        return text_cosines(self._vectors, texts, vector)

    def _search_phase(
        self,
        phase: Phase,
        queries: Sequence[ChannelQuery],
        weights: Sequence[Weights],
        everything: bool,
        prefetched: Mapping[str, Mapping[int, RankedItems]],
        lists: list[dict[str, RankedItems]],
        unavailable: list[str],
    ) -> None:
        """Adds the lists of the phase's channels to `lists`, and those that do not answer to `unavailable`."""
        depth = self._depth * DEPTHS[phase]
        for channel in self._channels:
            declared = channel.declaration
            if declared.phase != phase or not (positions := positions_for(declared, queries, weights, everything)):
                continue
            known = prefetched.get(declared.name)
            try:
                if known is not None:
                    ranked = [known[i] for i in positions]
                elif phase == "text":
                    ranked = self.lists.search(channel, [queries[i] for i in positions], depth)
                else:
                    ranked = channel.search([queries[i] for i in positions], depth)
            except ChannelUnavailableError:
                unavailable.append(declared.name)
                continue
            for i, query_ranked in zip(positions, ranked, strict=True):
                # A match is evidence even where others match as well; without a query, equals are evidence together.
                settled = query_ranked if phase == "text" else query_ranked.without_split_ties(depth)
                lists[i][declared.name] = settled

    def _weigh_guesses(self, query: ChannelQuery, lists: Mapping[str, RankedItems]) -> dict[str, RankedItems]:
        """Returns the text channels' lists, with a share of a vote for each item that may be a guess.

        A match in part, or of what an unknown word may mean, counts as far as the encoder finds its text near the
        query; the yardstick is the nearest text of the same query.
        """
        weighed = dict(lists)
        for channel in self._channels:
            declared = channel.declaration
            ranked = lists.get(declared.name)
            if declared.certain_score is None or ranked is None or not (ranked.scores < declared.certain_score).any():
                continue
            guesses = np.flatnonzero(ranked.scores < declared.certain_score)
            cosines = self.text_scores(query, self._items.text[ranked.rows[guesses]])
            by_meaning = [lists[name] for name in self._near_query if len(lists.get(name, ()))]
            nearest = max([float(cosines.max()), *(float(near.scores[0]) for near in by_meaning)])
            if nearest > 0:
                least, most = AGREEMENT
                shares = np.ones(len(ranked), np.float32)
                agreed = np.minimum(np.maximum((cosines / nearest - least) / (most - least), 0.0), 1.0)
                shares[guesses] = LEAST_GUESS + (MOST_GUESS - LEAST_GUESS) * agreed
                weighed[declared.name] = replace(ranked, shares=shares)
        return weighed

    def _weigh_relations(self, lists: Mapping[str, RankedItems]) -> dict[str, RankedItems]:
        """Returns the lists, with a share of a vote for what a short log or an attribute brings beside a history.

        A brand in common, or one user, says little: it counts as far as the texts agree, from the last item that the
        channel of nearness lists up to the first.
        """
        nearest = next((lists[name] for name in self._near_history if len(lists.get(name, ()))), None)
        if nearest is None:
            return dict(lists)
        weighed = dict(lists)
        by_row = np.argsort(nearest.rows)
        lowest, highest = float(nearest.scores[-1]), float(nearest.scores[0])
        least, most = AGREEMENT
        nearness = (nearest.scores - lowest) / max(highest - lowest, 1e-6)
        agreement = np.clip((nearness - least) / (most - least), 0.0, 1.0)
        for name, ranked in lists.items():
            if not len(ranked) or name in self._near_history or name in self._history:
                continue
            at = by_row[np.searchsorted(nearest.rows, ranked.rows, sorter=by_row).clip(max=len(nearest) - 1)]
            agreed = np.where(nearest.rows[at] == ranked.rows, agreement[at], 0.0)
            shares = (self._trust + (1.0 - self._trust) * agreed).astype(np.float32)
            weighed[name] = replace(ranked, shares=shares if ranked.shares is None else shares * ranked.shares)
        return weighed


def positions_for(
    declared: ChannelDeclaration,
    queries: Sequence[ChannelQuery],
    weights: Sequence[Weights],
    everything: bool = False,
) -> list[int]:
    """Returns the positions of the queries that a channel is asked."""
    return [
        i
        for i, (query, of_query) in enumerate(zip(queries, weights, strict=True))
        if not (query.text_channels_only and declared.phase == "candidate")
        and (everything or of_query.get(declared.name, 0.0) > 0 or (declared.for_exploration and query.newcomers))
    ]
