"""The two peers over HTTP: started on free ports, searched, stopped."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from fuserank_benchmarks.peers.kinds import Kind
from fuserank_benchmarks.peers.process import PeerProcess, free_port, run_process, wait_until_healthy

PACKAGES = Path(__file__).parent  # where the peers' interpreters find the package `endpoint`


@dataclass(frozen=True)
class Tuning:
    """Settings of a peer.

    Attributes:
        kind: Which peer.
        encoder: What runs the encoder, `torch` or `onnx`.
        tower: What runs the cross-encoder, `torch` or `onnx`; it differs from `encoder` only for Infinity.
        threads: Threads of one model run.
        workers: Processes of the endpoint.
        batch: Requests (Infinity: texts) that one model run takes at most.
        index: FAISS: `flat` or `ivf`.
    """

    kind: Kind
    encoder: str = "torch"
    tower: str = "torch"
    threads: int = 2
    workers: int = 1
    batch: int = 32
    index: str = "flat"

    def describe(self) -> str:
        """The settings in one line."""
        return ", ".join(f"{name} {value}" for name, value in asdict(self).items())


class HttpPeer:
    """A running peer.

    Args:
        url: Its endpoint.
        tuning: Its settings.
        session: Pooled connections.
        processes: The processes that were started for it.
    """

    def __init__(
        self, url: str, tuning: Tuning, session: aiohttp.ClientSession, processes: Sequence[psutil.Process]
    ) -> None:
        self.tuning = tuning
        self._url, self._session, self._processes = url, session, processes

    async def search(self, query: str, user: str, rerank: int) -> list[dict[str, Any]]:
        """The ten best items.

        Raises:
            aiohttp.ClientResponseError: The peer fails.
        """
        body = {"query": query, "user": user, "k": 10, "rerank": rerank}
        async with self._session.post(f"{self._url}/search", json=body) as reply:
            reply.raise_for_status()
            items: list[dict[str, Any]] = (await reply.json())["items"]
            return items

    def resident_bytes(self) -> int:
        """Resident memory of its processes and their children."""
        return sum(
            process.memory_info().rss for root in self._processes for process in (root, *root.children(recursive=True))
        )


@asynccontextmanager
async def run_peer(tuning: Tuning, inputs: Path, environments: Path) -> AsyncIterator[HttpPeer]:
    """Runs a peer until the end of the block.

    Args:
        tuning: Which peer, and its settings.
        inputs: Folder that `prepare` has written.
        environments: The folder of the peers' virtual environments, as `make bench-peers` makes them.

    Raises:
        PeerError: A process stops, or is not ready in time.
    """
    inputs = inputs.resolve()
    binaries = environments.resolve() / tuning.kind / "bin"
    settings: dict[str, Any] = {"inputs": str(inputs), "index": tuning.index}
    with ExitStack() as stack:
        processes: list[PeerProcess] = []
        threads = {"OMP_NUM_THREADS": str(tuning.threads), "MKL_NUM_THREADS": str(tuning.threads)}
        if tuning.kind == "infinity":
            port = free_port()
            settings["infinity"] = f"http://127.0.0.1:{port}"
            command = [str(binaries / "infinity_emb"), *_infinity_arguments(tuning, inputs, port)]
            cache = {"HF_HOME": str(environments.resolve() / "cache"), "INFINITY_ANONYMOUS_USAGE_STATS": "0"}
            processes.append(stack.enter_context(run_process(command, {**threads, **cache, "DO_NOT_TRACK": "1"})))
            await wait_until_healthy(processes[-1], f"{settings['infinity']}/health")
        else:
            # FAISS and torch bring an OpenMP each, whose threads must not spin on each other's cores.
            threads["OMP_WAIT_POLICY"] = "passive"
            settings |= {"backend": tuning.encoder, "threads": tuning.threads, "batch": tuning.batch}
        port = free_port()
        command = [str(binaries / "python"), "-m", "uvicorn", "endpoint.app:create", "--factory"]
        command += ["--app-dir", str(PACKAGES)]
        command += ["--host", "127.0.0.1", "--port", str(port), "--workers", str(tuning.workers), "--no-access-log"]
        command += ["--loop", "uvloop", "--http", "httptools", "--log-level", "warning"]
        processes.append(stack.enter_context(run_process(command, {**threads, "PEER": json.dumps(settings)})))
        url = f"http://127.0.0.1:{port}"
        await wait_until_healthy(processes[-1], f"{url}/health")
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            yield HttpPeer(url, tuning, session, [psutil.Process(started.process.pid) for started in processes])


def _infinity_arguments(tuning: Tuning, inputs: Path, port: int) -> list[str]:
    arguments = ["v2", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--no-bettertransformer"]
    if "torch" in (tuning.encoder, tuning.tower):
        arguments[-1] = "--bettertransformer"
    models = [("encoder", tuning.encoder)]
    if (inputs / "tower").is_dir():
        models.append(("tower", tuning.tower))
    for name, backend in models:
        arguments += ["--model-id", str(inputs / name), "--served-model-name", name]
        arguments += ["--engine", "optimum" if backend == "onnx" else backend, "--batch-size", str(tuning.batch)]
    # FP32 as everywhere here; torch would choose half precision by itself where it can.
    return [*arguments, "--dtype", "float32", "--log-level", "warning"]
