"""Builds the FAISS index of a set of vectors, at export; by default the kind that suits its size."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

import faiss
import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.arrays import release_pages
from fuserank_ensemble.retrieval.vectors.cpu import BLOCK, LEAST_REFINED, add_vectors, flat_index, search_parameters
from fuserank_ensemble.retrieval.vectors.search import Vectors

Kind = Literal["auto", "flat", "pq", "hnsw", "ivf"]
KINDS: tuple[Kind, ...] = ("auto", "flat", "pq", "hnsw", "ivf")

# `make bench-retrieval` scans 10,000 vectors in 0.4 ms and searches 1M approximately in 1.0 ms. A scan's time grows
# with the size, so that twice the 10,000 is still within that.
FLAT_UP_TO = 20_000
# From here on a scan reads codes first: of 18,464 texts 300 are found in 0.25 ms instead of 0.67, all but one in 1,300.
CODES_FROM = 4_096
LEAST_RECALL, RECALL_QUERIES = 0.99, 200  # of 300 neighbours, for as many of the vectors themselves
HNSW_LINKS, HNSW_BUILD = 16, 80
MAX_LISTS, POINTS_PER_LIST, TRAINING_ROUNDS = 4_096, 64, 8
SEED = 7


def build_index(vectors: Vectors, path: Path, kind: Kind = "auto", trained: Path | None = None) -> dict[str, Any]:
    """Writes the FAISS index of some vectors.

    Args:
        vectors: fp16 `[vectors, dim]`.
        path: The file to write.
        trained: An index of nearly the same vectors, whose quantisers are taken where it is of the kind that would be
            made; None trains them.
        kind: `flat` scans fp16 and is exact; `pq` scans 4 bits for two components, then compares the best in fp16;
            `hnsw` and `ivf` hold 8 bits a component; `auto` chooses by size, and no codes that miss much.

    Returns:
        For the manifest: `kind`, `vectors`, `seconds` and `bytes_per_vector` of the file.

    Raises:
        ValueError: On an unknown kind, or vectors that are not `[vectors, dim]`.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: found {kind!r}; allowed: one of {', '.join(KINDS)}")
    if vectors.ndim != 2 or not vectors.shape[1]:
        raise ValueError(f"vectors: found shape {vectors.shape}; allowed: [vectors, dim] with at least one dimension")
    count, dim = vectors.shape
    automatic = kind == "auto"
    if automatic:
        kind = "flat" if count < CODES_FROM else "pq" if count <= FLAT_UP_TO else "ivf"
    # Neither lists nor a quantiser can be trained on nothing, nor codes on few; and a code is for two components.
    kind = "flat" if not count or (kind == "pq" and (count < CODES_FROM or dim % 2)) else kind
    started = time.monotonic()
    makers = {
        "flat": lambda: flat_index(dim),
        "pq": lambda: _train_pq(vectors),
        "hnsw": lambda: _train_hnsw(vectors),
        "ivf": lambda: _train_ivf(vectors),
    }
    known = _untrained(trained, kind, dim) if trained and trained.exists() else None
    index = add_vectors(makers[kind]() if known is None else known, vectors)
    if automatic and kind == "pq" and _codes_recall(index, vectors) < LEAST_RECALL:
        kind, index = "flat", add_vectors(flat_index(dim), vectors)
    faiss.write_index(index, str(path))
    return {
        "kind": kind,
        "vectors": count,
        "seconds": round(time.monotonic() - started, 2),
        "bytes_per_vector": round(path.stat().st_size / max(1, count), 1),
    }


def _untrained(path: Path, kind: Kind, dim: int) -> faiss.Index | None:
    """Returns an index with its quantisers and without its vectors; None where it is of another kind or width."""
    index = faiss.read_index(str(path))
    found = {faiss.IndexRefine: "pq", faiss.IndexHNSWSQ: "hnsw", faiss.IndexIVFScalarQuantizer: "ivf"}
    if found.get(type(faiss.downcast_index(index))) != kind or index.d != dim:
        return None
    index.reset()
    return index


def _train_pq(vectors: Vectors) -> faiss.Index:
    """Codes that registers look up (Andre et al., Cache locality is not enough, VLDB 2015), then the vectors."""
    dim = vectors.shape[1]
    codes, flat = faiss.IndexPQFastScan(dim, dim // 2, 4, faiss.METRIC_INNER_PRODUCT), flat_index(dim)
    codes.pq.cp.seed = SEED
    codes.train(_sample(vectors, BLOCK))
    return faiss.IndexRefine(codes, flat)


def _codes_recall(index: Any, vectors: Vectors) -> float:
    """The mean share of a full scan's neighbours that the codes find."""
    queries = _sample(vectors, RECALL_QUERIES)
    depth = LEAST_REFINED
    _, by_codes = index.search(queries, depth, params=search_parameters(index, depth, None))
    _, by_scan = index.refine_index.search(queries, depth)
    return float(np.mean([np.isin(right, found).mean() for right, found in zip(by_scan, by_codes, strict=True)]))


def _train_hnsw(vectors: Vectors) -> faiss.Index:
    quantiser = faiss.ScalarQuantizer.QT_8bit
    links, metric = HNSW_LINKS, faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexHNSWSQ(vectors.shape[1], quantiser, links, metric)  # type: ignore[arg-type]  # added by SWIG
    index.hnsw.efConstruction = HNSW_BUILD
    index.train(_sample(vectors, BLOCK))
    return index


def _train_ivf(vectors: Vectors) -> faiss.Index:
    count, dim = vectors.shape
    lists = min(MAX_LISTS, 2 ** round(np.log2(max(1, 4 * np.sqrt(count)))), count)
    coarse = faiss.IndexFlatIP(dim)
    index = faiss.IndexIVFScalarQuantizer(coarse, dim, lists, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    index.cp.niter, index.cp.seed = TRAINING_ROUNDS, SEED
    # Fewer vectors than the quantiser wants are no reason for a warning: it is then still exact enough.
    index.cp.max_points_per_centroid, index.cp.min_points_per_centroid = POINTS_PER_LIST, 1
    index.train(_sample(vectors, POINTS_PER_LIST * lists))
    return index


def _sample(vectors: Vectors, count: int) -> NDArray[np.float32]:
    if len(vectors) <= count:
        return vectors.astype(np.float32)
    rows = np.sort(np.random.default_rng(SEED).choice(len(vectors), count, replace=False, shuffle=False))
    sampled = np.empty((count, vectors.shape[1]), np.float32)
    for start in range(0, count, BLOCK):
        sampled[start : start + BLOCK] = vectors[rows[start : start + BLOCK]]
        release_pages(vectors)
    return sampled
