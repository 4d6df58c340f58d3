"""Items near a user's history and the entities that the query names, in the knowledge graph.

The vector of a request is made from the nodes next to it, so that a user or an event that training never saw counts
like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from functools import lru_cache
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.interactions.events import EVENTS
from fuserank_ensemble.retrieval.channel import (
    ChannelDeclaration,
    ChannelQuery,
    EventsRead,
    Feature,
    Knowledge,
    LocalChannel,
    RankedItems,
    ScoreFeature,
    trust_in_log,
)
from fuserank_ensemble.retrieval.graph.index import LARGEST_NAME, GraphIndex, Vector
from fuserank_ensemble.retrieval.index import RetrievalIndex
from fuserank_ensemble.retrieval.row_table import RowTable
from fuserank_ensemble.retrieval.vectors.grown import GrownSearch
from fuserank_ensemble.retrieval.vectors.search import VectorSearch

LEAST_TRUST = 0.5  # in a log, from which on users link items
_CACHED_TEXTS = 1_024  # whose names are kept: people look at many pages of one query


class GraphChannel(LocalChannel):
    """Items that the knowledge graph puts near the user and near what the query names.

    One instance serves one thread.

    Items of the entities that a query names come first, those of more of its names before those of fewer, then the rest
    of the pool; within each, the nearest in the graph. Without either, the whole catalogue is searched.
    """

    declaration = ChannelDeclaration(
        name="graph",
        phase="candidate",
        weights={"query": 0.2, "both": 0.2, "user": 0.3, "similar": 0.5},
        score=ScoreFeature(
            "graph_score", "graph", "nearness to the user and the query's entities in the knowledge graph"
        ),
        rank=Feature("graph_rank", "graph", "log position by that nearness"),
        relates=True,
        reads=EventsRead(EVENTS, "the weight of an edge is the history's sum of strengths, damped"),
    )

    def __init__(self, index: GraphIndex, search: VectorSearch, events: float) -> None:
        """Joins the vectors and the search over them.

        Args:
            index: Names and vectors.
            search: Nearest vectors among `index.items`, in the order of its rows.
            events: How many events the log had that they were learned from.
        """
        self._index, self._search = index, search
        # An item without an edge has zeros, of which nothing follows; a handful of users links none either.
        self._linked = np.any(index.items != 0, axis=1)
        if trust_in_log(events) < LEAST_TRUST:
            self._linked &= np.isin(np.arange(len(index.items)), index.members)
        self._trained = index, search
        self._table = RowTable(index.count)
        self._mentions = lru_cache(_CACHED_TEXTS)(index.names.mentions)

    @classmethod
    def open(cls, index: RetrievalIndex) -> Self | None:
        """See `LocalChannel`; it needs a graph, which a shop whose items share nothing has not."""
        learned = index.interactions
        return None if learned.graph is None else cls(*learned.graph, float(learned.popularity.events.sum()))

    def over(self, index: RetrievalIndex) -> Self:
        """See `LocalChannel`. A new item has the vector of those that it shares entities with."""
        catalog, (trained, search) = index.catalog.snapshot, self._trained
        if catalog is None:
            return self
        before = np.empty((0, trained.dim), np.float32) if self._index.added is None else self._index.added
        count = len(trained.items) + len(before)
        rows = {*catalog.changed_rows(trained.names.fields), *range(count, len(catalog.items))}
        links = {row: trained.names.link_record(catalog.records.fields(row)) for row in sorted(rows)}
        new = [trained.neighbours_vector(links[row]) for row in range(count, len(catalog.items))]
        added = np.concatenate([before, np.stack(new)]) if new else before
        other = copy(self)
        other._index = replace(self._index.linked(links), added=added)
        other._search = GrownSearch(search, len(trained.items), added)
        other._table = RowTable(other._index.count)
        other._linked = np.append(self._linked, np.asarray([vector.any() for vector in new], np.bool_))
        return other

    @property
    def knowledge(self) -> Knowledge:
        """See `Channel`. Of an item without an edge it knows nothing."""
        return Knowledge(self._linked)

    def search(self, queries: Sequence[ChannelQuery], depth: int) -> list[RankedItems]:
        """See `Channel`. The whole catalogue is searched in one scan for all requests without names and pool."""
        results = [RankedItems.empty()] * len(queries)
        unrestricted: list[tuple[int, Vector]] = []
        for i, query in enumerate(queries):
            mentions = self._mentions(query.query)
            vector = self._request_vector(query, mentions)
            named = self._items_of_names(mentions)
            if vector is None or not (named or vector.any()):
                continue
            if query.related_only:
                related = None if query.query else self._related_items(query.seen.rows)
                results[i] = self._rank(named, vector, replace(query, pool=related), depth)
            elif named or query.pool is not None:
                results[i] = self._rank(named, vector, query, depth)
            else:
                unrestricted.append((i, vector))
        if unrestricted:
            vectors = np.stack([vector for _, vector in unrestricted])
            masks = [queries[i].allowed for i, _ in unrestricted]
            allowed = [None if mask is None else mask & self._linked for mask in masks]
            nearest = self._search.search(vectors, depth, allowed)
            for (i, _), (rows, scores) in zip(unrestricted, nearest, strict=True):
                kept = self._linked[rows]
                results[i] = RankedItems(rows[kept].astype(np.int32), scores[kept])
        return [ranked.distinguishing(depth) for ranked in results]

    def _related_items(self, rows: NDArray[np.int32]) -> NDArray[np.int32]:
        """The rows of the items that share an entity with some items, see `relating_entities`, increasing."""
        shared = [self._index.members_of(entity) for row in rows for entity in self._index.relating_entities(int(row))]
        related: NDArray[np.int32] = np.unique(np.concatenate([np.empty(0, np.int32), *shared]))
        return related

    def _request_vector(self, query: ChannelQuery, mentions: Sequence[Sequence[int]]) -> Vector | None:
        """The user's vector and that of what the query names, added as they were in training; None without either."""
        user = self._index.history_vector(query.seen, query.now)
        if not mentions:
            return user
        named = self._index.entity_vector(sorted({entity for entities in mentions for entity in entities}))
        return named if user is None else user + named

    def _items_of_names(self, mentions: Sequence[Sequence[int]]) -> list[NDArray[np.int32]]:
        """The rows of each name's items, of names that are not too general."""
        of_entities = [[self._index.members_of(entity) for entity in entities] for entities in mentions]
        return [
            members[0] if len(members) == 1 else np.unique(np.concatenate(members))
            for members in of_entities
            if 0 < sum(map(len, members)) <= LARGEST_NAME
        ]

    def _rank(self, named: Sequence[NDArray[np.int32]], vector: Vector, query: ChannelQuery, depth: int) -> RankedItems:
        """Ranks the items of the names and of the pool, by the number of names first."""
        pool = np.empty(0, np.int32) if query.pool is None else query.pool
        pool = pool[pool < self._index.count]  # others are newer than these vectors
        # Equal scores keep the order in which the rows came: that of the pool.
        rows, positions = self._table.unique(np.concatenate([*named, pool]))
        names, start = np.zeros(len(rows), np.float32), 0
        for members in named:
            names[positions[start : start + len(members)]] += 1
            start += len(members)
        kept = self._linked[rows] | (names > 0)
        if query.allowed is not None:
            kept &= query.allowed[rows]
        rows, names = rows[kept], names[kept]
        if not len(rows):
            return RankedItems.empty()
        scores = self._index.vectors_of(rows) @ vector
        if named:
            scores = scores + names * (scores.max() - scores.min() + 1)
        return RankedItems.best(rows, scores, depth)
