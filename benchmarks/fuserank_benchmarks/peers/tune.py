"""Tries each HTTP peer's settings for some seconds and keeps the fastest, so that no peer is measured badly set up.

The grid holds what matters on a small machine: torch or ONNX, threads or processes, batch size, FAISS flat or IVF. The
first pass varies backend, threads and processes; the second varies batch and index of the best of the first.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console

from fuserank_benchmarks.inputs.queries import Load
from fuserank_benchmarks.peers.closed_loop import run_closed_loop
from fuserank_benchmarks.peers.kinds import Kind
from fuserank_benchmarks.peers.peer import Tuning, run_peer
from fuserank_benchmarks.peers.process import PeerError, exit_on_sigterm

CONCURRENCY = 8
RERANK = 16


@dataclass(frozen=True)
class Trial:
    """How fast a setting was.

    Attributes:
        tuning: The settings.
        per_second: Answers a second at concurrency 8, by pairs reranked; empty where it does not run.
        p50_ms: Median latency at concurrency 1, by pairs reranked; empty where it does not run.
        error: Why it does not run.
    """

    tuning: Tuning
    per_second: dict[int, float] = field(default_factory=dict)
    p50_ms: dict[int, float] = field(default_factory=dict)
    error: str = ""


def first_pass(kind: Kind) -> Iterator[Tuning]:
    """Backends, and threads or processes."""
    for backend in ("torch", "onnx"):
        yield Tuning(kind, backend, backend)
        if kind == "sbert":
            yield Tuning(kind, backend, backend, threads=1, workers=2)  # a process a core
    if kind == "infinity":
        # Its ONNX engine takes every core whatever the setting; its torch engine keeps to the number of threads.
        yield Tuning(kind, "torch", "torch", threads=1)
        yield Tuning(kind, "onnx", "torch")


def second_pass(fastest: Tuning) -> Iterator[Tuning]:
    """Batch sizes and FAISS's index, varied from the best of the first pass."""
    for batch in (8, 64) if fastest.kind == "infinity" else (2, 8):
        yield replace(fastest, batch=batch)
    yield replace(fastest, index="ivf")


def best_figures(first: Trial, second: Trial) -> Trial:
    """Two trials of one setting as one, with the better of each figure: other work can only slow a trial down."""
    if not first.per_second or not second.per_second:
        return first if first.per_second else second
    return Trial(
        first.tuning,
        {rerank: max(value, second.per_second[rerank]) for rerank, value in first.per_second.items()},
        {rerank: min(value, second.p50_ms[rerank]) for rerank, value in first.p50_ms.items()},
    )


def fastest_trial(trials: Sequence[Trial], rerank: int, alone: bool = False) -> Trial:
    """The trial with the highest throughput, or the lowest latency.

    Args:
        trials: Trials of different settings.
        rerank: Pairs that are reranked.
        alone: Whether to choose by the latency of one request at a time.

    Raises:
        PeerError: No setting runs.
    """
    usable = [trial for trial in trials if rerank in trial.per_second]
    if not usable:
        raise PeerError("no setting of the peer runs:\n" + "\n".join(trial.error for trial in trials))
    if alone:
        return min(usable, key=lambda trial: trial.p50_ms[rerank])
    return max(usable, key=lambda trial: trial.per_second[rerank])


async def run_trial(
    tuning: Tuning, inputs: Path, environments: Path, requests: Sequence[tuple[str, str]], seconds: float
) -> Trial:
    """Runs one setting for some seconds at each concurrency, first without and then with reranking."""
    trial = Trial(tuning)
    try:
        async with run_peer(tuning, inputs, environments) as peer:
            for rerank in (0, RERANK):
                busy = await run_closed_loop(peer.search, requests, rerank, CONCURRENCY, seconds)
                alone = await run_closed_loop(peer.search, requests, rerank, 1, seconds / 2)
                trial.per_second[rerank], trial.p50_ms[rerank] = round(busy.per_second, 1), round(alone.p50_ms, 2)
    except (PeerError, aiohttp.ClientError, ExceptionGroup) as error:
        return Trial(tuning, error=f"{tuning.describe()}: {error}")
    return trial


async def tune(
    kind: Kind,
    inputs: Path,
    environments: Path,
    requests: Sequence[tuple[str, str]],
    seconds: float = 2.0,
    rounds: int = 1,
    on_trial: Callable[[Trial], None] = lambda trial: None,
) -> list[Trial]:
    """Tries a peer's settings.

    Args:
        kind: Which peer.
        inputs: Folder that `prepare` has written, with a text tower.
        environments: The folder of the peers' virtual environments.
        requests: Queries and users.
        seconds: Length of each trial at concurrency 8; half of it at 1.
        rounds: How often each setting is tried, in turn with the others.
        on_trial: Called with each trial.

    Returns:
        One trial for each setting; see `fastest_trial`.
    """
    trials: dict[Tuning, Trial] = {}

    async def run_all(tunings: tuple[Tuning, ...]) -> None:
        for tuning in tunings * rounds:
            trial = await run_trial(tuning, inputs, environments, requests, seconds)
            on_trial(trial)
            trials[tuning] = best_figures(trials.get(tuning, trial), trial)

    await run_all(tuple(first_pass(kind)))
    await run_all(tuple(second_pass(fastest_trial(tuple(trials.values()), RERANK).tuning)))
    return list(trials.values())


def write_tuning(
    inputs: Path, environments: Path, shop: Path, out: Path, kinds: Sequence[Kind], seconds: float, rounds: int
) -> None:
    """Tries the peers' settings, and writes all trials and the fastest with and without reranking.

    Args:
        inputs: Folder that `prepare` has written.
        environments: The folder of the peers' virtual environments.
        shop: Folder of the catalogue's and the log's Parquet files.
        out: JSON file; what it holds of other peers is kept.
        kinds: The peers to tune.
        seconds: See `tune`.
        rounds: See `tune`.
    """
    exit_on_sigterm()
    load = Load.of_shop(shop)
    requests = list(zip(load.queries, load.users, strict=True))
    console = Console(width=160)

    def print_trial(trial: Trial) -> None:
        figures = " ".join(f"[{rerank}] {v}/s {trial.p50_ms[rerank]} ms" for rerank, v in trial.per_second.items())
        console.print(f"{figures}: {trial.tuning.describe()} {trial.error}", markup=False, highlight=False)

    chosen: dict[str, Any] = json.loads(out.read_text("utf-8")) if out.exists() else {}
    for kind in kinds:
        trials = asyncio.run(tune(kind, inputs, environments, requests, seconds, rounds, print_trial))
        for rerank in (0, RERANK):
            chosen[f"{kind}_{rerank}"] = asdict(fastest_trial(trials, rerank))
            chosen[f"{kind}_{rerank}_alone"] = asdict(fastest_trial(trials, rerank, alone=True))
        chosen[f"{kind}_trials"] = [asdict(trial) for trial in trials]
        out.write_text(json.dumps(chosen, indent=2), "utf-8")
