"""The knowledge graph as serving holds it: the names of its entities, and the vectors of entities and items.

Users have no vectors of their own: a history's is made from those of its items, and that of an item which came after
training from its entities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.arrays import GrownRows, map_array
from fuserank_ensemble.interactions.history import HALF_LIFE_DAYS, SECONDS_PER_DAY, History
from fuserank_ensemble.retrieval.graph.entities import Entities

Vector = NDArray[np.float32]  # [dim]

LASTING = 0.1  # share of an event's weight that does not decay
LARGEST_NAME = 2_048  # items of one name; beyond it a name is too general to list its items ("Grocery")
LARGEST_SHARE = 0.5  # of the items with any: an entity of more of them relates none to another

_ARRAYS = ("items", "entities", "centroids", "offsets", "members")


def event_weights(counts: NDArray[np.float32], last: NDArray[np.int64], now: float) -> NDArray[np.float32]:
    """Weights of a history's items: log-damped counts, decayed by the time since; float32 `[items]`.

    Args:
        counts: Events with each item `[items]`.
        last: Epoch seconds of the newest event with each `[items]`; of one in the future the age is 0.
        now: Epoch seconds.
    """
    age = np.maximum(now - last, 0) / (HALF_LIFE_DAYS * SECONDS_PER_DAY)
    weights: NDArray[np.float32] = (np.log1p(counts) * (LASTING + np.exp2(-age))).astype(np.float32)
    return weights


@dataclass(frozen=True)
class LiveLinks:
    """The entities of items that came since the bundle, or whose fields changed.

    Attributes:
        by_row: The entities by the item's row.
    """

    by_row: Mapping[int, Sequence[int]] = field(default_factory=dict)

    @cached_property
    def rows(self) -> NDArray[np.int32]:
        """The items' rows, increasing."""
        return np.sort(np.fromiter(self.by_row, np.int32, len(self.by_row)))

    @cached_property
    def by_entity(self) -> dict[int, NDArray[np.int32]]:
        """The rows of each entity's items among them."""
        members: dict[int, list[int]] = {}
        for row, entities in self.by_row.items():
            for entity in entities:
                members.setdefault(entity, []).append(row)
        return {entity: np.asarray(rows, np.int32) for entity, rows in members.items()}


@dataclass(frozen=True)
class GraphIndex:
    """Names and vectors of the graph's nodes.

    Attributes:
        names: The entities, to be found in text.
        items: Vectors of the items; compared by inner product, their length is part of what was learned. Mapped,
            and float32: numpy takes longer to widen a history's fp16 vectors than to rank them. `[items, dim]`.
        entities: Vectors of the entities, float32 `[entities, dim]`.
        centroids: Mean vector of each entity's items; zeros where it has none, float32 `[entities, dim]`.
        offsets: Where each entity's part of `members` starts, int64 `[entities + 1]`.
        members: The rows of each entity's items, int32 `[item-entity edges]`.
        added: Vectors of the items that came since, float32 `[added items, dim]`; None for none.
        links: The entities of new and changed items, which stand for those in `members`.
    """

    names: Entities
    items: NDArray[np.float32]
    entities: NDArray[np.float32]
    centroids: NDArray[np.float32]
    offsets: NDArray[np.int64]
    members: NDArray[np.int32]
    added: NDArray[np.float32] | None = None
    links: LiveLinks = field(default_factory=LiveLinks)

    @classmethod
    def open(cls, folder: Path) -> GraphIndex:
        """Maps the arrays in `folder`; names are read."""
        items, entities, centroids, offsets, members = (map_array(folder / f"{name}.npy") for name in _ARRAYS)
        return cls(Entities.open(folder / "entities.json"), items, entities, centroids, offsets, members)

    def save(self, folder: Path) -> None:
        """Writes the names as JSON and one `.npy` an array."""
        folder.mkdir(parents=True)
        self.names.save(folder / "entities.json")
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name))

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return int(self.entities.shape[1])

    @property
    def count(self) -> int:
        """How many items have a vector."""
        return len(self.items) + (0 if self.added is None else len(self.added))

    def vectors_of(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """The vectors of some items, float32 `[rows, dim]`."""
        vectors: NDArray[np.float32] = (self.items if self.added is None else GrownRows(self.items, self.added))[rows]
        return vectors

    def linked(self, by_row: Mapping[int, Sequence[int]]) -> GraphIndex:
        """Returns the same with the entities of some items, by row, which are new or whose fields changed.

        The vectors of items that training knew stay: they were learned from users, too.
        """
        return replace(self, links=LiveLinks({**self.links.by_row, **by_row})) if by_row else self

    def members_of(self, entity: int) -> NDArray[np.int32]:
        """The rows of an entity's items, increasing."""
        members = self.members[self.offsets[entity] : self.offsets[entity + 1]]
        if not self.links.by_row:
            return members
        trained = members[~np.isin(members, self.links.rows)]
        return np.sort(np.append(trained, self.links.by_entity.get(entity, np.empty(0, np.int32))))

    def entities_of(self, row: int) -> NDArray[np.int64]:
        """The entities that an item is a member of, by a scan of all members (2 ms for five million)."""
        if row in self.links.by_row:
            return np.sort(np.asarray(self.links.by_row[row], np.int64))
        entities: NDArray[np.int64] = np.searchsorted(self.offsets, np.flatnonzero(self.members == row), "right") - 1
        return entities

    def relating_entities(self, row: int) -> list[int]:
        """The entities that relate an item to others: of categories the deepest level, and none of too many items."""
        largest = min(LARGEST_NAME, LARGEST_SHARE * self._items_with_any)
        own = self.names.without_upper_levels(self.entities_of(row).tolist())
        return [entity for entity in own if len(self.members_of(entity)) <= largest]

    @cached_property
    def _items_with_any(self) -> int:
        """How many items have an entity."""
        return int(np.count_nonzero(np.bincount(self.members, minlength=1)))

    def history_vector(self, seen: History, now: float) -> Vector | None:
        """A user's vector: the mean of what they had, by `event_weights`; None without a history."""
        known = int(np.searchsorted(seen.rows, self.count))  # others are newer than these vectors
        if not known:
            return None
        weights = event_weights(seen.counts[:known], seen.last[:known], now)
        total = float(weights.sum())
        if not total > 0:
            return None
        vector: Vector = (weights / total) @ self.vectors_of(seen.rows[:known])
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
            entities: The item's own, see `Entities.link_record`.

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
