"""What everybody has at present, there and then: overall, or among what matches the query."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Self

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from fuserank_ensemble.catalog.filters import Mask
from fuserank_ensemble.interactions.events import EVENTS
from fuserank_ensemble.interactions.popularity import LONGEST_CONTEXT, Popularity, context_names
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
from fuserank_ensemble.retrieval.index import RetrievalIndex

# How many events of its own an item needs before a context is believed: below it, chance rules. On Complete Journey
# stores differ and are believed early; hours and weekdays differ little.
PRIORS = {"store": 5.0, "region": 5.0, "hour": 20.0, "weekday": 20.0}
_CACHED_LISTS = 256  # of 4 kB each where a list is full


class TrendingChannel(LocalChannel):
    """Items by time-decayed events, more of them where the request's place, hour and weekday have them more often.

    Each context multiplies an item's trend by (w + c) / (e + c): `w` are the item's events in the context, `e` is what
    its share in all events lets expect there. That is the ratio of observed to expected, shrunk towards 1 by a gamma
    prior (DuMouchel, 1999), so that a context says little of an item that it has seldom seen.

    One instance serves one thread.
    """

    declaration = ChannelDeclaration(
        name="trending",
        phase="candidate",
        weights={"query": 0.3, "both": 1.0, "user": 0.3},
        score=ScoreFeature(
            "trending_score",
            "popularity",
            "log of the trend, multiplied where place, hour and weekday have it more",
            log=True,
        ),
        rank=Feature("trending_rank", "popularity", "log position by that score among what matches the query"),
        reads=EventsRead(EVENTS, "sum of strengths, late ones counting more; what is not wanted takes away"),
    )

    def __init__(self, popularity: Popularity) -> None:
        self._popularity = popularity
        # A table of rows: faster than searching a context's thousands of items for each of as many rows.
        self._observed = np.zeros(len(popularity.trend), np.float32)
        self._had = popularity.order[: int(np.count_nonzero(popularity.trend > 0))]  # most popular first
        # Not by a decorator, which would keep the channel until the collector comes: events replace it every second.
        # Who asks without a query and a filter has the list of everybody else there and then.
        self._everybodys: LRUCache[Any, RankedItems] = LRUCache(_CACHED_LISTS)

    @classmethod
    def open(cls, index: RetrievalIndex) -> Self:
        """See `LocalChannel`."""
        return cls(index.interactions.popularity)

    def with_popularity(self, popularity: Popularity) -> Self:
        """See `LocalChannel`."""
        return type(self)(popularity)

    @property
    def knowledge(self) -> Knowledge:
        """See `Channel`."""
        return Knowledge(trust=trust_in_log(float(self._popularity.events.sum())))

    def search(self, queries: Sequence[ChannelQuery], depth: int) -> list[RankedItems]:
        """See `Channel`. An item that nobody had is not listed."""
        results, selecting = [RankedItems.empty()] * len(queries), dict[tuple[str, ...], list[int]]()
        for i, query in enumerate(queries):
            names = tuple(name for name in context_names(query.now, query.context) if name.partition("=")[0] in PRIORS)
            if query.pool is None and query.allowed is None:
                results[i] = self._rank_all(names, depth)
            else:
                selecting.setdefault(names, []).append(i)
        for names, asked in selecting.items():
            ranked = self._rank(names, depth, [(queries[i].pool, queries[i].allowed) for i in asked])
            for i, of_query in zip(asked, ranked, strict=True):
                results[i] = of_query
        return results

    def _rank_all(self, names: Sequence[str], depth: int) -> RankedItems:
        """The best items of some contexts."""
        key = (*names, depth)
        if key not in self._everybodys:
            (self._everybodys[key],) = self._rank(names, depth, [(None, None)])
        return self._everybodys[key]

    def _rank(
        self, names: Sequence[str], depth: int, selections: Sequence[tuple[NDArray[np.int32] | None, Mask | None]]
    ) -> list[RankedItems]:
        """The best items of some contexts, for each of some pools and masks."""
        popularity = self._popularity
        known = [(PRIORS[name.partition("=")[0]], popularity.contexts.get(name)) for name in names]
        contexts = [(prior, *context) for prior, context in known if context is not None]
        local = [members for _, members, _, _ in contexts]
        parts = [self._candidates(depth, local, pool, allowed) for pool, allowed in selections]
        rows = np.concatenate(parts)
        scores = popularity.trend[rows].astype(np.float32)
        share = popularity.context_share[rows]
        for prior, members, weights, total in contexts:
            if not len(members):
                continue
            expected = share * total
            # Of a context that was cut, an item that is not there may have had as much as the last that is.
            missing = np.minimum(expected, weights.min()) if len(members) == LONGEST_CONTEXT else 0.0
            self._observed[rows] = missing
            self._observed[members] = weights
            scores *= (self._observed[rows] + prior) / (expected + prior)
        ends = accumulate(map(len, parts))
        return [
            RankedItems.best(part, scores[end - len(part) : end], depth) for part, end in zip(parts, ends, strict=True)
        ]

    def _candidates(
        self, depth: int, local: Sequence[NDArray[np.int32]], pool: NDArray[np.int32] | None, allowed: Mask | None
    ) -> NDArray[np.int32]:
        """Every row that may be among the best, given the items of each of the request's contexts."""
        popularity = self._popularity
        if pool is not None:
            return pool[popularity.trend[pool] > 0]
        # An item is among the best because it is popular everywhere, or because it is here.
        everywhere = self._had
        if allowed is not None:
            everywhere = everywhere[allowed[everywhere]]
        rows: NDArray[np.int32] = np.unique(np.concatenate([everywhere[:depth], *local]))
        if allowed is not None:
            rows = rows[allowed[rows]]
        return rows
