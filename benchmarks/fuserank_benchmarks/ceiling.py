"""What this machine can do at most: the graph's engines bare in ONNX Runtime, and its memory's bandwidth.

The engines are those that the server runs, on the tensors that the graph gives them for real questions; one process,
no tokenising, retrieval, fusion or hops. Run alone it prints what it found.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from fuserank_benchmarks.load.questions import Load
from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.engine import open_session, padded_length, trim_tokens
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.graph.tensors import concatenate

BATCHES = (1, 2, 4, 8, 16, 32)
QUESTIONS = 64
BANDWIDTH_BYTES = 256 * 2**20  # far more than any cache holds
Feeds = dict[str, NDArray[Any]]
Asked = list[dict[str, Feeds]]  # for each question the feeds of each engine


@dataclass(frozen=True)
class Setting:
    """How the engines are run: `workers` threads of the process, each with sessions of `threads` threads."""

    threads: int
    workers: int
    batch: int


@dataclass(frozen=True)
class Ceiling:
    """What the engines do bare.

    Attributes:
        setting: The best of those tried.
        per_second: Requests/s of the best.
        tried: Requests/s of each setting.
        alone_ms: Both engines, one request at a time, best number of threads: median.
    """

    setting: Setting
    per_second: float
    tried: dict[str, float]
    alone_ms: float


def engine_feeds(bundle: Bundle, load: Load, count: int = QUESTIONS) -> Asked:
    """What the graph gives its engines for the first questions, from its own stages in this process."""
    graph = LocalGraph(bundle)
    asked = []
    for query, user in list(zip(load.queries, load.users, strict=True))[:count]:
        inputs = dict(graph.trace([(query, user, {})]))
        feeds = {"encoder": trim_tokens(inputs["encoder"]), "ranker": inputs["ranker"]}
        if "text_tower" in inputs:
            feeds["text_tower"] = distinct_pairs(inputs["text_tower"], bundle.spec.pair_pad_token_id)
        asked.append(feeds)
    return asked


def distinct_pairs(tensors: Feeds, pad: int) -> Feeds:
    """Returns the text tower's input `[1, pairs, length]` of one request without padding and repetitions."""
    ids, types = tensors["PAIR_IDS"][0], tensors["PAIR_TYPES"][0]
    length = padded_length(ids != pad)
    rows = np.unique(np.concatenate([ids[:, :length], types[:, :length]], axis=1)[(ids != pad).any(1)], axis=0)
    return {"PAIR_IDS": rows[None, :, :length], "PAIR_TYPES": rows[None, :, length:]}


def batches(asked: Asked, batch: int) -> Iterator[dict[str, Feeds]]:
    """Full batches of questions whose tensors have equal shapes, engine by engine: as the server may join them.

    A question whose shape too few others have goes alone, so that no setting gets fewer questions.
    """
    queues: dict[str, list[list[Feeds]]] = {}
    for name in asked[0]:
        alike: dict[tuple[tuple[int, ...], ...], list[Feeds]] = {}
        for question in asked:
            alike.setdefault(tuple(each.shape[1:] for each in question[name].values()), []).append(question[name])
        queues[name] = [rows[i : i + batch] for rows in alike.values() for i in range(0, len(rows), batch)]
    for number in range(max(len(each) for each in queues.values())):
        yield {
            name: {tensor: concatenate([row[tensor] for row in each[number]]) for tensor in each[number][0]}
            for name, each in queues.items()
            if number < len(each)
        }


class Bare:
    """The engines of a bundle in one process, in a number of threads each.

    Args:
        bundle: Whose engines.
        asked: What they are given.
    """

    def __init__(self, bundle: Bundle, asked: Asked) -> None:
        self._bundle, self._asked = bundle, asked
        self._sessions: dict[tuple[int, int], list[dict[str, Any]]] = {}

    def per_second(self, setting: Setting, seconds: float) -> float:
        """Requests/s of a setting, after one round that warms up."""
        pools = self._opened(setting.threads, setting.workers)
        work = list(batches(self._asked, setting.batch))

        def turns(sessions: dict[str, Any], until: float) -> int:
            done = 0
            while not done or time.perf_counter() < until:
                for feeds in work:
                    for name, each in feeds.items():
                        sessions[name].run(None, each)
                done += len(self._asked)
            return done

        with ThreadPoolExecutor(setting.workers) as threads:
            list(threads.map(lambda sessions: turns(sessions, 0), pools))
            started = time.perf_counter()
            done = sum(threads.map(lambda sessions: turns(sessions, started + seconds), pools))
            return done / (time.perf_counter() - started)

    def alone_ms(self, threads: int, rounds: int = 2) -> float:
        """All engines on one request at a time: median of milliseconds."""
        (sessions,) = self._opened(threads, 1)
        took = []
        for _ in range(1 + rounds):
            for question in self._asked:
                started = time.perf_counter()
                for name, feeds in question.items():
                    sessions[name].run(None, feeds)
                took.append((time.perf_counter() - started) * 1e3)
        return float(np.median(took[len(self._asked) :]))

    def best(self, seconds: float = 1.0, batch_sizes: Sequence[int] = BATCHES, cores: int = 2) -> Ceiling:
        """Tries every way of using the cores, and batches from one request on."""
        ways = [(1, 1), (cores, 1), (1, cores)] if cores > 1 else [(1, 1)]
        settings = [Setting(threads, workers, batch) for threads, workers in ways for batch in batch_sizes]
        tried = {setting: self.per_second(setting, seconds) for setting in settings}
        best = max(tried, key=lambda setting: tried[setting])
        named = {f"threads {s.threads} x {s.workers}, batch {s.batch}": round(v, 1) for s, v in tried.items()}
        alone = min(self.alone_ms(threads) for threads in sorted({1, cores}))
        return Ceiling(best, tried[best], named, alone)

    def _opened(self, threads: int, workers: int) -> list[dict[str, Any]]:
        if (threads, workers) not in self._sessions:
            # A session's idle threads keep memory, and spinning ones would keep cores: those of one way at a time.
            self._sessions = {
                (threads, workers): [
                    {
                        name: open_session(self._bundle.engine(name), {"intra_op_thread_count": str(threads)})
                        for name in self._asked[0]
                    }
                    for _ in range(workers)
                ]
            }
        return self._sessions[threads, workers]


def copy_gigabytes_per_second(size: int = BANDWIDTH_BYTES, rounds: int = 5) -> float:
    """Memory bandwidth of one thread: bytes read and written by a copy, as STREAM counts them; best of some rounds."""
    source, target = np.ones(size // 8), np.empty(size // 8)
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        np.copyto(target, source)
        seconds.append(time.perf_counter() - started)
    return 2 * source.nbytes / min(seconds) / 1e9


def dense_bytes(bundle: Bundle) -> int | None:
    """Bytes that the scan of a dense search reads: all vectors, or all codes; other kinds read parts that vary."""
    dense, dim = bundle.manifest["search"]["dense"], bundle.spec.embedding_dim
    of_vector = {"flat": 2 * dim, "pq": dim // 4}.get(dense["kind"])
    return None if of_vector is None else int(dense["vectors"]) * of_vector


def main() -> None:
    """Measures a bundle's engines bare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("build/demo"))
    parser.add_argument("--shop", type=Path, default=Path("build/complete-journey"))
    parser.add_argument("--seconds", type=float, default=1.0, help="of each setting")
    arguments = parser.parse_args()
    bundle = Bundle.open(arguments.bundle)
    bare = Bare(bundle, engine_feeds(bundle, Load.of_shop(arguments.shop)))
    found = asdict(bare.best(arguments.seconds))
    found |= {"copy_gb_per_s": copy_gigabytes_per_second(), "dense_bytes": dense_bytes(bundle)}
    Console().print_json(json.dumps(found))


if __name__ == "__main__":
    main()
