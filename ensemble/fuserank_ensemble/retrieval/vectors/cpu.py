"""Nearest vectors on a CPU: a FAISS index, and the vectors themselves for what a filter leaves few of.

Small sets are scanned, by codes of 4 bits first where that pays; large ones are searched in the lists nearest to the
query (IVF). `fuserank_ensemble.retrieval.vectors.build` writes the indexes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.arrays import release_pages
from fuserank_ensemble.catalog.filters import Mask
from fuserank_ensemble.retrieval.vectors.half import to_float32
from fuserank_ensemble.retrieval.vectors.search import Embeddings, Neighbours, Vectors

# As many times the vectors asked for are compared in full after a scan by codes, and this many at least.
REFINED, LEAST_REFINED = 3, 300
BLOCK = 65_536  # vectors converted to float32 at once, so that the copy stays small
HNSW_SEARCH = 800
# Lists probed hold about this many vectors for each one asked for: a search costs much the same at any size. A filter
# that keeps fewer is answered from the kept vectors alone: at 1M that is the faster way up to 10,000 of them.
SCANNED_PER_RESULT, LEAST_DEPTH = 80, 100
# A filter that leaves out less than this share, such as deleted items, is applied to what is found without one.
FEW_LEFT_OUT = 0.1


class FaissSearch:
    """A FAISS index and the vectors that it was built from; see `VectorSearch`.

    Args:
        vectors: fp16 `[vectors, dim]`, as a rule mapped from disk.
        index: An index over them; None scans them, held in memory as fp16, which is exact.
        threads: Threads of one search. One by default: the engines want the other cores.
    """

    def __init__(self, vectors: Vectors, index: faiss.Index | None = None, threads: int = 1) -> None:
        faiss.omp_set_num_threads(threads)
        self._vectors = vectors
        self._index = add_vectors(flat_index(vectors.shape[1]), vectors) if index is None else index
        # The index that scans the vectors themselves, where there is one: codes know no filter.
        behind = self._index.refine_index if isinstance(self._index, faiss.IndexRefine) else self._index
        flat = faiss.downcast_index(behind)
        self._flat = flat if isinstance(flat, faiss.IndexScalarQuantizer) else None

    def search(self, embeddings: Embeddings, depth: int, allowed: Sequence[Mask | None]) -> list[Neighbours]:
        """See `VectorSearch`."""
        results = [_no_neighbours()] * len(embeddings)
        if depth < 1 or not len(self._vectors):
            return results
        unfiltered = [i for i, mask in enumerate(allowed) if mask is None]
        if unfiltered:
            for i, neighbours in zip(unfiltered, self._search_all(embeddings[unfiltered], depth), strict=True):
                results[i] = neighbours
        for i, mask in enumerate(allowed):
            if mask is not None:
                results[i] = self._search_allowed(embeddings[i], depth, mask)
        return results

    def _search_all(self, queries: Embeddings, depth: int) -> list[Neighbours]:
        results = self._search_index(queries, depth, None)
        wanted = min(depth, len(self._vectors))
        return [
            neighbours if len(neighbours[0]) == wanted else self._scan(query, depth, np.arange(len(self._vectors)))
            for query, neighbours in zip(queries, results, strict=True)
        ]

    def _search_allowed(self, query: NDArray[np.float32], depth: int, mask: Mask) -> Neighbours:
        count = int(np.count_nonzero(mask))
        if not count:
            return _no_neighbours()
        left_out = len(mask) - count
        if left_out <= FEW_LEFT_OUT * len(mask):
            rows, scores = self._search_all(query[None], depth + min(left_out, depth // 4))[0]
            kept = mask[rows]
            if int(np.count_nonzero(kept)) >= min(depth, count):
                return rows[kept][:depth], scores[kept][:depth]
        if self._flat is not None or count > _scanned(depth):
            bits = np.packbits(mask, bitorder="little")
            selector = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg, arg-type]  # wrapped for numpy
            neighbours = self._search_index(query[None], depth, selector, count / len(mask))[0]
            # The lists near the query may hold too few that are allowed; a filter must not shorten the answer.
            if len(neighbours[0]) == min(depth, count):
                return neighbours
        return self._scan(query, depth, np.flatnonzero(mask))

    def _search_index(
        self, queries: Embeddings, depth: int, selector: faiss.IDSelector | None, share: float = 1.0
    ) -> list[Neighbours]:
        depth, index = min(depth, len(self._vectors)), self._index
        if self._flat is not None and (selector is not None or _refined(depth) * depth >= len(self._vectors)):
            index = self._flat
        params = search_parameters(index, depth, selector, share)
        scores, rows = index.search(np.ascontiguousarray(queries, np.float32), depth, params=params)
        if rows.min(initial=0) >= 0:
            return list(zip(rows, scores, strict=True))
        return [(r[r >= 0], s[r >= 0]) for r, s in zip(rows, scores, strict=True)]  # -1 where there are too few

    def _scan(self, query: NDArray[np.float32], depth: int, rows: NDArray[np.int64]) -> Neighbours:
        """The nearest of some rows of the stored vectors."""
        scores = np.empty(len(rows), np.float32)
        for start in range(0, len(rows), BLOCK):
            block = slice(start, start + BLOCK)
            scores[block] = to_float32(self._vectors[rows[block]]) @ query
        best = np.argsort(-scores, kind="stable")[:depth]
        return rows[best], scores[best]


def flat_index(dim: int) -> faiss.Index:
    """An empty scalar quantiser over fp16: exact for vectors that are stored as fp16."""
    return faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)


def add_vectors(index: faiss.Index, vectors: Vectors) -> faiss.Index:
    """Adds the vectors to a trained index, a block at a time, and returns it."""
    for start in range(0, len(vectors), BLOCK):
        index.add(vectors[start : start + BLOCK].astype(np.float32))
        release_pages(vectors)
    return index


def search_parameters(index: faiss.Index, depth: int, selector: faiss.IDSelector | None, share: float = 1.0) -> Any:
    """How far a search looks: the fewer a filter allows (`share`), the farther away the nearest of them are."""
    if isinstance(index, faiss.IndexRefine):
        return faiss.IndexRefineSearchParameters(k_factor=_refined(depth))  # type: ignore[call-arg]  # added by SWIG
    chosen = {} if selector is None else {"sel": selector}
    if isinstance(index, faiss.IndexHNSW):
        breadth = max(HNSW_SEARCH, 2 * depth)
        return faiss.SearchParametersHNSW(efSearch=breadth, **chosen)  # type: ignore[attr-defined]  # not in its stubs
    if isinstance(index, faiss.IndexIVF):
        probes = min(index.nlist, math.ceil(_scanned(depth) / share * index.nlist / index.ntotal))
        return faiss.SearchParametersIVF(nprobe=probes, **chosen)  # type: ignore[call-arg]  # added by SWIG
    return faiss.SearchParameters(**chosen) if chosen else None


def _no_neighbours() -> Neighbours:
    return np.empty(0, np.int64), np.empty(0, np.float32)


def _scanned(depth: int) -> int:
    return SCANNED_PER_RESULT * max(LEAST_DEPTH, depth)


def _refined(depth: int) -> float:
    return max(REFINED, LEAST_REFINED / max(1, depth))
