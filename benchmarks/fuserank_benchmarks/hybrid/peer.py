"""The LanceDB peer: its tables and its ranker made in its own environment, its endpoint started and searched."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from fuserank_benchmarks.peers.peer import PACKAGES
from fuserank_benchmarks.peers.process import PeerError, free_port, run_process, wait_until_healthy

QUIET = {"LANCEDB_LOG": "error"}  # else each search warns of a column that it adds by itself
DEPTH = 800  # candidates of a list that the ranker learns from; it is tried at fewer, too


@dataclass(frozen=True)
class LanceTuning:
    """Settings of the peer.

    Attributes:
        rows: `items`: a row an item; `texts`: a row a distinct text, whose items the endpoint puts in its place.
        index: Of the vectors: `flat` (none), `ivf_flat` or `hnsw_sq`.
        stem: Whether full-text search cuts words to their stems and leaves out stop words.
        nprobes: Partitions that an index reads.
        depth: Candidates of a request.
        threads: Threads of one run of the encoder.
        workers: Processes of the endpoint.
        batch: Queries that one run of the encoder takes at most.
    """

    rows: str = "texts"
    index: str = "flat"
    stem: bool = True
    nprobes: int = 20
    depth: int = 200
    threads: int = 2
    workers: int = 1
    batch: int = 16

    @property
    def table(self) -> dict[str, Any]:
        """The table of these settings, as the endpoint takes it."""
        return {"rows": self.rows, "index": self.index, "stem": self.stem}

    @property
    def model_file(self) -> str:
        """Name of the ranker's file: one that learned from the same candidates."""
        return f"{self.rows}_{'stem' if self.stem else 'words'}.txt"

    def describe(self) -> str:
        """The settings in one line."""
        return ", ".join(f"{name} {value}" for name, value in asdict(self).items())


@dataclass(frozen=True)
class LanceFolder:
    """Where the peer's inputs, tables and rankers lie, and its environment.

    Attributes:
        inputs: What `write_inputs` or `write_catalog` has written.
        environment: The peer's virtual environment.
    """

    inputs: Path
    environment: Path

    @property
    def python(self) -> Path:
        """The environment's interpreter.

        Raises:
            PeerError: The environment is not there, or lacks LanceDB.
        """
        python = self.environment.absolute() / "bin" / "python"
        if not python.exists() or not list(self.environment.glob("lib/python*/site-packages/lancedb/__init__.py")):
            raise PeerError(
                f"{self.environment}: found no virtual environment with lancedb; allowed: one of "
                "peers/requirements-lancedb.txt. `make bench-hybrid` makes it"
            )
        return python

    def build(self, *tunings: LanceTuning) -> None:
        """Writes the tables of some settings, where they are not there yet."""
        self._run({"tables": [tuning.table for tuning in tunings]})

    def train(self, tuning: LanceTuning) -> dict[str, Any]:
        """Trains the ranker of a table, and returns what `endpoint.training` reports."""
        settings = {"table": tuning.table, "nprobes": tuning.nprobes, "depth": DEPTH}
        figures: dict[str, Any] = json.loads(self._run({**settings, "model": str(self.model(tuning))}))
        return figures

    def model(self, tuning: LanceTuning) -> Path:
        """The ranker's file."""
        return self.inputs.absolute() / "models" / tuning.model_file

    def _run(self, settings: dict[str, Any]) -> str:
        """Runs `endpoint.training` in the peer's environment, and returns what it prints."""
        asked = json.dumps({"inputs": str(self.inputs.absolute()), **settings})
        command = ["env", *(f"{name}={value}" for name, value in QUIET.items()), str(self.python)]
        finished = subprocess.run(
            [*command, "-m", "endpoint.training", asked], cwd=PACKAGES, capture_output=True, text=True, check=False
        )
        if finished.returncode:
            raise PeerError(
                f"endpoint.training ended with {finished.returncode}; it ends with:\n{finished.stderr[-2_000:]}"
            )
        return finished.stdout


class LancePeer:
    """A running peer.

    Args:
        url: Its endpoint.
        session: Pooled connections.
        process: Its first process.
    """

    def __init__(self, url: str, session: aiohttp.ClientSession, process: psutil.Process) -> None:
        self._url, self._session, self.process = url, session, process

    async def search(self, query: str, user: str, rerank: int = 0) -> list[str]:
        """Ids of the ten best items; `rerank` is there for the closed loop alone.

        Raises:
            aiohttp.ClientResponseError: The peer fails.
        """
        del rerank
        async with self._session.post(f"{self._url}/search", json={"query": query, "user": user, "k": 10}) as reply:
            reply.raise_for_status()
            return [item["item_id"] for item in (await reply.json())["items"]]


@asynccontextmanager
async def run_lance(tuning: LanceTuning, folder: LanceFolder, ranked: bool = True) -> AsyncIterator[LancePeer]:
    """Runs the peer until the end of the block.

    Args:
        tuning: Its settings.
        folder: Its inputs and its environment.
        ranked: Whether LightGBM reranks; else the order is that of the search.

    Raises:
        PeerError: The environment is not there, or the process stops or is not ready in time.
    """
    port = free_port()
    settings = {name: getattr(tuning, name) for name in ("table", "nprobes", "depth", "threads", "batch")}
    settings |= {"inputs": str(folder.inputs.absolute()), "model": str(folder.model(tuning)) if ranked else None}
    command = [
        str(folder.python),
        "-m",
        "uvicorn",
        "endpoint.lance_app:create",
        "--factory",
        "--app-dir",
        str(PACKAGES),
    ]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", str(tuning.workers), "--no-access-log"]
    command += ["--loop", "uvloop", "--http", "httptools", "--log-level", "warning"]
    variables = {**QUIET, "OMP_NUM_THREADS": "1", "PEER": json.dumps(settings)}
    with run_process(command, variables) as started:
        url = f"http://127.0.0.1:{port}"
        await wait_until_healthy(started, f"{url}/health")
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            peer = LancePeer(url, session, psutil.Process(started.process.pid))
            await _warm_up(peer, 8 * tuning.workers)
            yield peer


async def _warm_up(peer: LancePeer, requests: int) -> None:
    """Each worker is asked at once, so that none answers its first request in the measurement."""
    await asyncio.gather(*(peer.search(f"milk {number}", "") for number in range(requests)))
