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

import psutil

SAMPLE_SECONDS = 0.5
MIB = 2**20


@dataclass(frozen=True)
class MeasuredExport:
    """One export's cost.

    Attributes:
        seconds: From the start of the process to its end.
        cpu_seconds: Of all its threads and processes.
        steps: Seconds of each step, as the manifest says.
        peak_mib: Most memory of the process and its children at one time, pages that they share counted once.
        peak_anonymous_mib: Most of it that is no mapped file: what the system cannot take back.
        quality: How much its ranker learned from, as the manifest says.
        bundle: The bundle's id.
    """

    seconds: float
    cpu_seconds: float
    steps: dict[str, float]
    peak_mib: float
    peak_anonymous_mib: float
    quality: str
    bundle: str


def measure_process(command: Sequence[str], log: Path) -> tuple[float, float, float, float]:
    """Runs a command, whose output goes to a file.

    Args:
        command: The program and its arguments.
        log: The file.

    Returns:
        Wall seconds, CPU seconds, peak memory in MiB, and the peak of what is no mapped file in MiB.

    Raises:
        SystemExit: The command failed; its last lines are the message.
    """
    peak, anonymous = 0, 0
    started = time.perf_counter()
    with log.open("wb") as output:
        process = psutil.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            sampled, of_it = _tree_memory(process)
            peak, anonymous = max(peak, sampled), max(anonymous, of_it)
            time.sleep(SAMPLE_SECONDS)
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        raise SystemExit(f"{' '.join(command)}: ended with {os.waitstatus_to_exitcode(status)}\n{_last_lines(log)}")
    return seconds, usage.ru_utime + usage.ru_stime, peak / MIB, anonymous / MIB


def measure_export(arguments: Sequence[str], out: Path) -> MeasuredExport:
    """Runs `fuserank export bundle` with some arguments, which must write to `out`."""
    command = [sys.executable, "-m", "fuserank_export", "bundle", *arguments, "--out", str(out), "--force"]
    seconds, cpu_seconds, peak, anonymous = measure_process(command, out.with_name(f"{out.name}.log"))
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    return MeasuredExport(
        seconds, cpu_seconds, manifest["export_steps"], peak, anonymous, manifest["inputs"]["quality"], manifest["id"]
    )


@contextmanager
def busy_neighbour() -> Iterator[None]:
    """Keeps one core busy while the block runs."""
    neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        neighbour.kill()
        neighbour.wait()


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
