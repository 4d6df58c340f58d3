"""Queries that the graph's vectors learn to answer, as the graph channel makes them at request time."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor
from torch.nn import functional

from fuserank_export.learning.graph.knowledge import KnowledgeGraph
from fuserank_export.learning.graph.matrices import entity_matrix, sparse_tensor

BATCH = 4_096  # queries of a step
LEAST_BATCH = 256
NEGATIVES = 2_048  # items that all queries of a step share: half drawn evenly, half as often as they are had
SIBLINGS = 8  # negatives of a query's own, from the entity that it names
USER_ONLY, ENTITY_ONLY = 0.3, 0.2  # shares of the queries that know only one of the two
FRESH = 0.1  # share of the queries that ask for any item, had or not


class QuerySampler:
    """Draws queries from the log and the catalogue, and measures how well vectors answer them.

    A query is drawn as often as the log's pairs count, a tenth evenly from all items with an entity: items that
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
        self._history = sparse_tensor(history)
        self._total = torch.from_numpy(np.asarray(history.sum(1), np.float32).ravel())
        self._share = np.cumsum(self._weights, dtype=np.float64)
        self._entities = entity_matrix(graph)
        self._members = self._entities.T.tocsr()
        self._described = np.flatnonzero(np.diff(self._entities.indptr))
        self._batch = min(BATCH, max(LEAST_BATCH, len(self._rows) + len(self._described)))
        self._rate = self._negative_rate()

    def __len__(self) -> int:
        return (len(self._rows) + len(self._described)) * (self._graph.items > 1)

    def loss(self, vectors: Tensor) -> Tensor:
        """Returns the cross-entropy of the right items among drawn ones, for one drawn batch.

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
        query = vectors[torch.from_numpy(np.minimum(self._graph.items + entities, len(vectors) - 1))] * _column(
            by_entity
        )
        if len(self._rows):
            query = query + self._user_vectors(items, users, right, weights) * _column(by_user)
        shared = torch.from_numpy(self._draw_negatives())
        own = torch.from_numpy(np.stack([self._draw_neighbour(self._members, entities)[0] for _ in range(SIBLINGS)], 1))
        answer = torch.from_numpy(rows)[:, None]
        # Minus the logarithm of how often each is drawn: the more popular an item, the more often it is a negative,
        # and vectors are to say how likely an item is, not how much likelier than popular (Bengio, Senecal 2008).
        rate = torch.from_numpy(self._rate)
        size = torch.from_numpy(np.diff(self._members.indptr, append=0)[entities].astype(np.float32)).clamp_min(1)
        sibling_rate = (_column(by_entity)[:, 0] * SIBLINGS / size)[:, None]
        drawn = query @ items[shared].T - rate[shared].log()
        siblings = (query[:, None] * items[own]).sum(2) - (rate[own] + sibling_rate).log()
        answers = (query * right).sum(1, keepdim=True) - (rate[answer] + sibling_rate).log()
        drawn = drawn.masked_fill(shared[None] == answer, -torch.inf)
        siblings = siblings.masked_fill((own == answer) | (_column(by_entity) == 0), -torch.inf)
        scores = torch.cat([answers, drawn, siblings], 1)
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
        self, edges: sparse.csr_array, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Draws for each row one of its neighbours, and whether it has any; 0 where not."""
        if not edges.nnz:
            return np.zeros(len(rows), np.int64), np.zeros(len(rows), np.bool_)
        first, end = edges.indptr[rows], edges.indptr[rows + 1]
        at = first + (self._draw.random(len(rows)) * (end - first)).astype(np.int64)
        return np.where(end > first, edges.indices[np.minimum(at, edges.nnz - 1)], 0).astype(np.int64), end > first


def _column(mask: NDArray[np.bool_]) -> Tensor:
    """A mask as a column of 0 and 1, float32 `[rows, 1]`."""
    return torch.from_numpy(mask.astype(np.float32))[:, None]
