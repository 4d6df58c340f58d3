"""What users of a similar history had: matrix factorisation by `implicit`, folded in at request time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fuserank_ensemble.catalog.filters import Mask
from fuserank_ensemble.interactions.events import EVENTS, LEAST_STRENGTH
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
from fuserank_ensemble.retrieval.index import RetrievalIndex
from fuserank_ensemble.retrieval.vectors.search import VectorSearch

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

# Of the three that `implicit` offers for this, factors reached most on Complete Journey: docs/decisions/012.
CONFIDENCE = 5.0  # Hu, Koren, Volinsky: Collaborative Filtering for Implicit Feedback Datasets, 2008 (alpha)
REGULARIZATION = 0.1
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

    @classmethod
    def open(cls, index: RetrievalIndex) -> Self | None:
        """See `LocalChannel`; it needs a log."""
        learned = index.interactions
        return None if learned.factors is None else cls(*learned.factors, float(learned.popularity.events.sum()))

    @property
    def knowledge(self) -> Knowledge:
        """See `Channel`. Of an item that nobody had it knows nothing."""
        return Knowledge(self._has_factors, trust_in_log(self._events))

    def search(self, queries: Sequence[ChannelQuery], depth: int) -> list[RankedItems]:
        """See `Channel`. The whole catalogue is searched in one scan for all requests without a pool."""
        results = [RankedItems.empty()] * len(queries)
        unrestricted: dict[int, NDArray[np.float32]] = {}
        for i, query in enumerate(queries):
            user = self._user_factors(query.seen, query.disliked)
            if user is None:
                continue
            if query.pool is None:
                unrestricted[i] = user
                continue
            rows = query.pool[self._has_factors[query.pool]]
            results[i] = RankedItems.best(rows, self._model.item_factors[rows] @ user, depth)
        if unrestricted:
            masks = [self._mask(queries[i].allowed) for i in unrestricted]
            nearest = self._search.search(np.stack(list(unrestricted.values())), depth, masks)
            for i, (rows, scores) in zip(unrestricted, nearest, strict=True):
                kept = self._has_factors[rows]
                if queries[i].related_only:
                    kept &= scores > self._least_related(queries[i].seen, unrestricted[i])
                results[i] = RankedItems(rows[kept].astype(np.int32), scores[kept])
        return [ranked.distinguishing(depth) for ranked in results]

    def _least_related(self, seen: History, user: NDArray[np.float32]) -> float:
        """The score from which an item counts as had by users of what was had."""
        own = self._model.item_factors[seen.rows] @ user
        return LEAST_RELATED * max(float(own.max()), 0.0)

    def prepare(self, queries: Sequence[ChannelQuery]) -> None:
        """Solves the factors of the queries' users, which are cached."""
        for query in queries:
            self._user_factors(query.seen, query.disliked)

    def _user_factors(self, seen: History, disliked: History) -> NDArray[np.float32] | None:
        """The user's factors, float32 `[factors]`; None where no item of the history has any."""
        if not len(seen) or not self._has_factors[seen.rows].any():
            return None
        key = digest(seen.rows, seen.counts, disliked.rows, disliked.counts)
        user = self._users.get(key)
        if user is None:
            user = self._model.recalculate_user(0, confidences(seen, disliked, len(self._has_factors))).astype(
                np.float32
            )
            self._users[key] = user
        return user

    def _mask(self, allowed: Mask | None) -> Mask | None:
        return None if allowed is None else allowed & self._has_factors


def confidence(strengths: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns how certain the model is of pairs of user and item, below 0 of what is not wanted; float32 `[pairs]`.

    Strengths are damped by the logarithm. A weak event is no less certain than none, of which the certainty is 1,
    unless it is of a kind that nothing follows.
    """
    weak = np.minimum(np.abs(strengths) / LEAST_STRENGTH, 1.0)
    certain = np.maximum(CONFIDENCE * np.log1p(np.abs(strengths)), weak)
    signed: NDArray[np.float32] = np.copysign(certain, strengths).astype(np.float32)
    return signed


def confidences(seen: History, disliked: History, items: int) -> csr_matrix:
    """A history and what is disliked as the model wants them, see `confidence`, float32 `[1, items]`."""
    from scipy.sparse import csr_matrix  # noqa: PLC0415  comes with implicit

    against = ~np.isin(disliked.rows, seen.rows)
    strengths = np.concatenate([seen.counts, -disliked.counts[against]])
    # A copy: implicit wants a writable buffer, and a history that came with a request lies in its message.
    rows = np.concatenate([seen.rows, disliked.rows[against]])
    return csr_matrix((confidence(strengths), rows, np.asarray([0, len(rows)])), shape=(1, items))
