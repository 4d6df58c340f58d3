"""Cost of dense search over 10k, 100k and 1M vectors, beside exact search.

The vectors are copies of the bundle's own embeddings with small noise (see `inputs.vectors`). The queries are the
shop's product types as the bundle's encoder embeds them; none of them is in the index.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow.parquet as pq
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from rich.console import Console
from threadpoolctl import threadpool_limits
from tokenizers import Tokenizer

from fuserank_benchmarks.inputs.queries import SEED
from fuserank_benchmarks.inputs.vectors import COPY_COSINE, SIZES, noisy_copies
from fuserank_ensemble.retrieval.vectors.build import build_index
from fuserank_ensemble.retrieval.vectors.open import open_search
from fuserank_ensemble.retrieval.vectors.search import VectorSearch
from fuserank_export.encoder.onnx_encoder import OnnxEncoder

DEPTH = 100
BATCH = 16
QUERIES = 480  # a multiple of the batch
EXACT_QUERIES = 48  # that exact search is timed on; recall needs the exact neighbours of all

FloatArray = NDArray[np.float32]

MEANINGS = {
    "dense_build_seconds": "s to build the index",
    "dense_bytes_per_item": "bytes a vector of the index file, all read into memory; the fp16 vectors stay mapped",
    "dense_recall_at_100": "share of the 100 exact nearest (float32) among the 100 found",
    "dense_p50_ms": "ms, one request: median",
    "dense_p99_ms": "ms, one request: 99th percentile",
    "dense_qps": "requests/s, one at a time",
    "dense_qps_batch16": "requests/s in batches of 16",
    "exact_qps": "requests/s of exact float32, one at a time: the faster of FAISS's scan and BLAS",
    "exact_qps_batch16": "the same in batches of 16",
    "dense_speedup_vs_exact": "dense_qps / exact_qps, same threads",
    "dense_speedup_vs_exact_batch16": "dense_qps_batch16 / exact_qps_batch16, same threads",
    "dense_filtered50_found": "items returned by a filter that keeps 50, fewest of all queries",
    "dense_filtered50_p50_ms": "ms, one request with that filter: median",
    "dense_filtered10pct_recall_at_100": "recall@100 under a filter that keeps a tenth at random",
    "dense_filtered10pct_p50_ms": "ms, one request with that filter: median",
}
RATIO = "p50_ratio_1m_to_10k"


def real_queries(bundle: Path, shop: Path) -> FloatArray:
    """Embeddings of product types in lower case, a seeded draw, float32 `[QUERIES, dim]`."""
    types = pq.read_table(shop / "catalog.parquet", columns=["product_type"]).column(0).unique().to_pylist()
    names = sorted({str(name).lower() for name in types if name})
    chosen = np.random.default_rng(SEED).choice(names, QUERIES, replace=len(names) < QUERIES)
    spec = json.loads((bundle / "manifest.json").read_text("utf-8"))["spec"]
    engine = bundle / "model_repository" / "encoder" / "1" / "model.onnx"
    tokenizer = Tokenizer.from_file(str(bundle / "index" / "tokenizer.json"))
    encoder = OnnxEncoder(engine, tokenizer, spec["pad_token_id"], max(spec["length_buckets"]))
    return encoder.embed([spec["query_template"].format(query=name) for name in chosen])


@dataclass(frozen=True)
class Exact:
    """Neighbours by exact float32 search, and its throughput in the fastest way for each batch size."""

    neighbours: NDArray[np.int64]  # [queries, DEPTH]
    qps: float
    qps_batch: float

    @classmethod
    def over(cls, vectors: FloatArray, queries: FloatArray) -> Exact:
        """Finds the neighbours and times both ways: FAISS's own scan, and one matrix product by BLAS."""
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)
        timed = queries[:EXACT_QUERIES]

        def search_by_product(part: FloatArray) -> Any:
            return np.argpartition(part @ vectors.T, -DEPTH, axis=1)[:, -DEPTH:]

        rates = {}
        for batch in (1, BATCH):
            rates[batch] = max(
                _rate(lambda part: index.search(part, DEPTH), timed, batch),
                _rate(search_by_product, timed, batch),
                _rate(lambda part: _scan_with_blas(index, part), timed, batch),
            )
        return cls(_scan_with_blas(index, queries), rates[1], rates[BATCH])


def _scan_with_blas(index: Any, queries: FloatArray) -> NDArray[np.int64]:
    before = faiss.cvar.distance_compute_blas_threshold
    faiss.cvar.distance_compute_blas_threshold = 1
    try:
        rows: NDArray[np.int64] = index.search(queries, DEPTH)[1]
        return rows
    finally:
        faiss.cvar.distance_compute_blas_threshold = before


def _batches(queries: FloatArray, batch: int) -> Iterator[FloatArray]:
    for start in range(0, len(queries), batch):
        yield queries[start : start + batch]


def _rate(search: Callable[[FloatArray], Any], queries: FloatArray, batch: int) -> float:
    """Queries a second, after one batch that warms up."""
    search(queries[:batch])
    started = time.perf_counter()
    for part in _batches(queries, batch):
        search(part)
    return len(queries) / (time.perf_counter() - started)


def recall(found: Sequence[NDArray[np.int64]], exact: NDArray[np.int64]) -> float:
    """Share of the exact neighbours `[queries, depth]` among the rows found for each query, which may be fewer."""
    padded = np.full_like(exact, -1)
    for i, rows in enumerate(found):
        padded[i, : len(rows)] = rows
    return float(faiss.eval_intersection(padded, exact) / exact.size)


def time_search(search: VectorSearch, queries: FloatArray, mask: Any = None) -> tuple[list[Any], FloatArray]:
    """Searches query by query; returns the rows and milliseconds of each, `[queries]`."""
    search.search(queries[:8], DEPTH, [mask] * len(queries[:8]))  # warms up
    found, times = [], []
    for query in _batches(queries, 1):
        started = time.perf_counter()
        rows, _ = search.search(query, DEPTH, [mask])[0]
        times.append((time.perf_counter() - started) * 1e3)
        found.append(np.asarray(rows, np.int64))
    return found, np.asarray(times, np.float32)


def measure_filtered(search: VectorSearch, vectors: FloatArray, queries: FloatArray) -> dict[str, float]:
    """Figures of a filter that keeps 50 vectors and of one that keeps a tenth."""
    draw = np.random.default_rng(SEED)
    few = np.zeros(len(vectors), np.bool_)
    few[draw.choice(len(vectors), 50, replace=False)] = True
    found_few, times_few = time_search(search, queries, few)
    tenth = draw.random(len(vectors)) < 0.1
    kept = np.flatnonzero(tenth)
    found_tenth, times_tenth = time_search(search, queries, tenth)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors[kept])
    return {
        "dense_filtered50_found": min(len(rows) for rows in found_few),
        "dense_filtered50_p50_ms": round(float(np.median(times_few)), 3),
        "dense_filtered10pct_recall_at_100": round(recall(found_tenth, kept[_scan_with_blas(index, queries)]), 4),
        "dense_filtered10pct_p50_ms": round(float(np.median(times_tenth)), 3),
    }


def measure_dense(
    originals: FloatArray, queries: FloatArray, count: int, folder: Path, build_threads: int
) -> dict[str, Any]:
    """Figures of an index of `count` vectors, built as by the export and searched with one thread as by the server.

    Args:
        originals: Vectors to copy, `[originals, dim]`.
        queries: Query vectors `[queries, dim]`.
        count: Number of vectors of the index.
        folder: Gets the index's files.
        build_threads: Threads of building.
    """
    draw = np.random.default_rng(SEED)
    rows = draw.integers(0, len(originals), count)
    np.save(folder / "vectors.npy", noisy_copies(originals, rows, COPY_COSINE, draw))
    stored = np.load(folder / "vectors.npy", mmap_mode="r")
    faiss.omp_set_num_threads(build_threads)
    report = build_index(np.asarray(stored), folder / "vectors.faiss")
    search = open_search(np.asarray(stored), folder / "vectors.faiss", threads=1)
    vectors = np.asarray(stored).astype(np.float32)
    with threadpool_limits(1):
        exact = Exact.over(vectors, queries)
        found, times = time_search(search, queries)
        qps = 1e3 / float(times.mean())
        qps_batch = _rate(lambda part: search.search(part, DEPTH, [None] * len(part)), queries, BATCH)
        under_filters = measure_filtered(search, vectors, queries[: 2 * EXACT_QUERIES])
    return {
        "dense_kind": report["kind"],
        "dense_build_seconds": report["seconds"],
        "dense_bytes_per_item": report["bytes_per_vector"],
        "dense_recall_at_100": round(recall(found, exact.neighbours), 4),
        "dense_p50_ms": round(float(np.median(times)), 3),
        "dense_p99_ms": round(float(np.percentile(times, 99)), 3),
        "dense_qps": round(qps, 1),
        "dense_qps_batch16": round(qps_batch, 1),
        "exact_qps": round(exact.qps, 1),
        "exact_qps_batch16": round(exact.qps_batch, 1),
        "dense_speedup_vs_exact": round(qps / exact.qps, 2),
        "dense_speedup_vs_exact_batch16": round(qps_batch / exact.qps_batch, 2),
        **under_filters,
    }


def measure_sizes(
    bundle: Path, shop: Path, sizes: Sequence[str], build_threads: int, console: Console
) -> tuple[dict[str, Any], dict[str, str]]:
    """Figures of dense search at several of `SIZES`, and the meaning of each."""
    originals = np.load(bundle / "index" / "vectors.npy").astype(np.float32)
    queries = real_queries(bundle, shop)
    figures: dict[str, Any] = {}
    meanings: dict[str, str] = {}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder, console.status(f"dense, {size} vectors"):
            measured = measure_dense(originals, queries, SIZES[size], Path(folder), build_threads)
        console.print(f"{size}: {measured}", highlight=False)
        figures |= {f"{name}_{size}": value for name, value in measured.items()}
        meanings |= {f"{name}_{size}": f"{text}, {size} vectors" for name, text in MEANINGS.items()}
    if {"10k", "1m"} <= set(sizes):
        figures[RATIO] = round(figures["dense_p50_ms_1m"] / figures["dense_p50_ms_10k"], 2)
        meanings[RATIO] = "dense_p50_ms at 1M over that at 10k"
    return figures, meanings


def plot_sizes(figures: dict[str, Any], sizes: Sequence[str]) -> dict[str, Any]:
    """Throughput and latency by size."""
    plot, (left, right) = plt.subplots(1, 2, figsize=(10, 3))
    for name, label in (("dense_qps", "index"), ("exact_qps", "exact float32")):
        left.loglog([SIZES[size] for size in sizes], [figures[f"{name}_{size}"] for size in sizes], "o-", label=label)
    left.set_xlabel("vectors")
    left.set_ylabel("requests/s, one at a time")
    left.legend()
    for name in ("dense_p50_ms", "dense_p99_ms"):
        right.semilogx([SIZES[size] for size in sizes], [figures[f"{name}_{size}"] for size in sizes], "o-", label=name)
    right.set_xlabel("vectors")
    right.set_ylabel("ms, one request")
    right.legend()
    return {"Dense search by size of the catalogue, one thread": plot}
