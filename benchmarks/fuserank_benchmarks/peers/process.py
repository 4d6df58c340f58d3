"""Processes of the peers: started, waited for, and stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

START_SECONDS = 120.0
LOG_TAIL = 3_000  # characters of a process's log in an error's message


class PeerError(RuntimeError):
    """A peer does not start; the message holds the end of its log."""


@dataclass(frozen=True)
class PeerProcess:
    """A process and the file that it logs to."""

    process: subprocess.Popen[bytes]
    log: Path


def exit_on_sigterm() -> None:
    """Makes SIGTERM raise SystemExit, so that started processes are stopped."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(f"ended by signal {number}"))


@contextmanager
def run_process(command: list[str], environment: dict[str, str]) -> Iterator[PeerProcess]:
    """Runs a command beside this process, and stops it at the end of the block.

    Args:
        command: Program and arguments.
        environment: Variables added to those of this process.
    """
    with tempfile.TemporaryDirectory(prefix="fuserank-peer-") as folder:
        log = Path(folder) / "log"
        # The model folders are complete: nothing is to be looked up at a hub.
        offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "NO_COLOR": "1"}
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **offline, **environment},
                start_new_session=True,  # its workers are stopped with it, by their group
            )
        try:
            yield PeerProcess(process, log)
        finally:
            _stop(process)


async def wait_until_healthy(peer: PeerProcess, url: str) -> None:
    """Waits until a URL answers with 200.

    Raises:
        PeerError: The process ends before, or takes too long.
    """
    deadline = time.monotonic() + START_SECONDS
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
        while True:
            if (code := peer.process.poll()) is not None:
                raise PeerError(f"{url}: the process ended with {code}; its log ends with:\n{_tail(peer.log)}")
            try:
                async with session.get(url) as reply:
                    if reply.status == 200:
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass
            if time.monotonic() > deadline:
                raise PeerError(f"{url}: not ready after {START_SECONDS:.0f} s; its log ends with:\n{_tail(peer.log)}")
            await asyncio.sleep(0.1)


def free_port() -> int:
    """A port that no process listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _tail(log: Path) -> str:
    return log.read_text("utf-8", "replace")[-LOG_TAIL:]
