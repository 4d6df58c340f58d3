"""A knowledge graph as sparse matrices."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from fuserank_export.learning.graph.knowledge import KnowledgeGraph, Relation

HUB_SHARE = 0.1  # of the items: an entity of more ("Private") says nothing of any, and costs most of the time
HUB_ITEMS = 1_000  # but in a small catalogue every entity counts


def adjacency_matrix(graph: KnowledgeGraph) -> tuple[Tensor, NDArray[np.float64]]:
    """Returns the graph both ways, normalised by the degrees of both ends, hubs left out; and these degrees.

    Returns:
        A sparse tensor, float32 `[nodes, nodes]`, and the sums of the weights of each node's edges, `[nodes]`.
    """
    start = {"item": 0, "entity": graph.items, "user": graph.items + len(graph.entities)}
    nodes = start["user"] + graph.users
    parts = []
    for relation in (without_hubs(relation, graph.items) for relation in graph.relations):
        ends = (relation.sources + start[relation.source], relation.targets + start[relation.target])
        parts.append(sparse.coo_array((relation.weights, ends), shape=(nodes, nodes)).tocsr())
    one_way = sum(parts, sparse.csr_array((nodes, nodes), dtype=np.float32))
    both = (one_way + one_way.T).tocsr()
    degree = np.asarray(both.sum(1), np.float64).ravel()
    scale = np.divide(1, np.sqrt(degree), out=np.zeros(nodes), where=degree > 0)
    return sparse_tensor(sparse.diags_array(scale) @ both @ sparse.diags_array(scale)), degree


def without_hubs(relation: Relation, items: int) -> Relation:
    """Returns a relation without the edges of items to entities that too many of the items have."""
    if relation.source != "item":
        return relation
    degree = np.bincount(relation.targets, minlength=1)
    kept = (degree <= max(HUB_ITEMS, HUB_SHARE * items))[relation.targets]
    return replace(
        relation, sources=relation.sources[kept], targets=relation.targets[kept], weights=relation.weights[kept]
    )


def member_matrix(graph: KnowledgeGraph) -> sparse.csr_array:
    """Returns the items of each entity, 0 or 1 `[entities, items]`; a category has those of the levels below it too."""
    own = entity_matrix(graph)
    in_category = entity_matrix(graph, "in_category")
    part_of = [relation for relation in graph.relations if relation.name == "is_part_of"]
    if part_of:
        above = _matrix(part_of[0].sources, part_of[0].targets, (len(graph.entities), len(graph.entities)))
        while in_category.nnz:
            in_category = in_category @ above
            own = own + in_category
    own.data[:] = 1
    members = own.T.tocsr()
    members.sort_indices()
    return members


def entity_matrix(graph: KnowledgeGraph, name: str | None = None) -> sparse.csr_array:
    """Returns the entities of each item, 0 or 1 `[items, entities]`; those of one relation, where it is named."""
    rows = [
        (relation.sources, relation.targets)
        for relation in graph.relations
        if (relation.source, relation.target) == ("item", "entity") and name in (None, relation.name)
    ]
    owners = np.concatenate([np.empty(0, np.int32), *(sources for sources, _ in rows)])
    entities = np.concatenate([np.empty(0, np.int32), *(targets for _, targets in rows)])
    return _matrix(owners, entities, (graph.items, len(graph.entities)))


def sparse_tensor(matrix: sparse.csr_array) -> Tensor:
    """Returns a matrix as torch's compressed sparse rows, float32."""
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


def _matrix(sources: NDArray[np.int32], targets: NDArray[np.int32], shape: tuple[int, int]) -> sparse.csr_array:
    """Edges as a matrix of 0 and 1, of the given shape."""
    matrix = sparse.coo_array((np.ones(len(sources), np.float32), (sources, targets)), shape=shape).tocsr()
    matrix.data[:] = 1
    return matrix
