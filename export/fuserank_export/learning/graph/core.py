"""The part of a large graph that is trained, and vectors of the rest from their trained neighbours.

Training holds about ten arrays of `[nodes, dim]`: what it takes grows with the part, not with the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fuserank_ensemble.interactions.blocks import BLOCK_EVENTS
from fuserank_export.learning.graph.knowledge import KnowledgeGraph, Relation
from fuserank_export.learning.graph.matrices import without_hubs

CORE_NODES = 131_072  # that are trained at most
ITEM_SHARE = 0.75  # of the trained nodes beside the entities; the others are users


@dataclass(frozen=True)
class Core:
    """The trained part of a graph: all entities, and the items and users with most events.

    Attributes:
        graph: The part, whose items and users are numbered anew.
        items: The row of each of its items in the whole graph, increasing, `[items of the part]`.
        users: The number of each of its users there, increasing, `[users of the part]`.
    """

    graph: KnowledgeGraph
    items: NDArray[np.int64]
    users: NDArray[np.int64]


def core_of(graph: KnowledgeGraph) -> Core:
    """Returns the part of a graph that is trained: the whole of one with up to `CORE_NODES` nodes."""
    if graph.items + graph.users + len(graph.entities) <= CORE_NODES:
        return Core(graph, np.arange(graph.items), np.arange(graph.users))
    room = max(CORE_NODES - len(graph.entities), CORE_NODES // 2)
    log = interactions_of(graph)
    items = _heaviest(np.bincount(log.targets, log.weights, graph.items), round(ITEM_SHARE * room))
    users = _heaviest(np.bincount(log.sources, log.weights, graph.users), room - round(ITEM_SHARE * room))
    numbers = {
        "item": _numbers(items, graph.items),
        "user": _numbers(users, graph.users),
        "entity": np.arange(len(graph.entities), dtype=np.int32),
    }
    relations = []
    for relation in graph.relations:
        sources, targets = numbers[relation.source][relation.sources], numbers[relation.target][relation.targets]
        inside = (sources >= 0) & (targets >= 0)
        relations.append(
            replace(relation, sources=sources[inside], targets=targets[inside], weights=relation.weights[inside])
        )
    return Core(KnowledgeGraph(len(items), len(users), graph.entities, tuple(relations)), items, users)


def interactions_of(graph: KnowledgeGraph) -> Relation:
    """Returns the edges of users and items; none where there is no log."""
    for relation in graph.relations:
        if relation.name == "interacted":
            return relation
    return Relation.plain("interacted", "user", "item", np.empty(0, np.int32), np.empty(0, np.int32))


def extend_vectors(
    graph: KnowledgeGraph,
    core: Core,
    trained: NDArray[np.float32],
    own: NDArray[np.float32],
    degree: NDArray[np.float64],
    axis: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns the vectors of all items and entities: trained ones, and else what LightGCN passes on from neighbours.

    Args:
        graph: The whole graph.
        core: Its trained part.
        trained: Vectors of the part's nodes, float32 `[nodes of the part, dim]`.
        own: What each node of the part had before its neighbours were added, of the same shape.
        degree: The sum of the weights of the edges of each node of the part, `[nodes of the part]`.
        axis: The start of each item's first dimension, `[items]`.

    Returns:
        Vectors of items and of entities, float32 `[items, dim]` and `[entities, dim]`; zeros without neighbours.
    """
    first = len(core.items)
    entities = trained[first : first + len(graph.entities)]
    if core.graph is graph:
        return trained[:first], entities
    items = np.zeros((graph.items, trained.shape[1]), np.float32)
    edges = _edges_to_core(graph, core)
    degree = degree[first:]
    passing = own[first:] * np.divide(1, np.sqrt(degree), out=np.zeros(len(degree)), where=degree > 0)[:, None]
    block = max(1, BLOCK_EVENTS // trained.shape[1])  # rows whose vectors are made at once
    for start in range(0, graph.items, block):
        of_block = edges[start : start + block]
        weight = np.asarray(of_block.sum(1)).ravel()
        passed = (of_block @ passing) / np.sqrt(np.maximum(weight, 1e-12))[:, None]
        passed[:, 0] += axis[start : start + block]
        items[start : start + block] = np.where(weight[:, None] > 0, passed / 2, 0.0)
    items[core.items] = trained[:first]
    # An entity of no trained item is where its items are.
    untrained = np.flatnonzero(degree[: len(graph.entities)] <= 0)
    members = edges[:, untrained].T
    entities = entities.copy()
    entities[untrained] = (members @ items) / np.maximum(np.asarray(members.sum(1)), 1)[:, None]
    return items, entities


def _edges_to_core(graph: KnowledgeGraph, core: Core) -> sparse.csr_array:
    """The edges of all items to entities and to users of the core, float32 `[items, entities + users of the core]`."""
    users = _numbers(core.users, graph.users)
    sources, targets, weights = [], [], []
    for relation in (without_hubs(relation, graph.items) for relation in graph.relations):
        if (relation.source, relation.target) == ("item", "entity"):
            of_item, to = relation.sources, relation.targets
        elif relation.source == "user":
            of_item, to = relation.targets, users[relation.sources]
            to = np.where(to >= 0, to + len(graph.entities), -1)
        else:
            continue
        inside = to >= 0
        sources.append(of_item[inside])
        targets.append(to[inside])
        weights.append(relation.weights[inside])
    shape = (graph.items, len(graph.entities) + len(core.users))
    ends = (np.concatenate(sources), np.concatenate(targets))
    return sparse.coo_array((np.concatenate(weights), ends), shape=shape).tocsr()


def _heaviest(weights: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Positions of the largest weights, increasing."""
    if len(weights) <= count:
        return np.arange(len(weights))
    return np.sort(np.argpartition(-weights, count)[:count])


def _numbers(kept: NDArray[np.int64], size: int) -> NDArray[np.int32]:
    """The number of each node among those that are kept, -1 for the others, int32 `[size]`."""
    numbers = np.full(size, -1, np.int32)
    numbers[kept] = np.arange(len(kept))
    return numbers
