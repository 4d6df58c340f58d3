"""The graph channel: items near a user's history and the entities that the query names, in the knowledge graph.

A question's vector is made at request time from the nodes next to it, so that a user or an event that training
never saw counts like any other; an item that came after it gets its vector from its entities in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.mapped import mapped
from fuserank_ensemble.interactions.history import HALF_LIFE_DAYS, History
from fuserank_ensemble.retrieval.channel import ChannelQuery, RankedItems
from fuserank_ensemble.retrieval.graph.entities import Entities
from fuserank_ensemble.retrieval.vectors.search import VectorSearch

Vector = NDArray[np.float32]  # [dim]

LASTING = 0.1  # share of an event's weight that does not wear off
LARGEST_NAME = 2_048  # items of one name; beyond it a name is too general to list its items ("Grocery")
DAY = 86_400.0

_ARRAYS = ("items", "entities", "centroids", "offsets", "members")


def event_weights(counts: NDArray[np.float32], last: NDArray[np.int64], now: float) -> NDArray[np.float32]:
    """How much the items that a user had say about them: log-damped counts, worn off by the time since.

    Args:
        counts: Events with each item `[items]`.
        last: Epoch seconds of the newest event with each `[items]`; of one in the future the age is 0.
        now: Epoch seconds.
    """
    age = np.maximum(now - last, 0) / (HALF_LIFE_DAYS * DAY)
    weights: NDArray[np.float32] = (np.log1p(counts) * (LASTING + np.exp2(-age))).astype(np.float32)
    return weights


@dataclass(frozen=True)
class GraphIndex:
    """What training learned, as serving holds it.

    Attributes:
        names: The entities, to be found in text.
        items: Vectors of the items; compared by inner product, their length is part of what was learned. Mapped,
            and float32: numpy takes longer to widen a history's fp16 vectors than to rank them. `[items, dim]`.
        entities: Vectors of the entities, float32 `[entities, dim]`.
        centroids: Mean vector of each entity's items; zeros where it has none, float32 `[entities, dim]`.
        offsets: Where each entity's part of `members` starts, int64 `[entities + 1]`.
        members: The rows of each entity's items, int32 `[item-entity edges]`.
    """

    names: Entities
    items: NDArray[np.float32]
    entities: NDArray[np.float32]
    centroids: NDArray[np.float32]
    offsets: NDArray[np.int64]
    members: NDArray[np.int32]

    @classmethod
    def open(cls, folder: Path) -> GraphIndex:
        """Maps the arrays in `folder`; names are read."""
        return cls(Entities.open(folder / "entities.json"), *(mapped(folder / f"{name}.npy") for name in _ARRAYS))

    def save(self, folder: Path) -> None:
        """Writes the names as JSON and one `.npy` an array."""
        folder.mkdir(parents=True)
        self.names.save(folder / "entities.json")
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name))

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return int(self.items.shape[1])

    def members_of(self, entity: int) -> NDArray[np.int32]:
        """The rows of an entity's items, increasing."""
        return self.members[self.offsets[entity] : self.offsets[entity + 1]]

    def history_vector(self, seen: History, now: float) -> Vector | None:
        """A user's vector: the mean of what they had, by `event_weights`; None without a history."""
        rows = np.flatnonzero(seen.rows < len(self.items))
        if not len(rows):
            return None
        weights = event_weights(seen.counts[rows], seen.last[rows], now)
        total = float(weights.sum())
        if not total > 0:
            return None
        vector: Vector = (weights / total) @ self.items[seen.rows[rows]]
        return vector

    def entity_vector(self, entities: Sequence[int]) -> Vector:
        """The mean of entities' vectors; zeros for none."""
        if not len(entities):
            return np.zeros(self.dim, np.float32)
        mean: Vector = self.entities[list(entities)].mean(0)
        return mean

    def neighbours_vector(self, entities: Sequence[int]) -> Vector:
        """A vector for an item that was not there at training: that of the items it shares entities with.

        The fewer items an entity has, the more it says: its weight is one over the square root of their number, as
        in the propagation of LightGCN (He et al., SIGIR 2020).

        Args:
            entities: The item's own, see `Entities.of_record`.

        Returns:
            The vector; zeros where no entity has an item.
        """
        chosen = np.asarray(list(entities), np.int64)
        sizes = self.offsets[chosen + 1] - self.offsets[chosen]
        chosen, sizes = chosen[sizes > 0], sizes[sizes > 0]
        if not len(chosen):
            return np.zeros(self.dim, np.float32)
        weights = (1 / np.sqrt(sizes)).astype(np.float32)
        vector: Vector = (weights / weights.sum()) @ self.centroids[chosen]
        return vector


class Graph:
    """Items that the knowledge graph puts near the user and near what the query names.

    Items of the entities that a query names come first, those of more of its names before those of fewer, then what
    the text channels found; within each, the nearest in the graph. Without either, the whole catalogue is searched.
    """

    name = "graph"

    def __init__(self, index: GraphIndex, search: VectorSearch) -> None:
        """Joins the vectors and the search over them.

        Args:
            index: Names and vectors.
            search: Nearest vectors among `index.items`, in the order of its rows.
        """
        self._index, self._search = index, search

    def search(self, questions: Sequence[ChannelQuery], depth: int) -> list[RankedItems]:
        """See `Channel`."""
        found = [RankedItems.none()] * len(questions)
        everywhere: list[tuple[int, Vector]] = []
        for i, question in enumerate(questions):
            mentions = self._index.names.mentions(question.query)
            vector = self._vector(question, mentions)
            if vector is None:
                continue
            listed = self._listed(mentions)
            if listed or question.near is not None:
                found[i] = self._rank(listed, vector, question, depth)
            else:
                everywhere.append((i, vector))
        if everywhere:
            vectors = np.stack([vector for _, vector in everywhere])
            allowed = [questions[i].allowed for i, _ in everywhere]
            for (i, _), (rows, scores) in zip(everywhere, self._search.search(vectors, depth, allowed), strict=True):
                found[i] = RankedItems(rows.astype(np.int32), scores)
        return found

    def _vector(self, question: ChannelQuery, mentions: Sequence[Sequence[int]]) -> Vector | None:
        """The user's vector and that of what the query names, added as they were in training."""
        user = self._index.history_vector(question.seen, question.now)
        if not mentions:
            return user
        named = self._index.entity_vector(sorted({entity for named in mentions for entity in named}))
        return named if user is None else user + named

    def _listed(self, mentions: Sequence[Sequence[int]]) -> list[NDArray[np.int32]]:
        """The rows of each name's items, as far as they are few enough to say something."""
        rows = [np.concatenate([self._index.members_of(entity) for entity in named]) for named in mentions]
        return [np.unique(members) for members in rows if 0 < len(members) <= LARGEST_NAME]

    def _rank(
        self, listed: Sequence[NDArray[np.int32]], vector: Vector, question: ChannelQuery, depth: int
    ) -> RankedItems:
        near = np.empty(0, np.int32) if question.near is None else question.near
        near = near[near < len(self._index.items)]  # others are newer than these vectors
        pool, first = np.unique(np.concatenate([*listed, near]), return_index=True)
        tier = np.zeros(len(pool), np.float32)
        for members in listed:
            tier[np.searchsorted(pool, members)] += 1
        if question.allowed is not None:
            kept = question.allowed[pool]
            pool, first, tier = pool[kept], first[kept], tier[kept]
        if not len(pool):
            return RankedItems.none()
        # Equal scores keep the order in which the rows came: that of the text channels.
        order = np.argsort(first, kind="stable")
        pool, tier = pool[order], tier[order]
        scores = self._index.items[pool] @ vector
        return RankedItems.best(pool, scores + tier * (np.ptp(scores) + 1), depth)
