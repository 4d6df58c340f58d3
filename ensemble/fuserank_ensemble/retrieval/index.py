"""What the channels search, as it lies in a bundle's `index/`: one part made of the catalogue, one of the log."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.arrays import GrownRows, RowSource, map_array
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.catalog.live.snapshot import CatalogSnapshot, TextVectors
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.retrieval.graph.index import GraphIndex
from fuserank_ensemble.retrieval.lexical.index import LexicalIndex
from fuserank_ensemble.retrieval.vectors.items import ItemVectorSearch
from fuserank_ensemble.retrieval.vectors.open import open_search
from fuserank_ensemble.retrieval.vectors.search import VectorSearch


@dataclass(frozen=True)
class CatalogIndex:
    """The indexes over the catalogue.

    Attributes:
        items: The catalogue's arrays.
        vectors: Text vectors, fp16 `[texts, dim]`, or float32, see `open`.
        texts: The search over those of the bundle.
        lexical: The index of words.
        snapshot: The catalogue while it is served, with what came since the snapshot before; None for a bundle's own.
    """

    items: Items
    vectors: RowSource
    texts: VectorSearch
    lexical: LexicalIndex
    snapshot: CatalogSnapshot | None = None

    @classmethod
    def open(cls, folder: Path, items: Items, device: str, widened: int = 0) -> CatalogIndex:
        """Opens the indexes; on a GPU the vectors lie in its memory.

        Args:
            folder: A bundle's `index/`.
            items: The catalogue's arrays.
            device: `cpu`, or a torch device such as `cuda:0`.
            widened: Bytes that the vectors may take as float32 in this process's memory, which is faster for whoever
                reads most of them many times; larger ones stay mapped as fp16.
        """
        vectors = map_array(folder / "vectors.npy")
        if 4 * vectors.size <= widened:
            vectors = vectors.astype(np.float32)
        texts = open_search(vectors, folder / "vectors.faiss", device)
        return cls(items, vectors, texts, LexicalIndex.open(folder / "lexical"))


@dataclass(frozen=True)
class InteractionIndex:
    """What was learned from the log up to one moment.

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

    def over(self, snapshot: CatalogSnapshot) -> InteractionIndex:
        """Returns the same with a catalogue's new items, of which nobody had any."""
        new = len(snapshot.items) - len(self.popularity.counts)
        return replace(self, popularity=self.popularity.grown(snapshot.arrived[-new:])) if new else self


def open_factors(folder: Path, device: str) -> tuple[NDArray[np.float32], VectorSearch]:
    """Opens the items' factors and the search over them."""
    factors = map_array(folder / "factors.npy", "c")  # implicit wants a writable buffer
    return factors, open_search(factors, folder / "factors.faiss", device)


def open_graph(folder: Path, device: str) -> tuple[GraphIndex, VectorSearch]:
    """Opens the knowledge graph and the search over its items."""
    graph = GraphIndex.open(folder)
    return graph, open_search(graph.items, folder / "items.faiss", device)


@dataclass(frozen=True)
class RetrievalIndex:
    """Everything that the channels of a bundle search.

    Attributes:
        catalog: The indexes over the catalogue.
        interactions: What was learned from the log.
        max_texts: How many distinct texts a search by vectors takes at most.
    """

    catalog: CatalogIndex
    interactions: InteractionIndex
    max_texts: int

    def over(self, snapshot: CatalogSnapshot, lexical: LexicalIndex) -> RetrievalIndex:
        """Returns the same with the new items of a catalogue, and with other texts of some.

        Args:
            snapshot: The catalogue, the next one after this index's.
            lexical: The words of its items.
        """
        vectors = self.catalog.vectors
        bundled = vectors.bundled if isinstance(vectors, GrownRows) else np.asarray(vectors)
        grown = TextVectors(bundled, snapshot.vectors.added, snapshot.vectors.rows)
        catalog = replace(self.catalog, items=snapshot.items, vectors=grown, lexical=lexical, snapshot=snapshot)
        other = replace(self, catalog=catalog, interactions=self.interactions.over(snapshot))
        vars(other)["item_vectors"] = self.item_vectors.over(snapshot.items, grown)
        return other

    def relinks(self, snapshot: CatalogSnapshot) -> bool:
        """Whether a catalogue's newest changes may give items other entities of the knowledge graph."""
        graph = self.interactions.graph
        return graph is not None and bool(snapshot.changed_rows(graph[0].names.fields))

    @cached_property
    def item_vectors(self) -> ItemVectorSearch:
        """Nearest items of a vector; the channels share it."""
        catalog, popularity = self.catalog, self.interactions.popularity
        return ItemVectorSearch(catalog.texts, catalog.items, popularity, self.max_texts)
