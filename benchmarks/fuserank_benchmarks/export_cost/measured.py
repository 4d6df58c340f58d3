"""Runs one export as a process of its own, and measures its time and its memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil

SAMPLE_SECONDS = 0.5
MIB = 2**20


class ProcessCost(NamedTuple):
    """What a process took.

    Attributes:
        seconds: From its start to its end.
        cpu_seconds: Of all its threads and processes.
        peak_mib: Most memory of the process and its children at one time, pages that they share counted once.
        peak_anonymous_mib: Most of it that is no mapped file: what the system cannot take back.
        other_cores: How many cores other processes of the machine kept busy meanwhile, on average.
    """

    seconds: float
    cpu_seconds: float
    peak_mib: float
    peak_anonymous_mib: float
    other_cores: float


@dataclass(frozen=True)
class MeasuredExport:
    """One export and its cost.

    Attributes:
        cost: Of its process and the children.
        steps: Seconds of each step, as the manifest says.
        quality: How much its ranker learned from, as the manifest says.
        bundle: The bundle's id.
    """

    cost: ProcessCost
    steps: dict[str, float]
    quality: str
    bundle: str


def measure_process(command: Sequence[str], log: Path) -> ProcessCost:
    """Runs a command, whose output goes to a file.

    Args:
        command: The program and its arguments.
        log: The file.

    Raises:
        SystemExit: The command failed; its last lines are the message.
    """
    peak, anonymous = 0, 0
    started, busy = time.perf_counter(), _busy_seconds()
    with log.open("wb") as output:
        process = psutil.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            sampled, of_it = _tree_memory(process)
            peak, anonymous = max(peak, sampled), max(anonymous, of_it)
            time.sleep(SAMPLE_SECONDS)
        _, status, usage = os.wait4(process.pid, 0)
    seconds, busy = time.perf_counter() - started, _busy_seconds() - busy
    cpu_seconds = usage.ru_utime + usage.ru_stime
    if status:
        raise SystemExit(f"{' '.join(command)}: ended with {os.waitstatus_to_exitcode(status)}\n{_last_lines(log)}")
    return ProcessCost(seconds, cpu_seconds, peak / MIB, anonymous / MIB, max(busy - cpu_seconds, 0.0) / seconds)


def measure_export(arguments: Sequence[str], out: Path) -> MeasuredExport:
    """Runs `fuserank export bundle` with some arguments, which must write to `out`."""
    command = [sys.executable, "-m", "fuserank_export", "bundle", *arguments, "--out", str(out), "--force"]
    cost = measure_process(command, out.with_name(f"{out.name}.log"))
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    return MeasuredExport(cost, manifest["export_steps"], manifest["inputs"]["quality"], manifest["id"])


@contextmanager
def busy_neighbour() -> Iterator[None]:
    """Keeps one core busy while the block runs."""
    neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        neighbour.kill()
        neighbour.wait()


def _busy_seconds() -> float:
    """CPU seconds that all processes of the machine have had since it started."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)  # guests are in `user`


def _tree_memory(process: psutil.Process) -> tuple[int, int]:
    """Bytes of a process and its children, shared pages once: all, and of them what is no mapped file."""
    total, anonymous = 0, 0
    for member in (process, *_children(process)):
        try:
            lines = Path(f"/proc/{member.pid}/smaps_rollup").read_text("ascii").splitlines()[1:]
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            continue
        sizes = {name: int(size.split()[0]) * 1024 for name, size in (line.split(":") for line in lines)}
        total += sizes.get("Pss", 0)
        anonymous += sizes.get("Pss_Anon", 0)  # psutil sums it up with mapped files
    return total, anonymous


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-12:])
