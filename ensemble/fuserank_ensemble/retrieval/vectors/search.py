"""Nearest vectors by inner product: FAISS on a CPU, torch on a GPU, one contract.

Small catalogues are scanned, by codes of 4 bits first where that pays; large ones are searched in the lists nearest to
the query (IVF), and whatever a filter leaves few of is still searched exactly.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.filters import Mask

if TYPE_CHECKING:
    import torch

Embeddings = NDArray[np.float32]  # [batch, dim]
Vectors = NDArray[np.floating[Any]]  # [vectors, dim], fp16 or float32
Neighbours = tuple[NDArray[np.int64], NDArray[np.float32]]  # rows and scores of one query, best first
Kind = Literal["auto", "flat", "pq", "hnsw", "ivf"]
KINDS: tuple[Kind, ...] = ("auto", "flat", "pq", "hnsw", "ivf")

# `make bench-retrieval` scans 10,000 vectors in 0.4 ms and searches 1M approximately in 1.0 ms. A scan's time grows
# with the size, so that twice the 10,000 is still within that.
FLAT_UP_TO = 20_000
# From here on a scan reads codes first: of 18,464 texts 300 are found in 0.25 ms instead of 0.67, all but one in 1,300.
CODES_FROM = 4_096
# As many times the hits asked for are compared by their vectors, and this many at least.
REFINED, LEAST_REFINED = 3, 300
LEAST_RECALL, ASKED = 0.99, 200  # of 300 neighbours, for as many of the vectors themselves
BLOCK = 65_536  # vectors converted to float32 at once, so that the copy stays small
HNSW_LINKS, HNSW_BUILD, HNSW_SEARCH = 16, 80, 800
MAX_LISTS, POINTS_PER_LIST, TRAINING_ROUNDS = 4_096, 64, 8
# Lists probed hold about this many vectors for each hit asked for: a search costs much the same at any size. A filter
# that keeps fewer is answered from the kept vectors alone: at 1M that is the faster way up to 10,000 of them.
SCANNED_PER_HIT, LEAST_DEPTH = 80, 100
SEED = 7


class VectorSearch(Protocol):
    """Maximum inner product over a set of vectors."""

    def search(self, embeddings: Embeddings, depth: int, allowed: Sequence[Mask | None]) -> list[Neighbours]:
        """Finds the nearest vectors of each query.

        Args:
            embeddings: L2-normalised, float32 `[batch, dim]`.
            depth: How many vectors to find at most.
            allowed: For each query which vectors to search in, `[vectors]`; None for all.

        Returns:
            For each query rows and inner products, `[<= depth]`, best first. As many as there are: fewer than `depth`
            only where fewer vectors exist or are allowed.
        """
        ...


class FaissSearch:
    """On a CPU: a FAISS index, and the fp16 vectors themselves for what a filter leaves few of.

    Args:
        vectors: fp16 `[vectors, dim]`, as a rule mapped from disk.
        index: An index over them; None scans them, held in memory as fp16, which is exact.
        threads: Threads of one search. One by default: the engines want the other cores.
    """

    def __init__(self, vectors: Vectors, index: faiss.Index | None = None, threads: int = 1) -> None:
        faiss.omp_set_num_threads(threads)
        self._vectors = vectors
        self._index = _filled(_flat(vectors.shape[1]), vectors) if index is None else index
        # What scans the vectors themselves, where there is such: codes know no filter.
        behind = self._index.refine_index if isinstance(self._index, faiss.IndexRefine) else self._index
        whole = faiss.downcast_index(behind)
        self._whole = whole if isinstance(whole, faiss.IndexScalarQuantizer) else None

    def search(self, embeddings: Embeddings, depth: int, allowed: Sequence[Mask | None]) -> list[Neighbours]:
        """See `VectorSearch`."""
        found = [_nothing()] * len(embeddings)
        if depth < 1 or not len(self._vectors):
            return found
        free = [i for i, among in enumerate(allowed) if among is None]
        if free:
            for i, hits in zip(free, self._free(embeddings[free], depth), strict=True):
                found[i] = hits
        for i, among in enumerate(allowed):
            if among is not None:
                found[i] = self._filtered(embeddings[i], depth, among)
        return found

    def _free(self, queries: Embeddings, depth: int) -> list[Neighbours]:
        found = self._ask(queries, depth, None)
        wanted = min(depth, len(self._vectors))
        return [
            hits if len(hits[0]) == wanted else self._among(query, depth, np.arange(len(self._vectors)))
            for query, hits in zip(queries, found, strict=True)
        ]

    def _filtered(self, query: NDArray[np.float32], depth: int, among: Mask) -> Neighbours:
        kept = int(np.count_nonzero(among))
        if not kept:
            return _nothing()
        if self._whole is not None or kept > _scanned(depth):
            bits = np.packbits(among, bitorder="little")
            selector = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg, arg-type]  # wrapped for numpy
            hits = self._ask(query[None], depth, selector, kept / len(among))[0]
            # The lists near the query may hold too few that are allowed; a filter must not shorten the answer.
            if len(hits[0]) == min(depth, kept):
                return hits
        return self._among(query, depth, np.flatnonzero(among))

    def _ask(
        self, queries: Embeddings, depth: int, selector: faiss.IDSelector | None, share: float = 1.0
    ) -> list[Neighbours]:
        depth, index = min(depth, len(self._vectors)), self._index
        if self._whole is not None and (selector is not None or _refined(depth) * depth >= len(self._vectors)):
            index = self._whole
        params = _parameters(index, depth, selector, share)
        scores, rows = index.search(np.ascontiguousarray(queries, np.float32), depth, params=params)
        return [(r[r >= 0], s[r >= 0]) for r, s in zip(rows, scores, strict=True)]

    def _among(self, query: NDArray[np.float32], depth: int, rows: NDArray[np.int64]) -> Neighbours:
        """Scans some rows of the stored vectors."""
        scores = np.empty(len(rows), np.float32)
        for start in range(0, len(rows), BLOCK):
            part = slice(start, start + BLOCK)
            scores[part] = self._vectors[rows[part]].astype(np.float32) @ query
        best = np.argsort(-scores, kind="stable")[:depth]
        return rows[best], scores[best]


class TorchSearch:
    """On a GPU (or any torch device): one fp16 matrix product and a top-k for the whole batch, exact.

    Args:
        vectors: fp16 `[vectors, dim]`.
        device: As torch names it: `cpu`, `cuda:0`.
    """

    def __init__(self, vectors: Vectors, device: str) -> None:
        import torch  # noqa: PLC0415  only where a GPU is: a CPU server does without torch

        self._torch = torch
        # A CPU has no fp16 matrix product worth the name; there the same code runs in float32 for its tests.
        self._dtype = torch.float16 if device.startswith("cuda") else torch.float32
        self._vectors: torch.Tensor = torch.from_numpy(np.array(vectors)).to(device, self._dtype)

    def search(self, embeddings: Any, depth: int, allowed: Sequence[Mask | None]) -> list[Neighbours]:
        """See `VectorSearch`; the embeddings may be anything that speaks DLPack, on any device."""
        rows, scores = self.search_on_device(embeddings, depth, allowed)
        pairs = zip(rows.cpu().numpy(), scores.cpu().numpy(), strict=True)
        return [(r[r >= 0], s[r >= 0]) for r, s in pairs]

    def search_on_device(
        self, embeddings: Any, depth: int, allowed: Sequence[Any | None]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Finds the nearest vectors and leaves the answer where it was computed.

        Args:
            embeddings: Anything that speaks DLPack (numpy, torch, Triton's tensors), floats `[batch, dim]`; what lies
                on this device already is not copied to the host.
            depth: How many vectors to find at most.
            allowed: For each query a mask `[vectors]`, of numpy or on the device; None for all.

        Returns:
            Rows int64 and inner products float32, `[batch, min(depth, vectors)]`, best first, as tensors on the
            device, which speak DLPack; where a filter leaves fewer, row -1 and score -inf.
        """
        torch = self._torch
        queries = self._tensor(embeddings).to(self._dtype)
        scores = (queries @ self._vectors.T).float()
        for i, among in enumerate(allowed):
            if among is not None:
                scores[i].masked_fill_(~self._tensor(among), float("-inf"))
        values, rows = scores.topk(max(0, min(depth, scores.shape[1])), dim=1)
        return torch.where(torch.isneginf(values), -1, rows), values

    def _tensor(self, array: Any) -> torch.Tensor:
        if isinstance(array, np.ndarray):
            # DLPack does not carry numpy's read-only arrays, which mapped files and Triton's tensors are.
            array = array if array.flags.writeable else array.copy()
            return self._torch.from_numpy(np.ascontiguousarray(array)).to(self._vectors.device)
        return self._torch.utils.dlpack.from_dlpack(array).to(self._vectors.device)


def build_index(vectors: Vectors, path: Path, kind: Kind = "auto") -> dict[str, Any]:
    """Writes the FAISS index of some vectors, at export.

    Args:
        vectors: fp16 `[vectors, dim]`.
        path: The file to write.
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
    chosen = kind == "auto"
    if chosen:
        kind = "flat" if count < CODES_FROM else "pq" if count <= FLAT_UP_TO else "ivf"
    # Neither lists nor a quantiser can be trained on nothing, nor codes on few; and a code is for two components.
    kind = "flat" if not count or (kind == "pq" and (count < CODES_FROM or dim % 2)) else kind
    started = time.monotonic()
    made = {"flat": lambda: _flat(dim), "pq": lambda: _pq(vectors)}
    index = _filled({**made, "hnsw": lambda: _hnsw(vectors), "ivf": lambda: _ivf(vectors)}[kind](), vectors)
    if chosen and kind == "pq" and _codes_recall(index, vectors) < LEAST_RECALL:
        kind, index = "flat", _filled(_flat(dim), vectors)
    faiss.write_index(index, str(path))
    return {
        "kind": kind,
        "vectors": count,
        "seconds": round(time.monotonic() - started, 2),
        "bytes_per_vector": round(path.stat().st_size / max(1, count), 1),
    }


def open_search(vectors: Vectors, path: Path, device: str = "cpu", threads: int = 1) -> VectorSearch:
    """Opens what `build_index` wrote.

    Args:
        vectors: The same vectors, fp16 `[vectors, dim]`; mapped is enough on a CPU.
        path: The index file; a GPU needs none, it searches the vectors themselves.
        device: `cpu`, or a torch device such as `cuda:0`.
        threads: Threads of one search on a CPU.

    Raises:
        ValueError: Where the file was made from other vectors.
    """
    if device != "cpu":
        return TorchSearch(vectors, device)
    # Mapped where the kind allows it (flat ones do): every process of a server shares one copy.
    index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    if (index.ntotal, index.d) != vectors.shape:
        raise ValueError(
            f"{path}: holds vectors of shape {(index.ntotal, index.d)}, the catalogue has {vectors.shape}; "
            "both must come from one export: export the bundle again"
        )
    return FaissSearch(vectors, index, threads)


def _nothing() -> Neighbours:
    return np.empty(0, np.int64), np.empty(0, np.float32)


def _flat(dim: int) -> faiss.Index:
    """The scalar quantiser over fp16: exact for vectors that are stored as fp16."""
    return faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)


def _pq(vectors: Vectors) -> faiss.Index:
    """Codes that registers look up (Andre et al., Cache locality is not enough, VLDB 2015), then the vectors."""
    dim = vectors.shape[1]
    codes, whole = faiss.IndexPQFastScan(dim, dim // 2, 4, faiss.METRIC_INNER_PRODUCT), _flat(dim)
    codes.pq.cp.seed = SEED
    codes.train(_sample(vectors, BLOCK))
    return faiss.IndexRefine(codes, whole)


def _codes_recall(index: Any, vectors: Vectors) -> float:
    """What share of a scan's hits the codes find, on average."""
    asked = _sample(vectors, ASKED)
    depth = LEAST_REFINED
    _, found = index.search(asked, depth, params=_parameters(index, depth, None, 1.0))
    _, true = index.refine_index.search(asked, depth)
    return float(np.mean([np.isin(mine, all_of_it).mean() for mine, all_of_it in zip(true, found, strict=True)]))


def _hnsw(vectors: Vectors) -> faiss.Index:
    quantiser = faiss.ScalarQuantizer.QT_8bit
    links, metric = HNSW_LINKS, faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexHNSWSQ(vectors.shape[1], quantiser, links, metric)  # type: ignore[arg-type]  # added by SWIG
    index.hnsw.efConstruction = HNSW_BUILD
    index.train(_sample(vectors, BLOCK))
    return index


def _ivf(vectors: Vectors) -> faiss.Index:
    count, dim = vectors.shape
    lists = min(MAX_LISTS, 2 ** round(np.log2(max(1, 4 * np.sqrt(count)))), count)
    # Fewer vectors than the quantiser wants are no reason for a warning: it is then still exact enough.
    coarse = faiss.IndexFlatIP(dim)
    index = faiss.IndexIVFScalarQuantizer(coarse, dim, lists, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    index.cp.niter, index.cp.seed = TRAINING_ROUNDS, SEED
    index.cp.max_points_per_centroid, index.cp.min_points_per_centroid = POINTS_PER_LIST, 1
    index.train(_sample(vectors, POINTS_PER_LIST * lists))
    return index


def _sample(vectors: Vectors, count: int) -> NDArray[np.float32]:
    if len(vectors) <= count:
        return vectors.astype(np.float32)
    rows = np.random.default_rng(SEED).choice(len(vectors), count, replace=False, shuffle=False)
    return vectors[np.sort(rows)].astype(np.float32)


def _filled(index: faiss.Index, vectors: Vectors) -> faiss.Index:
    for start in range(0, len(vectors), BLOCK):
        index.add(vectors[start : start + BLOCK].astype(np.float32))
    return index


def _scanned(depth: int) -> int:
    return SCANNED_PER_HIT * max(LEAST_DEPTH, depth)


def _refined(depth: int) -> float:
    return max(REFINED, LEAST_REFINED / max(1, depth))


def _parameters(index: faiss.Index, depth: int, selector: faiss.IDSelector | None, share: float) -> Any:
    """How far to look: the fewer a filter allows (`share`), the farther away the nearest of them are."""
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
