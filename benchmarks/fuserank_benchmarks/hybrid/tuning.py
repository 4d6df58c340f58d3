"""Finds the LanceDB peer's best settings: those that rank best, and among these the fastest.

First a ranker is trained for each kind of table, and judged on held-out searches of the window before the judged one.
Then index, processes and depth are tried for speed, each varied from the best so far.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp

from fuserank_benchmarks.hybrid.peer import LanceFolder, LanceTuning, run_lance
from fuserank_benchmarks.peers.closed_loop import run_closed_loop
from fuserank_benchmarks.peers.process import PeerError

TABLES = (LanceTuning("texts"), LanceTuning("texts", stem=False), LanceTuning("items"))
INDEXES = ("flat", "ivf_flat", "hnsw_sq")

TOLERANCE = 0.005  # of nDCG@10, within which the faster setting is taken
CALLERS = 16
Announce = Callable[[str], None]


@dataclass(frozen=True)
class Trial:
    """How fast a setting was.

    Attributes:
        tuning: The settings.
        per_second: Answers a second of `CALLERS` callers; 0 where it does not run.
        error: Why it does not run.
    """

    tuning: LanceTuning
    per_second: float
    error: str = ""


@dataclass(frozen=True)
class Tuned:
    """What tuning found.

    Attributes:
        best: The settings to compare with.
        ndcg: nDCG@10 on held-out searches by table (`LanceTuning.model_file` without its ending) and depth.
        trials: All settings that were tried for speed.
    """

    best: LanceTuning
    ndcg: dict[str, dict[str, float]]
    trials: list[Trial]

    def write(self, path: Path) -> None:
        """Writes it as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2), "utf-8")

    @classmethod
    def read(cls, path: Path) -> Tuned:
        """Reads what `write` has written."""
        read: dict[str, Any] = json.loads(path.read_text("utf-8"))
        trials = [Trial(LanceTuning(**trial.pop("tuning")), **trial) for trial in read["trials"]]
        return cls(LanceTuning(**read["best"]), read["ndcg"], trials)


def good_enough(ndcg: dict[str, dict[str, float]]) -> dict[str, int]:
    """The smallest depth of each table whose nDCG@10 is within `TOLERANCE` of the best of all; others are left out."""
    best = max(value for by_depth in ndcg.values() for value in by_depth.values())
    depths: dict[str, int] = {}
    for table, by_depth in ndcg.items():
        kept = [int(depth) for depth, value in by_depth.items() if value >= best - TOLERANCE]
        if kept:
            depths[table] = min(kept)
    return depths


def tune(folder: LanceFolder, requests: Sequence[tuple[str, str]], seconds: float, announce: Announce) -> Tuned:
    """Tries the peer's settings.

    Args:
        folder: Its inputs and its environment.
        requests: Queries and users.
        seconds: Length of each trial of speed.
        announce: Called with a line before and after each step.

    Raises:
        PeerError: No setting runs.
    """
    folder.build(*TABLES)
    ndcg: dict[str, dict[str, float]] = {}
    for table in TABLES:
        announce(f"LanceDB: training on {table.rows}, stem {table.stem}")
        figures = folder.train(table)
        ndcg[_table_name(table)] = figures["ndcg_at_10"]
        announce(f"LanceDB: {_table_name(table)}: {figures}")
    depths = good_enough(ndcg)
    tables = [replace(table, depth=depths[_table_name(table)]) for table in TABLES if _table_name(table) in depths]
    trials: list[Trial] = []

    def try_all(tunings: Iterator[LanceTuning]) -> LanceTuning:
        for tuning in tunings:
            folder.build(tuning)
            trials.append(asyncio.run(_try(tuning, folder, requests, seconds)))
            announce(f"{trials[-1].per_second:.1f}/s: {tuning.describe()} {trials[-1].error}")
        return fastest(trials)

    try_all(replace(table, index=index) for table in tables for index in INDEXES)
    try_all(variants(fastest(trials)))
    return Tuned(fastest(trials), ndcg, trials)


def variants(best: LanceTuning) -> Iterator[LanceTuning]:
    """Processes, threads and batches varied from the best so far."""
    yield replace(best, threads=1)
    yield replace(best, threads=1, workers=2)  # a process a core
    yield replace(best, batch=4)
    if best.index != "flat":
        yield replace(best, nprobes=5)


def fastest(trials: Sequence[Trial]) -> LanceTuning:
    """The settings of the fastest trial.

    Raises:
        PeerError: None runs.
    """
    if not any(trial.per_second for trial in trials):
        raise PeerError("no setting of LanceDB runs:\n" + "\n".join(trial.error for trial in trials))
    return max(trials, key=lambda trial: trial.per_second).tuning


async def _try(tuning: LanceTuning, folder: LanceFolder, requests: Sequence[tuple[str, str]], seconds: float) -> Trial:
    try:
        async with run_lance(tuning, folder) as peer:
            measured = await run_closed_loop(peer.search, requests, 0, CALLERS, seconds)
    except (PeerError, aiohttp.ClientError, ExceptionGroup) as error:
        return Trial(tuning, 0.0, str(error))
    return Trial(tuning, round(measured.per_second, 1))


def _table_name(table: LanceTuning) -> str:
    return table.model_file.removesuffix(".txt")
