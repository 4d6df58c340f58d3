"""The machine's ceiling: throughput of the graph's engines alone in ONNX Runtime, and memory bandwidth.

The engines are those that the server runs, on the tensors that the graph gives them for real requests, in one process
without tokenising, retrieval, fusion or hops.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_benchmarks.inputs.queries import Load
from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.engine import open_session, padded_length, trim_tokens
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.graph.tensors import concatenate

BATCHES = (1, 2, 4, 8, 16, 32)
REQUESTS = 64
BANDWIDTH_BYTES = 256 * 2**20  # far more than any cache holds
Feeds = dict[str, NDArray[Any]]  # an engine's inputs by name
RequestFeeds = list[dict[str, Feeds]]  # for each request the feeds of each engine


@dataclass(frozen=True)
class Setting:
    """How the engines are run: `workers` threads of the process, each with sessions of `threads` threads."""

    threads: int
    workers: int
    batch: int


@dataclass(frozen=True)
class Ceiling:
    """Speed of the engines alone.

    Attributes:
        setting: The fastest setting.
        per_second: Its requests a second.
        by_setting: Requests a second of each setting.
        alone_ms: Median milliseconds of all engines, one request at a time, with the best number of threads.
    """

    setting: Setting
    per_second: float
    by_setting: dict[str, float]
    alone_ms: float


def engine_feeds(bundle: Bundle, load: Load, count: int = REQUESTS) -> RequestFeeds:
    """The engines' inputs for the first requests of a load, as the graph's own stages make them in this process."""
    graph = LocalGraph(bundle)
    feeds = []
    for query, user in list(zip(load.queries, load.users, strict=True))[:count]:
        inputs = dict(graph.trace([(query, user, {})]))
        request = {"encoder": trim_tokens(inputs["encoder"]), "ranker": inputs["ranker"]}
        if "text_tower" in inputs:
            request["text_tower"] = distinct_pairs(inputs["text_tower"], bundle.spec.pair_pad_token_id)
        feeds.append(request)
    return feeds


def distinct_pairs(tensors: Feeds, pad: int) -> Feeds:
    """The text tower's input `[1, pairs, length]` of one request without padding and repetitions."""
    ids, types = tensors["PAIR_IDS"][0], tensors["PAIR_TYPES"][0]
    length = padded_length(ids != pad)
    rows = np.unique(np.concatenate([ids[:, :length], types[:, :length]], axis=1)[(ids != pad).any(1)], axis=0)
    return {"PAIR_IDS": rows[None, :, :length], "PAIR_TYPES": rows[None, :, length:]}


def batch_feeds(requests: RequestFeeds, batch: int) -> Iterator[dict[str, Feeds]]:
    """Batches of requests with tensors of equal shapes, engine by engine, as the server may join them.

    Every request is in a batch; the last of each shape may be smaller, so that no setting gets fewer requests.
    """
    groups: dict[str, list[list[Feeds]]] = {}
    for name in requests[0]:
        by_shape: dict[tuple[tuple[int, ...], ...], list[Feeds]] = {}
        for request in requests:
            by_shape.setdefault(tuple(array.shape[1:] for array in request[name].values()), []).append(request[name])
        groups[name] = [rows[i : i + batch] for rows in by_shape.values() for i in range(0, len(rows), batch)]
    for number in range(max(len(batches) for batches in groups.values())):
        yield {
            name: {tensor: concatenate([row[tensor] for row in batches[number]]) for tensor in batches[number][0]}
            for name, batches in groups.items()
            if number < len(batches)
        }


class BareEngines:
    """The engines of a bundle in one process.

    Args:
        bundle: The bundle.
        requests: The engines' inputs.
    """

    def __init__(self, bundle: Bundle, requests: RequestFeeds) -> None:
        self._bundle, self._requests = bundle, requests
        self._sessions: dict[tuple[int, int], list[dict[str, Any]]] = {}

    def per_second(self, setting: Setting, seconds: float) -> float:
        """Requests a second of a setting, after one round that warms up."""
        workers = self._open_sessions(setting.threads, setting.workers)
        batches = list(batch_feeds(self._requests, setting.batch))

        def run_until(sessions: dict[str, Any], end: float) -> int:
            done = 0
            while not done or time.perf_counter() < end:
                for batch in batches:
                    for name, feeds in batch.items():
                        sessions[name].run(None, feeds)
                done += len(self._requests)
            return done

        with ThreadPoolExecutor(setting.workers) as threads:
            list(threads.map(lambda sessions: run_until(sessions, 0), workers))
            started = time.perf_counter()
            done = sum(threads.map(lambda sessions: run_until(sessions, started + seconds), workers))
            return done / (time.perf_counter() - started)

    def alone_ms(self, threads: int, rounds: int = 2) -> float:
        """Median milliseconds of all engines on one request at a time."""
        (sessions,) = self._open_sessions(threads, 1)
        times = []
        for _ in range(1 + rounds):
            for request in self._requests:
                started = time.perf_counter()
                for name, feeds in request.items():
                    sessions[name].run(None, feeds)
                times.append((time.perf_counter() - started) * 1e3)
        return float(np.median(times[len(self._requests) :]))

    def find_ceiling(self, seconds: float = 1.0, batch_sizes: Sequence[int] = BATCHES, cores: int = 2) -> Ceiling:
        """Tries every way of using the cores with every batch size, each for some seconds."""
        ways = [(1, 1), (cores, 1), (1, cores)] if cores > 1 else [(1, 1)]
        settings = [Setting(threads, workers, batch) for threads, workers in ways for batch in batch_sizes]
        per_second = {setting: self.per_second(setting, seconds) for setting in settings}
        fastest = max(per_second, key=lambda setting: per_second[setting])
        by_setting = {
            f"threads {setting.threads} x {setting.workers}, batch {setting.batch}": round(value, 1)
            for setting, value in per_second.items()
        }
        alone = min(self.alone_ms(threads) for threads in sorted({1, cores}))
        return Ceiling(fastest, per_second[fastest], by_setting, alone)

    def _open_sessions(self, threads: int, workers: int) -> list[dict[str, Any]]:
        if (threads, workers) not in self._sessions:
            # Sessions of one setting at a time: idle threads of others keep memory, and spinning ones keep cores.
            self._sessions = {
                (threads, workers): [
                    {
                        name: open_session(self._bundle.engine(name), {"intra_op_thread_count": str(threads)})
                        for name in self._requests[0]
                    }
                    for _ in range(workers)
                ]
            }
        return self._sessions[threads, workers]


def copy_gigabytes_per_second(size: int = BANDWIDTH_BYTES, rounds: int = 5) -> float:
    """Memory bandwidth of one thread: bytes read and written by a copy, as STREAM counts them; the best of 5 rounds."""
    source, target = np.ones(size // 8), np.empty(size // 8)
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        np.copyto(target, source)
        seconds.append(time.perf_counter() - started)
    return 2 * source.nbytes / min(seconds) / 1e9


def dense_bytes(bundle: Bundle) -> int | None:
    """Bytes that one dense search reads: all vectors, or all codes; None for indexes that read varying parts."""
    dense, dim = bundle.manifest["search"]["dense"], bundle.spec.embedding_dim
    bytes_per_vector = {"flat": 2 * dim, "pq": dim // 4}.get(dense["kind"])
    return None if bytes_per_vector is None else int(dense["vectors"]) * bytes_per_vector
