"""What tests need to hold on a busy machine: waits by polling, queues that refuse no request for its age, CPU time."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from fuserank_ensemble.bundle import MANIFEST, sha256

Value = TypeVar("Value")
PATIENCE = 120.0  # seconds
_TIMEOUT = re.compile(r"default_timeout_microseconds: \d+")


def wait_until(condition: Callable[[], Value], seconds: float = PATIENCE, pause: float = 0.1) -> Value:
    """Asks until the condition holds, or for as long as anybody would wait; returns its last value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(pause)
    return value


def lengthen_queues(bundle: Path) -> None:
    """Lets requests wait two minutes before each stage of a bundle; by default they are refused after a second.

    Where other processes have the cores, that refuses requests that have nothing to do with what is tested.
    """
    manifest = json.loads((bundle / MANIFEST).read_text("utf-8"))
    for path in (bundle / "model_repository").rglob("*.pbtxt"):
        lengthened = _TIMEOUT.sub(f"default_timeout_microseconds: {PATIENCE * 1e6:.0f}", path.read_text())
        path.unlink()  # another bundle may have it under a second name
        path.write_text(lengthened)
        manifest["files"][str(path.relative_to(bundle))] = sha256(path)
    (bundle / MANIFEST).write_text(json.dumps(manifest), "utf-8")


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time of all threads of some processes so far: unlike the clock's, it leaves out what others computed."""
    threads = (path for pid in pids for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return sum(int(path.read_text().split()[0]) for path in threads) / 1e9
