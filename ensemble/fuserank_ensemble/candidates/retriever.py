"""Asks every channel, fuses their lists and computes features: what serving and the ranker's training share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.candidate_set import Candidates, Found, Prefetch
from fuserank_ensemble.candidates.categories import CategoryShares, predict_categories
from fuserank_ensemble.candidates.channel_search import ChannelSearch, Weights
from fuserank_ensemble.candidates.features import Featuriser, RequestEvidence
from fuserank_ensemble.candidates.feedback import FEEDBACK_DEPTH, feed_back, wants_feedback
from fuserank_ensemble.candidates.filler import Filler
from fuserank_ensemble.candidates.list_cache import ListCache
from fuserank_ensemble.candidates.pages.layout import Layout
from fuserank_ensemble.catalog.filters import Mask
from fuserank_ensemble.catalog.live.snapshot import CatalogSnapshot
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.interactions.profile import UserProfiles
from fuserank_ensemble.retrieval.channel import (
    Channel,
    ChannelQuery,
    FactorChannel,
    Knowledge,
    RankedItems,
    nearness_channels,
)
from fuserank_ensemble.retrieval.channels.registry import channel_over, open_channels
from fuserank_ensemble.retrieval.conditions import ConditionCheck
from fuserank_ensemble.retrieval.evidence import Evidence
from fuserank_ensemble.retrieval.fold_in import NewItemUsers
from fuserank_ensemble.retrieval.fusion import ReciprocalRankFusion
from fuserank_ensemble.retrieval.index import CatalogIndex, InteractionIndex, RetrievalIndex
from fuserank_ensemble.retrieval.lexical.index import LexicalIndex
from fuserank_ensemble.retrieval.matches import Matches
from fuserank_ensemble.spec import GraphSpec

SIMILAR = "similar"
LayOut = Callable[[Matches | None], Layout]  # what matches a query, None without one -> the page of it


class Retriever:
    """Finds candidates and computes their features, for a batch of queries. One instance serves one thread."""

    def __init__(
        self, catalog: CatalogIndex, interactions: InteractionIndex, spec: GraphSpec, dense: Channel | None = None
    ) -> None:
        """Opens the channels.

        Args:
            catalog: The indexes over the catalogue.
            interactions: What was learned from the log.
            spec: Depths and weights of the channels.
            dense: Takes the place of the local dense channel.
        """
        self._spec = spec
        self.visibility = 0  # how often it changed which items may be shown at all
        index = RetrievalIndex(catalog, interactions, spec.dense_texts)
        self._featurise = Featuriser(catalog.items, interactions.popularity, spec.own_features)
        self._join(index, open_channels(index, dense), ListCache())

    def _join(self, index: RetrievalIndex, channels: Sequence[Channel], lists: ListCache) -> None:
        """Takes the index, the channels over it and an empty cache of their lists."""
        items, popularity = index.catalog.items, index.interactions.popularity
        self.items, self.popularity, self._index, self._channels = items, popularity, index, channels
        self.counted: Popularity | None = None  # what `with_popularity` was given last
        self._demand = 1.0 + popularity.trend
        self._declared = [channel.declaration for channel in channels]
        depth = self._spec.channel_depth
        events = float(popularity.events.sum())
        self._search = ChannelSearch(channels, items, index.catalog.vectors, depth, events, lists)
        self._fusion = ReciprocalRankFusion(
            len(items),
            depth,
            {channel.declaration.name: channel.knowledge for channel in channels},
            popularity,
            [declared.name for declared in self._declared if declared.ties_by_popularity],
        )
        self._conditions = ConditionCheck(items, index.catalog.lexical)
        self._filler = Filler(popularity.arrived)

    @property
    def knowledge(self) -> dict[str, Knowledge]:
        """What each channel can know, by its name."""
        return {channel.declaration.name: channel.knowledge for channel in self._channels}

    def over(self, snapshot: CatalogSnapshot, lexical: LexicalIndex) -> Retriever:
        """Returns the same over the catalogue as it is after more changes.

        Another thread may be using this one: what that changes is not shared.

        Args:
            snapshot: The catalogue, the next one after this retriever's.
            lexical: The words of its items.
        """
        items, catalog = snapshot.items, self._index.catalog
        if items is self.items and lexical is catalog.lexical:
            return self
        other = copy(self)
        if not _are_equal(items.visible, self.items.visible):
            other.visibility += 1
        if items.text is self.items.text and lexical is catalog.lexical and not self._index.relinks(snapshot):
            other.items = items
            if items.columns is not self.items.columns:
                other._featurise = self._featurise.over(items, self.popularity)
                other._conditions = ConditionCheck(items, lexical)
            return other
        index = self._index.over(snapshot, lexical)
        other._featurise = self._featurise.over(items, index.interactions.popularity)
        other._join(index, [channel_over(channel, index) for channel in self._channels], self.text_lists.emptied())
        return other

    def with_popularity(self, counted: Popularity) -> Retriever:
        """Returns the same where all users' events by item are others: for what is trending, what is new, and features.

        What orders equals, and how far a channel is trusted, stays as it was when the index was opened. Another thread
        may be using this one.

        Args:
            counted: The events of the first items; of those behind them nobody had any.
        """
        if counted is self.counted:
            return self
        opened = self._index.interactions.popularity
        grown = (
            counted.grown(opened.arrived[len(counted.counts) :]) if len(counted.counts) < len(self.items) else counted
        )
        arrived = np.where(np.isnan(opened.arrived), grown.arrived, opened.arrived)
        popularity = grown.with_events(grown.order, arrived=arrived)
        other = copy(self)
        other.popularity, other.counted = popularity, counted
        other._featurise = self._featurise.with_popularity(popularity)
        other._search = self._search.with_popularity(popularity)
        return other

    def with_first_users(self, first: NewItemUsers) -> Retriever:
        """Returns the same where other users had the new items; another thread may be using this one."""
        known = self.factors
        if known is None or (channel := known.with_first_users(first)) is known:
            return self
        other, name = copy(self), channel.declaration.name
        other._channels = [channel if of_name is known else of_name for of_name in self._channels]
        other._search = self._search.with_channel(channel)
        other._fusion = self._fusion.with_knowledge(name, channel.knowledge)
        return other

    @property
    def text_lists(self) -> ListCache:
        """What text channels found before."""
        return self._search.lists

    @property
    def factors(self) -> FactorChannel | None:
        """The channel whose factors are solved; None where there is no log."""
        return next(filter(None, (channel.factors for channel in self._channels)), None)

    @property
    def by_popularity(self) -> NDArray[np.int32]:
        """All item rows, the most popular first, as of when the index was opened, int32 `[items]`."""
        return self._index.interactions.popularity.order

    def prefetch(self, queries: Sequence[ChannelQuery], kind: str | None = None) -> Prefetch:
        """Does what needs no embeddings; those of the queries are not read.

        It may run in another thread than `retrieve`, as long as they take turns.

        Args:
            queries: The requests.
            kind: As for `retrieve`.
        """
        lists = self._search.prefetch(queries, self._weights([kind or request_kind(query) for query in queries]))
        return Prefetch(lists, self._profiles(queries))

    def retrieve(
        self,
        queries: Sequence[ChannelQuery],
        limits: Sequence[int],
        kind: str | None = None,
        prefetch: Prefetch | None = None,
        pages: Sequence[LayOut | None] | None = None,
    ) -> list[Candidates]:
        """Finds candidates for each query.

        Args:
            queries: The requests; every channel answers all of them in one call.
            limits: How many candidates each may have at most.
            kind: The kind of request whose channel weights hold; by default it follows from each query.
            prefetch: What `prefetch` returned for these queries, if it was called.
            pages: For each query what lays out its page, None for one that asks for none; None where none does.
        """
        kinds = [kind or request_kind(query) for query in queries]
        asked = [replace(query, related_only=True) for query in queries] if kind == SIMILAR else queries
        lists, unavailable = self.search_channels(asked, kinds, prefetched=prefetch.lists if prefetch else None)
        found = []
        for i, (query, limit) in enumerate(zip(asked, limits, strict=True)):
            required = self._required_rows(query, lists[i], limit)
            lay_out, layout = pages[i] if pages else None, None
            if lay_out is not None:
                layout = lay_out(self._search.matches(query) if query.query else None)
            kept = layout.depth if layout else limit
            if kinds[i] == "user" and not (layout and layout.is_sorted):
                required = self._filler.add_rows(required, lists[i], kept, query.allowed)
            if layout is not None:
                required = layout.required([ranked.rows for ranked in lists[i].values()], required)
                kept = len(required) if layout.is_sorted else kept
            found.append(self._find(query, lists[i], self._spec.channel_weights[kinds[i]], kept, required, layout))
        return self._described(asked, kinds, lists, found, unavailable, prefetch.profiles if prefetch else None)

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
        found = [
            self._find(query, query_lists, self._spec.channel_weights[kind], len(query_rows), query_rows)
            for query, kind, query_lists, query_rows in zip(queries, kinds, lists, rows, strict=True)
        ]
        return self._described(queries, kinds, lists, found, unavailable)

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
        return self._search.search(queries, self._weights(kinds), everything, prefetched)

    def _weights(self, kinds: Sequence[str]) -> list[Weights]:
        return [self._spec.channel_weights[kind] for kind in kinds]

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
        understood = query.understood if query else None
        worth = partial(self._conditions.worth, understood) if understood and understood.has_conditions else None
        if query is not None and limit > self._spec.candidates and wants_feedback(query, self._search):
            deep = self._fusion.fuse(lists, known, max(limit, FEEDBACK_DEPTH), required, worth)
            evidence = feed_back(deep, self.items, self._spec.candidates, self._search).head(limit, required)
        else:
            evidence = self._fusion.fuse(lists, known, limit, required, worth)
        if query is not None and query.related_only:
            return self._nearest_first(evidence, lists, known)
        if categories is not None and evidence.votes is not None:
            evidence = evidence.reweighed(categories.worth(self.items.category[evidence.rows]), self._spec.candidates)
        return evidence

    def ranking(self, lists: Mapping[str, RankedItems], limit: int) -> Callable[[Weights], NDArray[np.int32]]:
        """Returns what maps weights to the rows of `fuse`, for one query's lists; much faster for many weights.

        Args:
            lists: Each channel's list.
            limit: How many candidates to keep.
        """
        joined = self._fusion.join(lists)
        return lambda weights: self._fusion.rank(joined, {name: weights.get(name, 0.0) for name in lists}, limit)

    def _nearest_first(
        self, evidence: Evidence, lists: Mapping[str, RankedItems], weights: Mapping[str, float]
    ) -> Evidence:
        """The candidates of `similar`: nothing stands before what is nearer in meaning but for a relation."""
        listed = [name for name in nearness_channels(self._declared) if len(lists.get(name, ())) and weights[name] > 0]
        if not listed:
            return evidence
        related = [declared.name for declared in self._declared if declared.relates and weights.get(declared.name)]
        return evidence.bounded_by_nearness(listed[0], related)

    def _required_rows(
        self, query: ChannelQuery, lists: Mapping[str, RankedItems], limit: int
    ) -> NDArray[np.int32] | None:
        """The rows that stay candidates whatever their fused score; of newcomers, at most a quarter of all."""
        required = np.empty(0, np.int32) if query.required is None else query.required
        most = min(query.newcomers, limit // 4)
        for declared in self._declared if most else ():
            if declared.for_exploration and declared.name in lists:
                newcomers = lists[declared.name].rows[:most]
                required = np.concatenate([required, newcomers[~np.isin(newcomers, required)]])
        return required if len(required) else None

    def _find(
        self,
        query: ChannelQuery,
        lists: Mapping[str, RankedItems],
        weights: Weights,
        limit: int,
        required: NDArray[np.int32] | None,
        layout: Layout | None = None,
    ) -> Found:
        """Fuses one query's lists; of a page what is on it."""
        # What the encoder cannot read may be matched by single characters, which tell nothing of a category.
        categories = self.predict_categories(lists) if query.is_embedded else None
        evidence = self.fuse(lists, weights, limit, required, query, categories)
        if layout is None:
            return Found(evidence, categories)
        cut = layout.cut(evidence.rows)
        return Found(evidence.take(cut.positions), categories, cut.variants)

    def _described(
        self,
        queries: Sequence[ChannelQuery],
        kinds: Sequence[str],
        lists: Sequence[Mapping[str, RankedItems]],
        found: Sequence[Found],
        unavailable: Sequence[str],
        profiles: UserProfiles | None = None,
    ) -> list[Candidates]:
        """Computes what the ranker reads of what was found for each query."""
        compared = [self._compare(query, of_query) for query, of_query in zip(queries, found, strict=True)]
        features, candidates = self._featurise(compared, profiles or self._profiles(queries)), []
        for i, query in enumerate(queries):
            weights, depth = self._spec.channel_weights[kinds[i]], self._spec.channel_depth
            counts = {name: min(len(ranked), depth) for name, ranked in lists[i].items()}
            # Another request of the batch may have asked a channel that this one does without.
            degraded = [f"channel:{name}" for name in unavailable if weights.get(name, 0.0) > 0]
            candidates.append(
                Candidates.of(query, found[i], features[i], self.items, self._spec.events, counts, degraded)
            )
        return candidates

    def _compare(self, query: ChannelQuery, found: Found) -> RequestEvidence:
        """Compares what was found with what the query asks for."""
        rows, understood = found.evidence.rows, query.understood
        stated = understood if understood and understood.has_conditions else None
        return RequestEvidence(
            found.evidence,
            query.seen,
            query.now,
            self._search.text_scores(query, self.items.text[rows]) if query.is_embedded else None,
            self._conditions.count_missed(rows, stated, self._spec.candidates) if stated else None,
            found.categories.log(self.items.category[rows]) if found.categories else None,
            query.groups,
        )

    def _profiles(self, queries: Sequence[ChannelQuery]) -> UserProfiles | None:
        """The histories of the queries' users, summed up; None where all are empty."""
        return UserProfiles.from_histories([q.seen for q in queries], self.items, [q.now for q in queries])

    def predict_categories(self, lists: Mapping[str, RankedItems]) -> CategoryShares | None:
        """Predicts the categories that a query means, by the text channels' lists; None where none is known."""
        weights = self._spec.channel_weights["query"]  # with or without a user: a user changes nothing of what is meant
        names = [declared.name for declared in self._declared if declared.phase == "text" and declared.name in lists]
        texts = [(weights.get(name, 0.0), lists[name]) for name in names]
        return predict_categories(texts, self.items, self._demand, self._spec.channel_depth)


def _are_equal(mask: Mask | None, other: Mask | None) -> bool:
    return mask is other or (mask is not None and other is not None and np.array_equal(mask, other))


def request_kind(query: ChannelQuery) -> str:
    """Returns the kind of request whose channel weights hold: `query`, `user` or `both`."""
    if not query.query:
        return "user"
    return "both" if len(query.seen) else "query"
