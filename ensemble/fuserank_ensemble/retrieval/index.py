"""What the channels search, as it lies in a bundle's `index/`: what the catalogue says, and what the log taught."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.catalog.mapped import mapped
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.retrieval.graph.index import GraphIndex
from fuserank_ensemble.retrieval.lexical.index import LexicalIndex
from fuserank_ensemble.retrieval.vectors.search import VectorSearch, open_search


@dataclass(frozen=True)
class CatalogIndex:
    """What the catalogue says.

    Attributes:
        items: The catalogue's arrays.
        vectors: Text vectors, fp16 `[texts, dim]`.
        texts: The index over them.
        lexical: The index of words.
    """

    items: Items
    vectors: NDArray[Any]
    texts: VectorSearch
    lexical: LexicalIndex

    @classmethod
    def open(cls, folder: Path, items: Items, device: str) -> CatalogIndex:
        """Opens the indexes; on a GPU the vectors lie in its memory."""
        vectors = mapped(folder / "vectors.npy")
        texts = open_search(vectors, folder / "vectors.faiss", device)
        return cls(items, vectors, texts, LexicalIndex.open(folder / "lexical"))


@dataclass(frozen=True)
class InteractionIndex:
    """What the log taught by one moment.

    Attributes:
        popularity: The log, counted.
        factors: The items' collaborative factors, float32 `[items, factors]`, and the index over them; None where
            there is no log.
        graph: The knowledge graph's vectors and the index over those of the items; None where nothing is related.
    """

    popularity: Popularity
    factors: tuple[NDArray[np.float32], VectorSearch] | None = None
    graph: tuple[GraphIndex, VectorSearch] | None = None

    @classmethod
    def open(cls, folder: Path, device: str) -> InteractionIndex:
        """Opens what is there; a shop without a log has popularity alone, in which everything is 0."""
        collaborative, graph = folder / "collaborative", folder / "graph"
        return cls(
            Popularity.open(folder / "popularity"),
            open_factors(collaborative, device) if collaborative.exists() else None,
            open_graph(graph, device) if graph.exists() else None,
        )


def open_factors(folder: Path, device: str) -> tuple[NDArray[np.float32], VectorSearch]:
    """Opens the collaborative part of a bundle."""
    factors = mapped(folder / "factors.npy", "c")  # implicit wants a buffer that it could write to
    return factors, open_search(factors, folder / "factors.faiss", device)


def open_graph(folder: Path, device: str) -> tuple[GraphIndex, VectorSearch]:
    """Opens the knowledge graph's part of a bundle."""
    graph = GraphIndex.open(folder)
    return graph, open_search(graph.items, folder / "items.faiss", device)
