"""Asks every channel, fuses their lists and computes features: what serving and the ranker's training share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.categories import CategoryShares, predict_categories
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
from fuserank_ensemble.retrieval.fusion import ReciprocalRankFusion
from fuserank_ensemble.retrieval.index import CatalogIndex, InteractionIndex, RetrievalIndex
from fuserank_ensemble.retrieval.pool import select_pool
from fuserank_ensemble.spec import GraphSpec
from fuserank_ensemble.understanding.query import UnderstoodQuery

# How deep channels are asked, in depths of fusion: text channels also set what the others choose from.
DEPTHS: Mapping[Phase, int] = {"text": 2, "candidate": 1}
# Of the nearest text's cosine: a guess that is no nearer than the first counts least, from the second on all.
AGREEMENT = (0.4, 0.8)
# Of its vote that a guess keeps: something, as an encoder does not read every field that words are in, and never all,
# so that it does not pass the certain match before it.
LEAST_GUESS, MOST_GUESS = 0.4, 0.8
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
        declared = [channel.declaration for channel in self._channels]
        self._text_channels = [channel.name for channel in declared if channel.phase == "text"]
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
            required = self._required_rows(query, lists[i], limit)
            profile = prefetch.profiles[i] if prefetch else None
            candidates.append(self._candidates(query, lists[i], weights, limit, required, unavailable, profile))
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
            limit = len(query_rows)
            candidates.append(self._candidates(query, query_lists, weights, limit, query_rows, unavailable))
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
        categories: CategoryShares | None = None,
    ) -> Evidence:
        """Fuses one query's lists, see `ReciprocalRankFusion.fuse`; a channel that has no weight counts 0.

        With the query, items that miss its conditions count less. Those of categories that are hardly meant stand
        further back among the first `spec.candidates`, and stay candidates: the ranker may know better.

        Args:
            lists: Each channel's list.
            weights: The weight of each channel's votes.
            limit: How many candidates to keep.
            required: Rows that are kept whatever their votes.
            query: The query; None for none.
            categories: The categories that it means; None where they are not known.
        """
        known = {name: weights.get(name, 0.0) for name in lists}
        understood = None if query is None else query.understood
        worth = partial(self._worth, understood) if understood is not None and understood.has_conditions else None
        evidence = self._fusion.fuse(lists, known, limit, required, worth)
        if categories is not None and evidence.votes is not None:
            evidence = evidence.reweighed(categories.worth(self.items.category[evidence.rows]), self._spec.candidates)
        return evidence

    def _worth(self, understood: UnderstoodQuery, rows: NDArray[np.int32]) -> NDArray[np.float64]:
        """What an item's votes are worth, by the conditions that it misses, float64 `[rows]`."""
        worth: NDArray[np.float64] = MISSED_WORTH ** self._conditions.count_missed(rows, understood)
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
                shares[guesses] = LEAST_GUESS + (MOST_GUESS - LEAST_GUESS) * agreed
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

    def _candidates(
        self,
        query: ChannelQuery,
        lists: Mapping[str, RankedItems],
        weights: Mapping[str, float],
        limit: int,
        required: NDArray[np.int32] | None,
        unavailable: Sequence[str],
        profile: UserProfile | None = None,
    ) -> Candidates:
        """Fuses one query's lists, and computes what the ranker reads of the candidates."""
        # What the encoder cannot read may be matched by single characters, which tell nothing of a category.
        categories = self.predict_categories(lists) if query.is_embedded else None
        evidence = self.fuse(lists, weights, limit, required, query, categories)
        candidate_texts = self.items.text[evidence.rows]
        profile = profile or UserProfile.from_history(query.seen, self.items, query.now)
        text_scores = self._text_scores(query, candidate_texts) if query.is_embedded else None
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
                categories.log(self.items.category[evidence.rows]) if categories else None,
                query.groups,
            ),
            candidate_texts,
            self.items.text[query.seen.rows[latest]],
            moments(query.seen, latest, query.now, self._spec.events),
            counts | {"fused": len(evidence.rows)},
            # Another request of the batch may have asked a channel that this one does without.
            [f"channel:{name}" for name in unavailable if weights.get(name, 0.0) > 0],
        )

    def predict_categories(self, lists: Mapping[str, RankedItems]) -> CategoryShares | None:
        """Predicts the categories that a query means, by the text channels' lists; None where none is known."""
        weights = self._spec.channel_weights["query"]  # with or without a user: a user changes nothing of what is meant
        texts = [(weights.get(name, 0.0), lists[name]) for name in self._text_channels if name in lists]
        return predict_categories(texts, self.items, self._demand, self._spec.channel_depth)

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
