"""What users of a similar history had: matrix factorisation by `implicit`, folded in at request time."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, Self

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fuserank_ensemble.catalog.arrays import GrownRows
from fuserank_ensemble.catalog.filters import Mask
from fuserank_ensemble.interactions.events import EVENTS
from fuserank_ensemble.interactions.history import CACHED_USERS, History, digest
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
from fuserank_ensemble.retrieval.fold_in import FirstUsers, NewItemUsers, confidence, fold_in, prior_precision
from fuserank_ensemble.retrieval.index import RetrievalIndex
from fuserank_ensemble.retrieval.vectors.grown import GrownSearch
from fuserank_ensemble.retrieval.vectors.search import VectorSearch

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

# Of the three that `implicit` offers for this, factors reached most on Complete Journey: docs/decisions/012.
REGULARIZATION = 0.1
NEIGHBOURS = 5  # items whose factors a new one has until somebody has it
LEAST_RELATED = 0.25  # of the score of what was had itself: what has less is not had by the same users


class CollaborativeChannel(LocalChannel):
    """Items by the dot product of their factors and the user's, which are solved from the request's own history.

    An event recorded a second ago counts, and so does a user who was not there at training.
    """

    declaration = ChannelDeclaration(
        name="collaborative",
        phase="candidate",
        weights={"both": 0.3, "user": 0.5, "similar": 0.5},
        score=ScoreFeature("collaborative_score", "collaborative", "dot product of the item's factors and the user's"),
        rank=Feature("collaborative_rank", "collaborative", "log position by that score"),
        relates=True,
        reads=EventsRead(EVENTS, "certainty by strength; what is not wanted is held against the user's other items"),
    )

    def __init__(self, factors: NDArray[np.float32], search: VectorSearch, events: float) -> None:
        """Joins the items' factors and the index over them.

        Args:
            factors: float32 `[items, factors]`; an item without events has zeros and is never listed.
            search: Nearest vectors among `factors`.
            events: How many events they were learned from.
        """
        # Every process reads the registry; only those that search pay for this import (20 MB).
        from implicit.cpu.als import AlternatingLeastSquares  # noqa: PLC0415

        self._has_factors = np.any(factors != 0, axis=1)
        self._search, self._events = search, events
        with threadpool_limits(1, "blas"):  # the library warns of more while it is made
            self._model = AlternatingLeastSquares(factors.shape[1], regularization=REGULARIZATION, num_threads=1)
        self._users: LRUCache[bytes, NDArray[np.float32]] = LRUCache(CACHED_USERS)
        # No copy of what is mapped copy-on-write; implicit wants a writable buffer.
        self._model.item_factors = np.require(factors, np.float32, ["C", "W"])
        self._bundled = len(factors)
        none = np.empty((0, factors.shape[1]), np.float32)
        self._factors = GrownRows(self._model.item_factors, none)
        self._trained = search
        # Of the items that came later: what near items give them, who had them, and what both together say.
        self._priors, self.first_users = none, NewItemUsers()
        self._folded: dict[int, tuple[FirstUsers, NDArray[np.float32]]] = {}
        self._version = 0  # of these factors

    @classmethod
    def open(cls, index: RetrievalIndex) -> Self | None:
        """See `LocalChannel`; it needs a log."""
        learned = index.interactions
        return None if learned.factors is None else cls(*learned.factors, float(learned.popularity.events.sum()))

    def over(self, index: RetrievalIndex) -> Self:
        """See `LocalChannel`. A new item has the factors of the nearest in meaning, until somebody has it."""
        items, vectors = index.catalog.items, index.catalog.vectors
        rows = np.arange(len(self._has_factors), len(items))
        if not len(rows):
            return self
        wanted = vectors[items.text[rows]].astype(np.float32)
        nearest = index.item_vectors.bundled.search(wanted, 4 * NEIGHBOURS, [None] * len(rows))
        new = np.stack([self._mean_factors(neighbours, cosines) for neighbours, cosines in nearest])
        other = copy(self)
        other._priors = np.concatenate([self._priors, new])
        other._join(self.first_users)
        return other

    @property
    def factors(self) -> Self:
        """See `Channel`."""
        return self

    def with_first_users(self, first: NewItemUsers) -> Self:
        """Returns the same where other users had the new items; another thread may be searching this one."""
        if first is self.first_users or not len(self._priors):
            return self
        other = copy(self)
        other._join(first)
        return other

    def _join(self, first: NewItemUsers) -> None:
        """Gives the new items the factors that their neighbours and users say together."""
        added, folded = self._priors.copy(), {}
        for row, users in first.by_row.items():
            if (at := row - self._bundled) < len(added):
                known = self._folded.get(row)
                factors = known[1] if known and known[0] is users else fold_in(added[at], users, first.precision)
                folded[row], added[at] = (users, factors), factors
        self.first_users, self._folded, self._version = first, folded, self._version + 1
        self._factors = GrownRows(self._factors.bundled, added)
        self._has_factors = np.append(self._has_factors[: self._bundled], added.any(axis=1))
        self._search = GrownSearch(self._trained, self._bundled, added)

    def _mean_factors(self, rows: NDArray[np.int32], cosines: NDArray[np.float32]) -> NDArray[np.float32]:
        """The mean of the nearest items' factors by how near each is, float32 `[factors]`; zeros where none has any."""
        kept = np.flatnonzero(self._has_factors[rows])[:NEIGHBOURS]
        rows, cosines = rows[kept], cosines[kept]
        weights = np.maximum(cosines, 0.0) ** 2
        total = max(float(weights.sum()), 1e-12)
        mean: NDArray[np.float32] = ((weights / total) @ self._factors.bundled[rows]).astype(np.float32)
        return mean

    @property
    def knowledge(self) -> Knowledge:
        """See `Channel`. Of an item that nobody had, and that is near to none, it knows nothing."""
        return Knowledge(self._has_factors, trust_in_log(self._events))

    def search(self, queries: Sequence[ChannelQuery], depth: int) -> list[RankedItems]:
        """See `Channel`. The whole catalogue is searched in one scan for all requests without a pool."""
        results = [RankedItems.empty()] * len(queries)
        unrestricted: dict[int, NDArray[np.float32]] = {}
        for i, (query, user) in enumerate(zip(queries, self._user_factors(queries), strict=True)):
            # What nobody had yet has no relation to be named.
            if user is None or (query.related_only and bool((query.seen.rows >= self._bundled).any())):
                continue
            if query.pool is None:
                unrestricted[i] = user
                continue
            rows = query.pool[self._has_factors[query.pool]]
            results[i] = RankedItems.best(rows, self._factors[rows] @ user, depth)
        if unrestricted:
            masks = [self._mask(queries[i].allowed) for i in unrestricted]
            nearest = self._search.search(np.stack(list(unrestricted.values())), depth, masks)
            for i, (rows, scores) in zip(unrestricted, nearest, strict=True):
                kept = self._has_factors[rows]
                if queries[i].related_only:
                    kept &= (scores > self._least_related(queries[i].seen, unrestricted[i])) & (rows < self._bundled)
                results[i] = RankedItems(rows[kept].astype(np.int32), scores[kept])
        return [ranked.distinguishing(depth) for ranked in results]

    def _least_related(self, seen: History, user: NDArray[np.float32]) -> float:
        """The score from which an item counts as had by users of what was had."""
        own = self._factors[seen.rows] @ user
        return LEAST_RELATED * max(float(own.max()), 0.0)

    def prepare(self, queries: Sequence[ChannelQuery]) -> None:
        """Solves the factors of the queries' users, which are cached."""
        self._user_factors(queries)

    def _user_factors(self, queries: Sequence[ChannelQuery]) -> list[NDArray[np.float32] | None]:
        """The factors of each query's user, float32 `[factors]`; None where no item of the history has any."""
        keys = [self._key(query.seen, query.disliked) for query in queries]
        users = {key: self._users.get(key) for key in keys if key is not None}
        of_missing = {
            key: (query.seen, query.disliked)
            for key, query in zip(keys, queries, strict=True)
            if key is not None and users[key] is None
        }
        if of_missing:
            for key, user in zip(of_missing, self._solve(list(of_missing.values())), strict=True):
                users[key] = self._users[key] = user
        return [None if key is None else users[key] for key in keys]

    def _key(self, seen: History, disliked: History) -> bytes | None:
        """What a user's factors are cached under; None where no item of the history has any."""
        if not len(seen) or not self._has_factors[seen.rows].any():
            return None
        key = digest(seen.rows, seen.counts, disliked.rows, disliked.counts)
        # The factors of new items change.
        return key if seen.rows[-1] < self._bundled else key + self._version.to_bytes(8, "big")

    def solve_bundled(self, seen: History, disliked: History) -> tuple[NDArray[np.float32], float] | None:
        """Returns a user's factors by the items of the bundle alone, and the mean score of those that the user had.

        Any thread may call it: what is cached for requests is left alone.

        Returns:
            The factors, float32 `[factors]`; None where the user had no item that has any.
        """
        seen, disliked = (history.part(history.rows < self._bundled) for history in (seen, disliked))
        rows = seen.rows[self._has_factors[seen.rows]]
        if not len(rows):
            return None
        (user,) = self._solve([(seen, disliked)])
        return user, float((self._factors.bundled[rows] @ user).mean())

    def prior_precision(self, users: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """See `FactorChannel`."""
        assert self._model.YtY is not None
        stacked = np.asarray(users, np.float32).reshape(len(users), len(self._model.YtY))
        return prior_precision(stacked, self._model.YtY / max(int(self._has_factors[: self._bundled].sum()), 1))

    def _solve(self, users: Sequence[tuple[History, History]]) -> list[NDArray[np.float32]]:
        """The factors of users by what they had and disliked, float32 `[factors]` each."""
        certain = confidences(users, len(self._has_factors))
        model = self._model
        if len(certain.indices) and certain.indices.max() >= self._bundled:
            # The library reads the factors of the users' items alone, and the sum of all products, which it keeps.
            assert self._model.YtY is not None
            model = copy(self._model)
            model.item_factors = np.ascontiguousarray(self._factors[certain.indices])
            pairs = (certain.data, np.arange(len(certain.indices)), certain.indptr)
            certain = type(certain)(pairs, shape=(len(users), len(certain.indices)))
        factors: NDArray[np.float32] = model.recalculate_user(np.arange(len(users)), certain)
        return [user.astype(np.float32) for user in factors]  # copies: a cached view would keep the whole batch

    def _mask(self, allowed: Mask | None) -> Mask | None:
        return None if allowed is None else allowed & self._has_factors


def confidences(users: Sequence[tuple[History, History]], items: int) -> csr_matrix:
    """What users had and what they dislike as the model wants them, see `confidence`, float32 `[users, items]`."""
    from scipy.sparse import csr_matrix  # noqa: PLC0415  comes with implicit

    rows, strengths, offsets = [], [], [0]
    for seen, disliked in users:
        against = disliked.part(~np.isin(disliked.rows, seen.rows)) if len(disliked) else disliked
        rows += [seen.rows, against.rows]
        strengths += [seen.counts, -against.counts]
        offsets.append(offsets[-1] + len(seen) + len(against))
    # Copies: implicit wants a writable buffer, and a history that came with a request lies in its message.
    data = confidence(np.concatenate(strengths))
    return csr_matrix((data, np.concatenate(rows), np.asarray(offsets)), shape=(len(users), items))
