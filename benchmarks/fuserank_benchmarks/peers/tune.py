"""Tries each HTTP peer's settings for some seconds and keeps the fastest: a peer that is badly set up proves nothing.

The grid is of what matters on a small machine: torch or ONNX, threads against processes, batch size, FAISS flat or IVF.
The first pass varies backend, threads and processes; the second the batch and the index of its best.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console

from fuserank_benchmarks.load.questions import Load
from fuserank_benchmarks.peers.closed_loop import closed_loop
from fuserank_benchmarks.peers.peer import Kind, Tuning, running
from fuserank_benchmarks.peers.process import PeerError, exit_on_sigterm

KINDS: tuple[Kind, ...] = ("infinity", "sbert")
CONCURRENCY = 8
RERANK = 16


@dataclass(frozen=True)
class Trial:
    """How fast a setting was.

    Attributes:
        tuning: The setting.
        per_second: Answers a second at concurrency 8, by pairs reranked; empty where it does not run.
        p50_ms: At concurrency 1, likewise.
        error: Why it does not run.
    """

    tuning: Tuning
    per_second: dict[int, float] = field(default_factory=dict)
    p50_ms: dict[int, float] = field(default_factory=dict)
    error: str = ""


def first_pass(kind: Kind) -> Iterator[Tuning]:
    """Backends, and threads against processes."""
    for backend in ("torch", "onnx"):
        yield Tuning(kind, backend, backend)
        if kind == "sbert":
            yield Tuning(kind, backend, backend, threads=1, workers=2)  # a process a core
    if kind == "infinity":
        # Its ONNX engine takes every core, whatever it is told; its torch engine heeds the number of threads.
        yield Tuning(kind, "torch", "torch", threads=1)
        yield Tuning(kind, "onnx", "torch")


def second_pass(fastest: Tuning) -> Iterator[Tuning]:
    """Batch sizes and FAISS's index around the best of the first pass."""
    for batch in (8, 64) if fastest.kind == "infinity" else (2, 8):
        yield replace(fastest, batch=batch)
    yield replace(fastest, index="ivf")


def better(first: Trial, again: Trial) -> Trial:
    """One setting measured twice, by the better of each figure: what else runs on a machine can only slow it down."""
    if not first.per_second or not again.per_second:
        return first if first.per_second else again
    return Trial(
        first.tuning,
        {rerank: max(value, again.per_second[rerank]) for rerank, value in first.per_second.items()},
        {rerank: min(value, again.p50_ms[rerank]) for rerank, value in first.p50_ms.items()},
    )


def best(trials: Sequence[Trial], rerank: int, alone: bool = False) -> Trial:
    """The one that answers most, or soonest.

    Args:
        trials: Every setting that was tried.
        rerank: Pairs that are reranked.
        alone: Soonest, one question at a time.

    Raises:
        PeerError: Where none runs.
    """
    usable = [trial for trial in trials if rerank in trial.per_second]
    if not usable:
        raise PeerError("no setting of the peer runs:\n" + "\n".join(trial.error for trial in trials))
    if alone:
        return min(usable, key=lambda trial: trial.p50_ms[rerank])
    return max(usable, key=lambda trial: trial.per_second[rerank])


async def tried(
    tuning: Tuning, inputs: Path, environments: Path, questions: Sequence[tuple[str, str]], seconds: float
) -> Trial:
    """Runs one setting for some seconds at each concurrency, first without and then with reranking."""
    trial = Trial(tuning)
    try:
        async with running(tuning, inputs, environments) as peer:
            for rerank in (0, RERANK):
                many = await closed_loop(peer.ask, questions, rerank, CONCURRENCY, seconds)
                one = await closed_loop(peer.ask, questions, rerank, 1, seconds / 2)
                trial.per_second[rerank], trial.p50_ms[rerank] = round(many.per_second, 1), round(one.p50_ms, 2)
    except (PeerError, aiohttp.ClientError, ExceptionGroup) as error:
        return Trial(tuning, error=f"{tuning.described()}: {error}")
    return trial


async def tune(
    kind: Kind,
    inputs: Path,
    environments: Path,
    questions: Sequence[tuple[str, str]],
    seconds: float = 2.0,
    rounds: int = 1,
    done: Callable[[Trial], None] = lambda trial: None,
) -> list[Trial]:
    """Tries a peer's settings.

    Args:
        kind: Which peer.
        inputs: What `prepare` has written, the text tower too.
        environments: The folder of the peers' virtual environments.
        questions: Queries and users.
        seconds: Of each trial at concurrency 8; half of it at 1.
        rounds: How often each setting is tried, by turns.
        done: Told of each trial.

    Returns:
        Every trial; `best` takes the fastest.
    """
    trials: dict[Tuning, Trial] = {}

    async def each(tunings: tuple[Tuning, ...]) -> None:
        for tuning in tunings * rounds:
            trial = await tried(tuning, inputs, environments, questions, seconds)
            done(trial)
            trials[tuning] = better(trials.get(tuning, trial), trial)

    await each(tuple(first_pass(kind)))
    await each(tuple(second_pass(best(tuple(trials.values()), RERANK).tuning)))
    return list(trials.values())


def main() -> None:
    """Tries the peers' settings, with and without reranking, and writes all of them and the best."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=Path, required=True)
    parser.add_argument("--environments", type=Path, required=True)
    parser.add_argument("--shop", type=Path, required=True, help="folder of the catalogue's and log's Parquet files")
    parser.add_argument("--peer", choices=KINDS, action="append", help="only this one; the file keeps the other's")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=1, help="more where something else runs on the machine")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    exit_on_sigterm()
    load = Load.of_shop(arguments.shop)
    questions = list(zip(load.queries, load.users, strict=True))
    console = Console(width=160)

    def show(trial: Trial) -> None:
        measured = " ".join(f"[{r}] {v}/s {trial.p50_ms[r]} ms" for r, v in trial.per_second.items())
        console.print(f"{measured}: {trial.tuning.described()} {trial.error}", markup=False, highlight=False)

    chosen: dict[str, Any] = json.loads(arguments.out.read_text("utf-8")) if arguments.out.exists() else {}
    for kind in arguments.peer or KINDS:
        trials = asyncio.run(
            tune(
                kind,
                arguments.inputs,
                arguments.environments,
                questions,
                arguments.seconds,
                arguments.rounds,
                show,
            )
        )
        for rerank in (0, RERANK):
            chosen[f"{kind}_{rerank}"] = asdict(best(trials, rerank))
            chosen[f"{kind}_{rerank}_alone"] = asdict(best(trials, rerank, alone=True))
        chosen[f"{kind}_trials"] = [asdict(trial) for trial in trials]
        arguments.out.write_text(json.dumps(chosen, indent=2), "utf-8")


if __name__ == "__main__":
    main()
