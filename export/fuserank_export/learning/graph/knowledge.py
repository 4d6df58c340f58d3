"""Builds the knowledge graph: items, users and entities, joined by typed relations."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.filters import Column
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.events import NegativeEvents
from fuserank_ensemble.interactions.history import HistorySnapshot
from fuserank_ensemble.retrieval.graph.entities import CATEGORY, Entities, category_levels
from fuserank_ensemble.retrieval.graph.index import event_weights

Node = Literal["item", "entity", "user"]
Ints = NDArray[np.int32]

ENTITY_KINDS = ("keyword", "keywords", "category")
MAX_DISTINCT_SHARE = 0.5  # of the values of a field: above it almost every item has a value of its own
CACHED_TITLES = 100_000
MAX_PAIRS = 2_000_000  # of user and item; beyond it only those that count most take part: it bounds the training


@dataclass(frozen=True)
class Relation:
    """All edges of one type; no pair of nodes occurs twice.

    Attributes:
        name: `interacted`, `in_category`, `is_part_of`, `mentions`, or `has_<field>`.
        source: What kind of node it starts from; `target`, what kind it leads to.
        sources: Positions of the nodes that edges start from, int32 `[edges]`; `targets`, where they lead.
        weights: How much each edge counts, float32 `[edges]`, above 0 and 1 but for `interacted`.
    """

    name: str
    source: Node
    target: Node
    sources: Ints
    targets: Ints
    weights: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.sources)

    @classmethod
    def plain(cls, name: str, source: Node, target: Node, sources: Ints, targets: Ints) -> Relation:
        """Edges that all count the same."""
        return cls(name, source, target, sources, targets, np.ones(len(sources), np.float32))


@dataclass(frozen=True)
class KnowledgeGraph:
    """Nodes by number, edges by relation.

    Attributes:
        items: Number of items; an item is known by its row.
        users: Number of users.
        entities: Brands, category levels, attributes.
        relations: The typed edges.
    """

    items: int
    users: int
    entities: Entities
    relations: tuple[Relation, ...]

    def edge_counts(self) -> dict[str, int]:
        """Edges of each relation."""
        return {relation.name: len(relation) for relation in self.relations}


def knowledge_graph(
    items: Items,
    titles: Sequence[str],
    log_user: Ints,
    log_item: Ints,
    log_timestamp: NDArray[np.int64],
    users: int,
    now: float,
    *,
    weights: NDArray[np.float32] | None = None,
    negatives: NegativeEvents | None = None,
) -> KnowledgeGraph:
    """Builds the graph of a catalogue and its log.

    Args:
        items: The catalogue.
        titles: The items' titles, in the order of their rows.
        log_user: The user of each event, 0 to `users` - 1, `[events]`.
        log_item: The item row of each event `[events]`.
        log_timestamp: Epoch seconds of each event `[events]`.
        users: Number of users.
        now: The moment that ages are measured from, epoch seconds.
        weights: What each event counts, float32 `[events]`; None counts each as 1.
        negatives: Events that take away.
    """
    kinds: list[str] = []
    names: list[str] = []
    relations: list[Relation] = []
    for kind, column in _entity_columns(items):
        first = len(names)
        if kind == CATEGORY:
            paths = sorted({level for path in column.words for level in category_levels(path)})
            relations += _category_relations(column, paths, first)
        else:
            paths = column.words
            owners, codes = _pairs(column)
            relations.append(Relation.plain(f"has_{kind}", "item", "entity", owners, codes + first))
        kinds += [kind] * len(paths)
        names += paths
    entities = Entities(kinds, names)
    relations.append(_mentions(entities, titles, relations))
    # As serving sums up a history: an item that was returned as often as it was had is no neighbour.
    every_user = np.empty(users, "S1")
    histories = HistorySnapshot.from_log(
        every_user, log_user, log_item, log_timestamp, weights=weights, negatives=negatives
    )
    relations.append(_interacted(histories, now))
    return KnowledgeGraph(len(items), users, entities, tuple(relations))


def _entity_columns(items: Items) -> Iterator[tuple[str, Column]]:
    for name, column in items.columns.by_name.items():
        if column.kind in ENTITY_KINDS:
            values = int((column.values >= 0).sum())
            if values and (len(column.words) <= MAX_DISTINCT_SHARE * values or name in ("brand", CATEGORY)):
                yield name, column


def _pairs(column: Column) -> tuple[Ints, Ints]:
    """Item rows and codes of a column's known values, each pair once."""
    owners = np.arange(len(column.values), dtype=np.int32) if column.owners is None else column.owners
    known = column.values >= 0
    return _distinct(owners[known], column.values[known], len(column.words))


def _category_relations(column: Column, paths: Sequence[str], first: int) -> list[Relation]:
    """Items are in their category's deepest level, and each level is part of the one above."""
    position = {path: first + i for i, path in enumerate(paths)}
    owners, codes = _pairs(column)
    entity = np.asarray([position[word] for word in column.words], np.int32)
    parts = [(position[path], position[category_levels(path)[-2]]) for path in paths if len(category_levels(path)) > 1]
    below, above = np.asarray(parts, np.int32).reshape(-1, 2).T
    return [
        Relation.plain("in_category", "item", "entity", owners, entity[codes]),
        Relation.plain("is_part_of", "entity", "entity", below, above),
    ]


def _mentions(entities: Entities, titles: Sequence[str], relations: Sequence[Relation]) -> Relation:
    """What a title names beyond what the item's fields say."""
    link = lru_cache(maxsize=CACHED_TITLES)(entities.link)  # items of one title stand near each other, as a rule
    linked, counts = array("i"), array("i")
    for title in titles:
        of_title = link(title)
        linked.extend(of_title)
        counts.append(len(of_title))
    rows = np.repeat(np.arange(len(titles), dtype=np.int32), np.asarray(counts))
    size = max(1, len(entities))
    pairs = rows.astype(np.int64) * size + np.asarray(linked)
    for relation in relations:
        if relation.source == "item":
            pairs = pairs[~np.isin(pairs, relation.sources.astype(np.int64) * size + relation.targets)]
    rows, named = np.divmod(np.unique(pairs), size)
    return Relation.plain("mentions", "item", "entity", rows.astype(np.int32), named.astype(np.int32))


def _interacted(histories: HistorySnapshot, now: float) -> Relation:
    """Distinct (user, item) pairs, weighted as serving weighs a history."""
    users, rows, counts, last = histories.pairs
    weights = event_weights(counts, last, now)
    if len(rows) > MAX_PAIRS:
        kept = np.sort(np.argpartition(-weights, MAX_PAIRS)[:MAX_PAIRS])
        users, rows, weights = users[kept], rows[kept], weights[kept]
    return Relation("interacted", "user", "item", users, rows, weights)


def _distinct(owners: Ints, values: Ints, size: int) -> tuple[Ints, Ints]:
    pairs = np.unique(owners.astype(np.int64) * max(1, size) + values)
    first, second = np.divmod(pairs, max(1, size))
    return first.astype(np.int32), second.astype(np.int32)
