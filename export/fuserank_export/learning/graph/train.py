"""Learns the graph's vectors with LightGCN, on the very questions that serving asks of them.

He et al.: LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation, SIGIR 2020. The network
is torch-geometric's. What differs is the question: instead of a user's own vector it is the mean of what the user
had, without the item asked for, plus an entity of that item, as the graph channel makes it at
request time.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor
from torch.nn import functional
from torch_geometric.nn import LightGCN

from fuserank_ensemble.retrieval.graph.index import GraphIndex
from fuserank_export.learning.graph.knowledge import KnowledgeGraph

LAYERS = 1
STEPS = 36
BATCH = 4_096  # questions of a step
NEGATIVES = 2_048  # items that all questions of a step share: half drawn evenly, half as often as they are had
SIBLINGS = 8  # negatives of a question's own, from the entity that it names
USER_ONLY, ENTITY_ONLY = 0.3, 0.2  # shares of the questions that know only one of the two
LEARNING_RATE = 0.08
DECAY = 0.02  # of the squared vectors: keeps items from learning their buyers by heart
FRESH = 0.1  # share of the questions that ask for any item, had or not
AXIS_OF_ITEMS, AXIS_OF_OTHERS = 0.7, 2.0  # scale of the dimension that starts as popularity
HUB_SHARE = 0.1  # of the items: an entity of more ("Private") says nothing of any, and costs most of the time
HUB_ITEMS = 1_000  # but in a small catalogue every entity counts


@dataclass(frozen=True)
class GraphReport:
    """What the manifest says of the graph.

    Attributes:
        nodes: By kind.
        edges: By relation.
        dim: Width of the vectors.
        steps: Of training; 0 where there is nothing to learn from.
        seconds: Of training.
        loss: Cross-entropy of the asked item among the drawn ones, at the first step and the last; empty untrained.
    """

    nodes: dict[str, int]
    edges: dict[str, int]
    dim: int
    steps: int
    seconds: float
    loss: list[float]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class GraphVectors:
    """What training returns: the index that serving opens, and the report."""

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
        The vectors; nodes without any edge have zeros.
    """
    started = time.monotonic()
    questions = _Questions(graph, np.random.default_rng(seed))
    adjacency, linked = _adjacency(graph)
    nodes = adjacency.shape[0]
    model = LightGCN(nodes, dim, LAYERS, normalize=False)
    with torch.no_grad():
        model.embedding.weight.normal_(std=0.1, generator=torch.Generator().manual_seed(seed))
        model.embedding.weight[:, 0] = torch.from_numpy(_popularity_axis(graph))
    losses: list[float] = []
    if len(questions):
        optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
        for step in range(STEPS):
            optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - step / STEPS) ** 0.5
            optimizer.zero_grad()
            decay = DECAY * model.embedding.weight.square().sum() / max(1, nodes)
            loss = questions.loss(model.get_embedding(adjacency))
            (loss + decay).backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            advanced(step + 1, STEPS)
    with torch.no_grad():
        vectors = model.get_embedding(adjacency).numpy()
    vectors[~linked] = 0
    report = GraphReport(
        {"items": graph.items, "entities": len(graph.entities), "users": graph.users},
        graph.edge_counts(),
        dim,
        len(losses),
        round(time.monotonic() - started, 1),
        [round(loss, 4) for loss in losses[:: max(1, len(losses) - 1)]],
    )
    return GraphVectors(_index(graph, vectors), report)


def _index(graph: KnowledgeGraph, vectors: NDArray[np.float32]) -> GraphIndex:
    """What serving needs of the vectors `[nodes, dim]`."""
    items = vectors[: graph.items]
    membership = _members(graph)
    sizes = np.diff(membership.indptr)
    centroids = (membership @ items) / np.maximum(sizes, 1)[:, None]
    return GraphIndex(
        graph.entities,
        items,
        vectors[graph.items : graph.items + len(graph.entities)],
        centroids.astype(np.float32),
        membership.indptr.astype(np.int64),
        membership.indices.astype(np.int32),
    )


def _members(graph: KnowledgeGraph) -> sparse.csr_array:
    """The items of each entity, those of a category being those of the levels below it too, `[entities, items]`."""
    own = _item_entities(graph)
    in_category = _item_entities(graph, "in_category")
    part_of = [r for r in graph.relations if r.name == "is_part_of"]
    if part_of:
        above = _matrix(part_of[0].sources, part_of[0].targets, (len(graph.entities), len(graph.entities)))
        while in_category.nnz:
            in_category = in_category @ above
            own = own + in_category
    own.data[:] = 1
    members = own.T.tocsr()
    members.sort_indices()
    return members


def _item_entities(graph: KnowledgeGraph, name: str | None = None) -> sparse.csr_array:
    """Which item has, is in or mentions which entity, 0 or 1, `[items, entities]`; of one relation, if named."""
    rows = [
        (r.sources, r.targets)
        for r in graph.relations
        if (r.source, r.target) == ("item", "entity") and name in (None, r.name)
    ]
    owners = np.concatenate([np.empty(0, np.int32), *(sources for sources, _ in rows)])
    entities = np.concatenate([np.empty(0, np.int32), *(targets for _, targets in rows)])
    return _matrix(owners, entities, (graph.items, len(graph.entities)))


def _matrix(sources: NDArray[np.int32], targets: NDArray[np.int32], shape: tuple[int, int]) -> sparse.csr_array:
    """Edges as a matrix of 0 and 1."""
    matrix = sparse.coo_array((np.ones(len(sources), np.float32), (sources, targets)), shape=shape).tocsr()
    matrix.data[:] = 1
    return matrix


def _adjacency(graph: KnowledgeGraph) -> tuple[Tensor, NDArray[np.bool_]]:
    """The graph both ways, normalised by the degrees of both ends, hubs left out; and which nodes have edges."""
    start = {"item": 0, "entity": graph.items, "user": graph.items + len(graph.entities)}
    nodes = start["user"] + graph.users
    parts = []
    for relation in graph.relations:
        degree = np.bincount(relation.targets, minlength=1)
        hub = (
            degree > max(HUB_ITEMS, HUB_SHARE * graph.items)
            if relation.source == "item"
            else np.zeros_like(degree, bool)
        )
        kept = ~hub[relation.targets]
        ends = (relation.sources[kept] + start[relation.source], relation.targets[kept] + start[relation.target])
        parts.append(sparse.coo_array((relation.weights[kept], ends), shape=(nodes, nodes)).tocsr())
    one_way = sum(parts, sparse.csr_array((nodes, nodes), dtype=np.float32))
    both = (one_way + one_way.T).tocsr()
    degree = np.asarray(both.sum(1)).ravel()
    scale = np.divide(1, np.sqrt(degree), out=np.zeros(nodes), where=degree > 0)
    return _tensor(sparse.diags_array(scale) @ both @ sparse.diags_array(scale)), degree > 0


def _popularity_axis(graph: KnowledgeGraph) -> NDArray[np.float32]:
    """A start in which popular items score higher, so that the few steps go into everything else `[nodes]`."""
    axis = np.full(graph.items + len(graph.entities) + graph.users, AXIS_OF_OTHERS, np.float32)
    weight: NDArray[np.float64] = np.zeros(graph.items)
    for relation in graph.relations:
        if relation.name == "interacted":
            weight = np.bincount(relation.targets, weights=relation.weights, minlength=graph.items).astype(np.float64)
    axis[: graph.items] = AXIS_OF_ITEMS * np.log1p(weight)
    return axis


def _tensor(matrix: sparse.csr_array) -> Tensor:
    csr = matrix.tocsr().astype(np.float32)
    with warnings.catch_warnings():
        # torch calls the layout a beta since 1.10; it is the one that torch-geometric asks for.
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(
            torch.from_numpy(csr.indptr.astype(np.int64)),
            torch.from_numpy(csr.indices.astype(np.int64)),
            torch.from_numpy(csr.data),
            size=csr.shape,
            check_invariants=False,
        )


class _Questions:
    """Draws questions from the log and the catalogue, and says how well vectors answer them.

    A question is drawn as often as the log's pairs count, a tenth evenly from all items with an entity: items that
    nobody had yet have to be near their entities too.
    """

    def __init__(self, graph: KnowledgeGraph, draw: np.random.Generator) -> None:
        self._graph, self._draw = graph, draw
        log = next((r for r in graph.relations if r.name == "interacted"), None)
        self._users, self._rows, self._weights = (
            (log.sources, log.targets, log.weights)
            if log
            else (np.empty(0, np.int32),) * 2 + (np.empty(0, np.float32),)
        )
        history = sparse.csr_array((self._weights, (self._users, self._rows)), shape=(graph.users, graph.items))
        self._history, self._total = _tensor(history), torch.from_numpy(np.asarray(history.sum(1), np.float32).ravel())
        self._share = np.cumsum(self._weights, dtype=np.float64)
        self._entities = _item_entities(graph)
        self._members = self._entities.T.tocsr()
        self._described = np.flatnonzero(np.diff(self._entities.indptr))
        self._batch = min(BATCH, max(256, len(self._rows) + len(self._described)))

        self._rate = self._negative_rate()

    def __len__(self) -> int:
        return (len(self._rows) + len(self._described)) * (self._graph.items > 1)

    def loss(self, vectors: Tensor) -> Tensor:
        """Cross-entropy of the right items among drawn ones, for one drawn batch.

        Args:
            vectors: Of all nodes, float32 `[nodes, dim]`.
        """
        users, rows, weights = self._draw_answers()
        entities, described = self._draw_neighbour(self._entities, rows)
        kind = self._draw.random(self._batch)
        by_user = (weights < self._others(users)) & ((kind >= ENTITY_ONLY) | ~described)
        by_entity = described & ((kind < 1 - USER_ONLY) | ~by_user)
        items = vectors[: self._graph.items]
        right = items[torch.from_numpy(rows)]
        question = vectors[torch.from_numpy(np.minimum(self._graph.items + entities, len(vectors) - 1))] * _column(
            by_entity
        )
        if len(self._rows):
            question = question + self._user_vectors(items, users, right, weights) * _column(by_user)
        shared = torch.from_numpy(self._draw_negatives())
        own = torch.from_numpy(np.stack([self._draw_neighbour(self._members, entities)[0] for _ in range(SIBLINGS)], 1))
        answer = torch.from_numpy(rows)[:, None]
        # Minus the logarithm of how often each is drawn: the more popular an item, the more often it is a negative,
        # and vectors are to say how likely an item is, not how much likelier than popular (Bengio, Senecal 2008).
        rate = torch.from_numpy(self._rate)
        size = torch.from_numpy(np.diff(self._members.indptr, append=0)[entities].astype(np.float32)).clamp_min(1)
        sibling_rate = (_column(by_entity)[:, 0] * SIBLINGS / size)[:, None]
        drawn = question @ items[shared].T - rate[shared].log()
        siblings = (question[:, None] * items[own]).sum(2) - (rate[own] + sibling_rate).log()
        found = (question * right).sum(1, keepdim=True) - (rate[answer] + sibling_rate).log()
        drawn = drawn.masked_fill(shared[None] == answer, -torch.inf)
        siblings = siblings.masked_fill((own == answer) | (_column(by_entity) == 0), -torch.inf)
        scores = torch.cat([found, drawn, siblings], 1)
        return functional.cross_entropy(scores, torch.zeros(self._batch, dtype=torch.int64))

    def _others(self, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """The weight of everything that users had; 0 for nobody known."""
        total = self._total.numpy()
        return np.where(users >= 0, total[users], 0) if len(total) else np.zeros(len(users), np.float32)

    def _user_vectors(
        self, items: Tensor, users: NDArray[np.int64], right: Tensor, weights: NDArray[np.float32]
    ) -> Tensor:
        """The means of what users had, each without the item that is asked for."""
        asking = torch.from_numpy(np.maximum(users, 0))
        weight = torch.from_numpy(weights)[:, None]
        others = (self._total[asking, None] - weight).clamp_min(1e-3)
        return ((self._history @ items)[asking] - weight * right) / others

    def _draw_answers(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Who asks (-1 for nobody known), which item is right, and what it weighs in the user's history."""
        fresh = round(self._batch * (FRESH if len(self._rows) else 1)) if len(self._described) else 0
        pairs = self._draw_pairs(self._batch - fresh)
        rows = np.concatenate([self._rows[pairs], self._draw.choice(self._described, fresh) if fresh else pairs[:0]])
        users = np.concatenate([self._users[pairs], np.full(fresh, -1)])
        weights = np.concatenate([self._weights[pairs], np.zeros(fresh, np.float32)])
        return users.astype(np.int64), rows.astype(np.int64), weights.astype(np.float32)

    def _draw_pairs(self, count: int) -> NDArray[np.int64]:
        """Pairs of the log, as often as they weigh."""
        if not count:
            return np.empty(0, np.int64)
        drawn = np.searchsorted(self._share, self._draw.random(count) * self._share[-1], side="right")
        pairs: NDArray[np.int64] = np.minimum(drawn, len(self._share) - 1)
        return pairs

    def _draw_negatives(self) -> NDArray[np.int64]:
        count = min(NEGATIVES, self._graph.items)
        had = self._rows[self._draw_pairs(count // 2 if len(self._rows) else 0)]
        return np.concatenate([had, self._draw.integers(0, self._graph.items, count - len(had))]).astype(np.int64)

    def _negative_rate(self) -> NDArray[np.float32]:
        """How often each item is expected among the shared negatives `[items]`."""
        items = self._graph.items
        count = min(NEGATIVES, items)
        had = count // 2 if len(self._rows) else 0
        popular = np.bincount(self._rows, weights=self._weights, minlength=items)
        rate: NDArray[np.float64] = (count - had) / max(1, items) + had * popular / max(popular.sum(), 1e-9)
        return rate.astype(np.float32)

    def _draw_neighbour(
        self, edges: sparse.csr_array, of: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """For each row one of its neighbours, and whether it has any; 0 where not."""
        if not edges.nnz:
            return np.zeros(len(of), np.int64), np.zeros(len(of), np.bool_)
        first, end = edges.indptr[of], edges.indptr[of + 1]
        at = first + (self._draw.random(len(of)) * (end - first)).astype(np.int64)
        return np.where(end > first, edges.indices[np.minimum(at, edges.nnz - 1)], 0).astype(np.int64), end > first


def _column(mask: NDArray[np.bool_]) -> Tensor:
    return torch.from_numpy(mask.astype(np.float32))[:, None]
