"""Tries each HTTP peer's settings for some seconds and keeps the fastest: a peer that is badly set up proves nothing.

The grid is of what matters on a small machine: torch or ONNX, threads against processes, batch size, FAISS flat or IVF.
The first pass varies backend, threads and processes; the second the batch and the index of its best.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console

from peers.closed_loop import closed_loop
from peers.peer import Kind, Tuning, running
from peers.process import PeerError

CONCURRENCY = 8
RERANK = 16


@dataclass(frozen=True)
class Trial:
    """How fast a setting was.

    Attributes:
        tuning: The setting.
        per_second: Answers a second at concurrency 8; 0 where it does not run.
        p50_ms: At concurrency 1.
        error: Why it does not run.
    """

    tuning: Tuning
    per_second: float
    p50_ms: float
    error: str = ""


def first_pass(kind: Kind) -> Iterator[Tuning]:
    """Backends, threads and processes."""
    for backend in ("torch", "onnx"):
        for threads in (1, 2):
            yield Tuning(kind, backend, backend, threads, 1)
        if kind == "sbert":
            yield Tuning(kind, backend, backend, 1, 2)  # a process a core


def second_pass(best: Tuning) -> Iterator[Tuning]:
    """Batch sizes and FAISS's index around the best of the first pass."""
    yield replace(best, batch=8 if best.kind == "infinity" else 1)
    yield replace(best, batch=64 if best.kind == "infinity" else 4)
    yield replace(best, index="ivf")


def best(trials: Sequence[Trial]) -> Trial:
    """The one that answers most.

    Raises:
        PeerError: Where none runs.
    """
    fastest = max(trials, key=lambda trial: trial.per_second)
    if not fastest.per_second:
        raise PeerError("no setting of the peer runs:\n" + "\n".join(trial.error for trial in trials))
    return fastest


async def tried(
    tuning: Tuning, inputs: Path, environments: Path, questions: Sequence[tuple[str, str]], rerank: int, seconds: float
) -> Trial:
    """Runs one setting for some seconds at each concurrency."""
    try:
        async with running(tuning, inputs, environments) as peer:
            many = await closed_loop(peer.ask, questions, rerank, CONCURRENCY, seconds)
            one = await closed_loop(peer.ask, questions, rerank, 1, seconds / 2)
            return Trial(tuning, round(many.per_second, 1), round(one.p50_ms, 2))
    except (PeerError, ExceptionGroup) as error:
        return Trial(tuning, 0.0, 0.0, f"{tuning.described()}: {error}")


async def tune(
    kind: Kind,
    inputs: Path,
    environments: Path,
    questions: Sequence[tuple[str, str]],
    rerank: int = RERANK,
    seconds: float = 4.0,
) -> list[Trial]:
    """Tries a peer's settings.

    Args:
        kind: Which peer.
        inputs: What `prepare` has written.
        environments: The folder of the peers' virtual environments.
        questions: Queries and users.
        rerank: Pairs that the cross-encoder reads; 0 only searches.
        seconds: Of each trial at concurrency 8; half of it at 1.

    Returns:
        Every trial; `best` takes the fastest.
    """
    trials: list[Trial] = []
    for tuning in first_pass(kind):
        trials.append(await tried(tuning, inputs, environments, questions, rerank, seconds))
    for tuning in second_pass(best(trials).tuning):
        trials.append(await tried(tuning, inputs, environments, questions, rerank, seconds))
    return trials


def main() -> None:
    """Tries both peers' settings, with and without reranking, and writes the best."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=Path, required=True)
    parser.add_argument("--environments", type=Path, required=True)
    parser.add_argument("--questions", type=Path, required=True, help="JSON: a list of [query, user]")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    questions = [(query, user) for query, user in json.loads(arguments.questions.read_text("utf-8"))]
    console = Console(width=160)
    chosen = {}
    kinds: tuple[Kind, ...] = ("infinity", "sbert")
    for kind in kinds:
        for name, rerank in (("search", 0), ("rerank", RERANK)):
            trials = asyncio.run(
                tune(kind, arguments.inputs, arguments.environments, questions, rerank, arguments.seconds)
            )
            for trial in trials:
                console.print(
                    f"{name} {trial.per_second}/s, {trial.p50_ms} ms: {trial.tuning.described()} {trial.error}"
                )
            chosen[f"{kind}_{name}"] = asdict(best(trials))
            arguments.out.write_text(json.dumps(chosen, indent=2), "utf-8")


if __name__ == "__main__":
    main()
