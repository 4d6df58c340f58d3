"""What the last bundle computed of items that stay as they are: vectors, tokens of pairs, factors, the graph."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from tokenizers import Tokenizer

from fuserank_ensemble.bundle import PAIRS, Bundle
from fuserank_ensemble.candidates.pairs import PairTokens
from fuserank_ensemble.retrieval.graph.index import GraphIndex
from fuserank_export.encoder.onnx_encoder import OnnxEncoder
from fuserank_export.index.catalog import Indexed
from fuserank_export.learning.graph.knowledge import KnowledgeGraph
from fuserank_export.learning.graph.train import GraphReport, GraphVectors, index_vectors
from fuserank_export.learning.interactions import LearnedStart


@dataclass(frozen=True)
class Carried:
    """Where the next bundle's items and texts are in the last one.

    Attributes:
        rows: The item's row there, -1 for a new one, int32 `[items]`.
        texts: The text's row there, -1 for one that has to be embedded, int32 `[texts]`.
    """

    rows: NDArray[np.int32]
    texts: NDArray[np.int32]


def find_carried(bundle: Bundle, indexed: Indexed, retexted: frozenset[str]) -> Carried:
    """Finds what stays.

    Args:
        bundle: The last bundle.
        indexed: The next one's catalogue.
        retexted: Ids of the items whose text may be another one.
    """
    old, ids = bundle.items.ids, indexed.items.ids
    places = np.minimum(np.searchsorted(old, ids), len(old) - 1)
    rows = np.where(old[places] == ids, places, -1).astype(np.int32)
    stays = (rows >= 0) & ~np.isin(ids, np.asarray([name.encode() for name in retexted], ids.dtype))
    texts = np.full(len(indexed.texts), -1, np.int32)
    texts[indexed.items.text[stays]] = bundle.items.text[rows[stays]]
    return Carried(rows, texts)


def open_text_encoder(bundle: Bundle) -> OnnxEncoder:
    """Returns what embedded the bundle's texts."""
    made = bundle.manifest["embedding"]
    path = bundle.repository / "encoder" / "1" / made["engine_file"]
    return OnnxEncoder(path, Tokenizer.from_file(str(bundle.tokenizer)), bundle.spec.pad_token_id, made["longest"])


def carry_vectors(
    bundle: Bundle, texts: Sequence[str], carried: Carried, encoder: OnnxEncoder, out: Path
) -> NDArray[np.float16]:
    """Writes the texts' vectors and returns them, float16 `[texts, dim]`; those of new texts alone are computed."""
    vectors = np.empty((len(texts), bundle.vectors.shape[1]), np.float16)
    known = carried.texts >= 0
    vectors[known] = bundle.vectors[carried.texts[known]]
    if not known.all():
        missing = np.flatnonzero(~known)
        vectors[missing] = encoder.embed([texts[text] for text in missing.tolist()])
    np.save(out, vectors)
    return vectors


def carry_pairs(bundle: Bundle, texts: Sequence[str], out: Path) -> None:
    """Writes the texts as the text tower's tokens, which takes less than to look for those that stay."""
    tokenizer = Tokenizer.from_file(str(bundle.root / "index" / PAIRS / "tokenizer.json"))
    PairTokens.write(out, tokenizer, texts, bundle.spec.pair_buckets[-1])


def carry_learned(bundle: Bundle, carried: Carried) -> LearnedStart:
    """Returns what the bundle learned of the log, for the next one to go on from."""
    folder = bundle.root / "index"
    path = folder / "collaborative" / "factors.npy"
    factors = _of_items(np.load(path, mmap_mode="r"), carried.rows) if path.exists() else None
    old = GraphIndex.open(folder / "graph")
    return LearnedStart(folder, factors, lambda graph: _carry_graph(old, graph, carried.rows))


def _carry_graph(old: GraphIndex, graph: KnowledgeGraph, rows: NDArray[np.int32]) -> GraphVectors:
    """Returns a graph's vectors: those of an older one, and of what is new those of its neighbours."""
    started = time.monotonic()
    items = _of_items(old.items, rows)
    known = {name: at for at, name in enumerate(zip(old.names.kinds, old.names.names, strict=True))}
    of_entities = [known.get(name, -1) for name in zip(graph.entities.kinds, graph.entities.names, strict=True)]
    entities = _of_items(old.entities, np.asarray(of_entities, np.int32))
    index = index_vectors(graph, items, entities)
    new_items, new_entities = np.flatnonzero(rows < 0), np.flatnonzero(np.asarray(of_entities) < 0)
    if len(new_items) or len(new_entities):
        ones = np.ones(len(index.members), np.float32)
        membership = csr_array((ones, index.members, index.offsets), shape=(len(index.names), len(items)))
        of_items = membership[:, new_items].tocsc()
        for at, row in enumerate(new_items.tolist()):
            own = of_items.indices[of_items.indptr[at] : of_items.indptr[at + 1]]
            items[row] = index.neighbours_vector(own.tolist())
        sizes = np.maximum(np.diff(index.offsets), 1)[:, None]
        centroids = ((membership @ items) / sizes).astype(np.float32)
        entities[new_entities] = centroids[new_entities]
        index = replace(index, items=items, entities=entities, centroids=centroids)
    report = GraphReport(
        {"items": graph.items, "entities": len(graph.entities), "users": graph.users},
        graph.edge_counts(),
        items.shape[1],
        0,
        0,
        round(time.monotonic() - started, 1),
        [],
    )
    return GraphVectors(index, report)


def _of_items(old: NDArray[np.float32], rows: NDArray[np.int32]) -> NDArray[np.float32]:
    """The rows of an array, zeros where they are -1."""
    carried: NDArray[np.float32] = np.where(rows[:, None] >= 0, old[np.maximum(rows, 0)], np.float32(0.0))
    return carried
