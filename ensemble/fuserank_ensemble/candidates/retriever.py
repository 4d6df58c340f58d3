"""Asks every channel, fuses their lists and computes features: what serving and the ranker's training share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.features import Featuriser, FloatArray
from fuserank_ensemble.interactions.profile import UserProfile
from fuserank_ensemble.interactions.sequence import latest_positions, moments
from fuserank_ensemble.retrieval.channel import (
    Channel,
    ChannelDeclaration,
    ChannelQuery,
    ChannelUnavailableError,
    Phase,
    RankedItems,
)
from fuserank_ensemble.retrieval.channels.registry import open_channels
from fuserank_ensemble.retrieval.conditions import ConditionCheck
from fuserank_ensemble.retrieval.evidence import Evidence
from fuserank_ensemble.retrieval.fusion import ReciprocalRankFusion, reciprocal_rank
from fuserank_ensemble.retrieval.index import CatalogIndex, InteractionIndex, RetrievalIndex
from fuserank_ensemble.retrieval.pool import select_pool
from fuserank_ensemble.spec import GraphSpec
from fuserank_ensemble.understanding.query import UnderstoodQuery

# How deep channels are asked, in depths of fusion: text channels also set what the others choose from.
DEPTHS: Mapping[Phase, int] = {"text": 2, "candidate": 1}
# Of the nearest text's cosine: a guess that is no nearer than the first counts least, from the second on all.
AGREEMENT = (0.4, 0.8)
LEAST_GUESS = 0.4  # of its vote that a guess keeps: an encoder does not read every field that words are in
MISSED_WORTH = 0.5  # of an item's votes, for each condition that it misses


@dataclass(frozen=True)
class Candidates:
    """One request's candidates.

    Attributes:
        rows: Item rows, best fused first, int32 `[candidates]`.
        features: float32 `[candidates, features]`.
        texts: Row of each candidate's text vector, int32 `[candidates]`.
        events: Rows of the text vectors of the user's latest items, newest first, int32, `spec.events` at most.
        moments: When and how often those were had, float32 `[events, 3]`, see `interactions.sequence`.
        channel_counts: How many items each channel listed, and how many candidates there are, as `fused`.
        degraded: Which channels did not answer, such as `channel:dense`.
    """

    rows: NDArray[np.int32]
    features: FloatArray
    texts: NDArray[np.int32]
    events: NDArray[np.int32]
    moments: FloatArray
    channel_counts: dict[str, int]
    degraded: list[str]


@dataclass(frozen=True)
class Prefetch:
    """What was computed for some queries before their embeddings were known.

    Attributes:
        lists: By channel its list for each query, by the query's position, of channels that need no embedding; one that
            did not answer is left out.
        profiles: Each query's user profile.
    """

    lists: dict[str, dict[int, RankedItems]]
    profiles: list[UserProfile]


class Retriever:
    """Finds candidates and computes their features, for a batch of queries. One instance serves one thread."""

    def __init__(
        self,
        catalog: CatalogIndex,
        interactions: InteractionIndex,
        spec: GraphSpec,
        dense: Channel | None = None,
    ) -> None:
        """Opens the channels.

        Args:
            catalog: The indexes over the catalogue.
            interactions: What was learned from the log.
            spec: Depths and weights of the channels.
            dense: Takes the place of the local dense channel.
        """
        self.items, self.popularity = catalog.items, interactions.popularity
        self._vectors, self._spec = catalog.vectors, spec
        self._demand = 1.0 + interactions.popularity.trend
        self._featurise = Featuriser(catalog.items, interactions.popularity, spec.own_features)
        self._channels = open_channels(RetrievalIndex(catalog, interactions, spec.dense_texts), dense)
        self._fusion = ReciprocalRankFusion(len(catalog.items), spec.channel_depth)
        self._conditions = ConditionCheck(catalog.items, catalog.lexical)

    def prefetch(self, queries: Sequence[ChannelQuery], kind: str | None = None) -> Prefetch:
        """Does what needs no embeddings; those of the queries are not read.

        It may run in another thread than `retrieve`, as long as they take turns.

        Args:
            queries: The requests.
            kind: As for `retrieve`.
        """
        kinds = [kind or request_kind(query) for query in queries]
        lists: dict[str, dict[int, RankedItems]] = {}
        for channel in self._channels:
            declared = channel.declaration
            positions = self._positions_for(declared, queries, kinds)
            selected = [queries[i] for i in positions]
            channel.prepare(selected)
            if declared.phase == "text" and not declared.needs_embedding:
                with suppress(ChannelUnavailableError):
                    ranked = channel.search(selected, self._depth(declared))
                    lists[declared.name] = dict(zip(positions, ranked, strict=True))
        return Prefetch(lists, [UserProfile.from_history(query.seen, self.items, query.now) for query in queries])

    def retrieve(
        self,
        queries: Sequence[ChannelQuery],
        limits: Sequence[int],
        kind: str | None = None,
        prefetch: Prefetch | None = None,
    ) -> list[Candidates]:
        """Finds candidates for each query.

        Args:
            queries: The requests; every channel answers all of them in one call.
            limits: How many candidates each may have at most.
            kind: The kind of request whose channel weights hold; by default it follows from each query.
            prefetch: What `prefetch` returned for these queries, if it was called.
        """
        kinds = [kind or request_kind(query) for query in queries]
        lists, unavailable = self.search_channels(queries, kinds, prefetched=prefetch.lists if prefetch else None)
        candidates = []
        for i, (query, limit) in enumerate(zip(queries, limits, strict=True)):
            weights = self._spec.channel_weights[kinds[i]]
            evidence = self.fuse(lists[i], weights, limit, self._required_rows(query, lists[i], limit), query)
            profile = prefetch.profiles[i] if prefetch else None
            candidates.append(self._describe(query, lists[i], evidence, weights, unavailable, profile))
        return candidates

    def describe(self, queries: Sequence[ChannelQuery], rows: Sequence[NDArray[np.int32]]) -> list[Candidates]:
        """Describes given items as candidates of each query, whether or not a channel finds them.

        Args:
            queries: The requests; every channel answers all of them in one call.
            rows: Item rows to describe for each, int32 without repeats.

        Returns:
            For each query exactly its rows, best fused first.
        """
        kinds = [request_kind(query) for query in queries]
        lists, unavailable = self.search_channels(queries, kinds)
        candidates = []
        for query, kind, query_lists, query_rows in zip(queries, kinds, lists, rows, strict=True):
            weights = self._spec.channel_weights[kind]
            evidence = self.fuse(query_lists, weights, len(query_rows), query_rows, query)
            candidates.append(self._describe(query, query_lists, evidence, weights, unavailable))
        return candidates

    def search_channels(
        self,
        queries: Sequence[ChannelQuery],
        kinds: Sequence[str],
        everything: bool = False,
        prefetched: Mapping[str, Mapping[int, RankedItems]] | None = None,
    ) -> tuple[list[dict[str, RankedItems]], list[str]]:
        """Asks every channel, the text channels first.

        Args:
            queries: The requests.
            kinds: The kind of each; a channel without weight for a kind is not asked.
            everything: Ask every channel nevertheless.
            prefetched: Lists that are known already, see `Prefetch`.

        Returns:
            For each query the channels' lists by channel name, and the names of the channels that did not answer.
        """
        lists: list[dict[str, RankedItems]] = [{} for _ in queries]
        unavailable: list[str] = []
        self._search_phase("text", queries, kinds, everything, prefetched or {}, lists, unavailable)
        declarations = [channel.declaration for channel in self._channels]
        restricted = list(queries)
        for i, query in enumerate(queries):
            if query.query:
                lists[i] = self._weigh_guesses(query, lists[i])
                restricted[i] = replace(query, pool=select_pool(lists[i], declarations))
        self._search_phase("candidate", restricted, kinds, everything, {}, lists, unavailable)
        return lists, unavailable

    def _search_phase(
        self,
        phase: Phase,
        queries: Sequence[ChannelQuery],
        kinds: Sequence[str],
        everything: bool,
        prefetched: Mapping[str, Mapping[int, RankedItems]],
        lists: list[dict[str, RankedItems]],
        unavailable: list[str],
    ) -> None:
        """Adds the lists of the phase's channels to `lists`, and those that do not answer to `unavailable`."""
        for channel in self._channels:
            declared = channel.declaration
            positions = self._positions_for(declared, queries, kinds, everything)
            if declared.phase != phase or not positions:
                continue
            known = prefetched.get(declared.name)
            try:
                if known is not None:
                    ranked = [known[i] for i in positions]
                else:
                    ranked = channel.search([queries[i] for i in positions], self._depth(declared))
            except ChannelUnavailableError:
                unavailable.append(declared.name)
                continue
            for i, query_ranked in zip(positions, ranked, strict=True):
                lists[i][declared.name] = query_ranked

    def fuse(
        self,
        lists: Mapping[str, RankedItems],
        weights: Mapping[str, float],
        limit: int,
        required: NDArray[np.int32] | None = None,
        query: ChannelQuery | None = None,
    ) -> Evidence:
        """Fuses one query's lists, see `ReciprocalRankFusion.fuse`; a channel that has no weight counts 0.

        With the query, items that miss its conditions count less.
        """
        known = {name: weights.get(name, 0.0) for name in lists}
        understood = None if query is None else query.understood
        worth = partial(self._worth, understood) if understood is not None and understood.has_conditions else None
        return self._fusion.fuse(lists, known, limit, required, worth)

    def _worth(self, understood: UnderstoodQuery, rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """What an item's votes are worth, by the conditions that it misses, float32 `[rows]`."""
        worth: NDArray[np.float32] = MISSED_WORTH ** self._conditions.count_missed(rows, understood)
        return worth

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
            cosines = self._text_scores(query, self.items.text[ranked.rows[guesses]])
            nearest = max([float(cosines.max()), *(float(lists[name].scores[0]) for name in self._by_meaning(lists))])
            if nearest > 0:
                least, most = AGREEMENT
                shares = np.ones(len(ranked), np.float32)
                agreed = np.clip((cosines / nearest - least) / (most - least), 0.0, 1.0)
                shares[guesses] = LEAST_GUESS + (1.0 - LEAST_GUESS) * agreed
                weighed[declared.name] = replace(ranked, shares=shares)
        return weighed

    def _by_meaning(self, lists: Mapping[str, RankedItems]) -> list[str]:
        """The channels whose scores are cosines of the query, of those that listed anything."""
        names = [c.declaration.name for c in self._channels if c.declaration.needs_embedding]
        return [name for name in names if name in lists and len(lists[name])]

    def _positions_for(
        self,
        declared: ChannelDeclaration,
        queries: Sequence[ChannelQuery],
        kinds: Sequence[str],
        everything: bool = False,
    ) -> list[int]:
        """Positions of the queries that a channel is asked."""
        weights = self._spec.channel_weights
        return [
            i
            for i, (query, kind) in enumerate(zip(queries, kinds, strict=True))
            if everything or weights[kind].get(declared.name, 0.0) > 0 or (declared.for_exploration and query.newcomers)
        ]

    def _depth(self, declared: ChannelDeclaration) -> int:
        return self._spec.channel_depth * DEPTHS[declared.phase]

    def _required_rows(
        self, query: ChannelQuery, lists: Mapping[str, RankedItems], limit: int
    ) -> NDArray[np.int32] | None:
        """The rows that stay candidates whatever their fused score; of newcomers, at most a quarter of all."""
        required = np.empty(0, np.int32) if query.required is None else query.required
        for channel in self._channels:
            if channel.declaration.for_exploration and channel.declaration.name in lists:
                newcomers = lists[channel.declaration.name].rows[: min(query.newcomers, limit // 4)]
                required = np.concatenate([required, newcomers[~np.isin(newcomers, required)]])
        return required if len(required) else None

    def _describe(
        self,
        query: ChannelQuery,
        lists: Mapping[str, RankedItems],
        evidence: Evidence,
        weights: Mapping[str, float],
        unavailable: Sequence[str],
        profile: UserProfile | None = None,
    ) -> Candidates:
        """Computes what the ranker reads of one query's candidates."""
        candidate_texts = self.items.text[evidence.rows]
        profile = profile or UserProfile.from_history(query.seen, self.items, query.now)
        text_scores = self._text_scores(query, candidate_texts) if query.query else None
        understood = query.understood
        missed = None
        if understood is not None and understood.has_conditions:
            missed = self._conditions.count_missed(evidence.rows, understood, self._spec.candidates)
        counts = {name: min(len(ranked), self._spec.channel_depth) for name, ranked in lists.items()}
        latest = latest_positions(query.seen, self._spec.events)
        return Candidates(
            evidence.rows,
            self._featurise(
                evidence,
                profile,
                query.now,
                text_scores,
                missed,
                self._category_shares(lists, evidence.rows) if query.query else None,
                query.groups,
            ),
            candidate_texts,
            self.items.text[query.seen.rows[latest]],
            moments(query.seen, latest, query.now, self._spec.events),
            counts | {"fused": len(evidence.rows)},
            # Another request of the batch may have asked a channel that this one does without.
            [f"channel:{name}" for name in unavailable if weights.get(name, 0.0) > 0],
        )

    def _category_shares(self, lists: Mapping[str, RankedItems], rows: NDArray[np.int32]) -> FloatArray:
        """Computes which categories are meant: those of what the text channels list, by rank and by demand.

        Many more people who look for milk want white milk than chocolate milk, though both match alike.

        Args:
            lists: Every channel's list.
            rows: The candidates, int32 `[candidates]`.

        Returns:
            The share of each candidate's category, float32 `[candidates]`, NaN without a category.
        """
        category = self.items.category
        sums = np.zeros(self.items.categories + 1)
        for channel in self._channels:
            ranked = lists.get(channel.declaration.name)
            if channel.declaration.phase == "text" and ranked is not None:
                voters = ranked.top(self._spec.channel_depth)
                votes = reciprocal_rank(1.0, np.arange(1, len(voters) + 1)) * self._demand[voters.rows]
                if ranked.shares is not None:
                    votes = votes * ranked.shares[: len(voters)]
                sums += np.bincount(category[voters.rows] + 1, votes, minlength=len(sums))
        sums[0] = np.nan  # of items without a category
        total = np.nansum(sums)
        shares: FloatArray = (sums[category[rows] + 1] / (total or 1.0)).astype(np.float32)
        return shares

    def _text_scores(self, query: ChannelQuery, texts: NDArray[np.int32]) -> FloatArray:
        """Computes the cosine of the query and each candidate's text, whichever channel found it.

        Args:
            query: The request.
            texts: Rows of the candidates' text vectors, int32 `[candidates]`.

        Returns:
            float32 `[candidates]`.
        """
        distinct, text_of_candidate = np.unique(texts, return_inverse=True)
        scores: FloatArray = (self._vectors[distinct].astype(np.float32) @ query.embedding)[text_of_candidate]
        return scores


def request_kind(query: ChannelQuery) -> str:
    """Returns the kind of request whose channel weights hold: `query`, `user` or `both`."""
    if not query.query:
        return "user"
    return "both" if len(query.seen) else "query"
