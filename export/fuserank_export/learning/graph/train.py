"""Learns the graph's vectors with LightGCN, on the queries that serving asks of them.

He et al.: LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation, SIGIR 2020. The network
is torch-geometric's. What differs is the query: instead of a user's own vector it is the mean of what the user
had, without the item asked for, plus an entity of that item, as the graph channel makes it at request time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.nn import LightGCN

from fuserank_ensemble.retrieval.graph.index import GraphIndex
from fuserank_export.learning.graph.core import core_of, extend_vectors, interactions_of
from fuserank_export.learning.graph.knowledge import KnowledgeGraph
from fuserank_export.learning.graph.matrices import adjacency_matrix, member_matrix
from fuserank_export.learning.graph.sampler import QuerySampler
from fuserank_export.memory import release_memory

LAYERS = 1
STEPS = 36
LEARNING_RATE = 0.08
DECAY = 0.02  # of the squared vectors: keeps items from learning their buyers by heart
AXIS_OF_ITEMS, AXIS_OF_OTHERS = 0.7, 2.0  # scale of the dimension that starts as popularity


@dataclass(frozen=True)
class GraphReport:
    """How the graph was learned, for the manifest.

    Attributes:
        nodes: By kind.
        edges: By relation.
        dim: Width of the vectors.
        trained: Nodes that were trained; the vectors of other items are made from these, see `extend_vectors`.
        steps: Of training; 0 where there is nothing to learn from.
        seconds: Of training.
        loss: Cross-entropy of the asked item among the drawn ones, at the first step and the last; empty untrained.
    """

    nodes: dict[str, int]
    edges: dict[str, int]
    dim: int
    trained: int
    steps: int
    seconds: float
    loss: list[float]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class GraphVectors:
    """The index that serving opens, and the report of its training."""

    index: GraphIndex
    report: GraphReport

    @property
    def items(self) -> NDArray[np.float32]:
        """Vectors of the items, float32 `[items, dim]`."""
        return self.index.items

    @property
    def entities(self) -> NDArray[np.float32]:
        """Vectors of the entities, float32 `[entities, dim]`."""
        return self.index.entities

    def save(self, folder: Path) -> None:
        """Writes what `GraphIndex.open` reads."""
        self.index.save(folder)


def train_graph(
    graph: KnowledgeGraph,
    *,
    dim: int = 64,
    seed: int = 13,
    advanced: Callable[[int, int], None] = lambda step, total: None,
) -> GraphVectors:
    """Learns vectors of items and entities.

    Args:
        graph: The graph; without a log it learns from the catalogue's relations alone.
        dim: Width of the vectors.
        seed: Of weights and draws; the same seed on the same machine gives the same vectors.
        advanced: Called with the step that is done and their total.

    Returns:
        The vectors; items without any edge have zeros.
    """
    started = time.monotonic()
    core = core_of(graph)
    trained = _train(core.graph, dim, seed, advanced)
    release_memory()
    axis = _popularity_axis(graph)[: graph.items]
    items, entities = extend_vectors(graph, core, trained.vectors, trained.own, trained.degree, axis)
    report = GraphReport(
        {"items": graph.items, "entities": len(graph.entities), "users": graph.users},
        graph.edge_counts(),
        dim,
        len(trained.degree),
        len(trained.losses),
        round(time.monotonic() - started, 1),
        [round(loss, 4) for loss in trained.losses[:: max(1, len(trained.losses) - 1)]],
    )
    return GraphVectors(index_vectors(graph, items, entities), report)


@dataclass(frozen=True)
class _Trained:
    """What training makes of a graph: see `extend_vectors`, and the loss of each step."""

    vectors: NDArray[np.float32]
    own: NDArray[np.float32]
    degree: NDArray[np.float64]
    losses: list[float]


def _train(graph: KnowledgeGraph, dim: int, seed: int, advanced: Callable[[int, int], None]) -> _Trained:
    """Trains the vectors of all nodes of a graph; see `train_graph`."""
    queries = QuerySampler(graph, np.random.default_rng(seed))
    adjacency, degree = adjacency_matrix(graph)
    nodes = adjacency.shape[0]
    model = LightGCN(nodes, dim, LAYERS, normalize=False)
    with torch.no_grad():
        model.embedding.weight.normal_(std=0.1, generator=torch.Generator().manual_seed(seed))
        model.embedding.weight[:, 0] = torch.from_numpy(_popularity_axis(graph))
    losses: list[float] = []
    if len(queries):
        optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
        for step in range(STEPS):
            optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - step / STEPS) ** 0.5
            optimizer.zero_grad()
            decay = DECAY * model.embedding.weight.square().sum() / max(1, nodes)
            loss = queries.loss(model.get_embedding(adjacency))
            (loss + decay).backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            advanced(step + 1, STEPS)
    with torch.no_grad():
        vectors = model.get_embedding(adjacency).numpy()
        own = model.embedding.weight.numpy()
    vectors[degree <= 0] = 0
    return _Trained(vectors, own, degree, losses)


def index_vectors(graph: KnowledgeGraph, items: NDArray[np.float32], entities: NDArray[np.float32]) -> GraphIndex:
    """Returns what serving needs of the vectors of items `[items, dim]` and entities `[entities, dim]`."""
    membership = member_matrix(graph)
    sizes = np.diff(membership.indptr)
    centroids = ((membership @ items) / np.maximum(sizes, 1)[:, None]).astype(np.float32)
    return GraphIndex(
        graph.entities,
        items,
        entities,
        centroids,
        membership.indptr.astype(np.int64),
        membership.indices.astype(np.int32),
    )


def _popularity_axis(graph: KnowledgeGraph) -> NDArray[np.float32]:
    """Returns a start in which popular items score higher, so that the few steps go into everything else `[nodes]`."""
    axis = np.full(graph.items + len(graph.entities) + graph.users, AXIS_OF_OTHERS, np.float32)
    log = interactions_of(graph)
    weight = np.bincount(log.targets, weights=log.weights, minlength=graph.items).astype(np.float64)
    axis[: graph.items] = AXIS_OF_ITEMS * np.log1p(weight)
    return axis
