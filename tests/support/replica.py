"""A container of the rendered chart, run on this machine: its own command, with the paths and ports of here."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from pytriton.utils import distribution

from fuserank_ensemble.serving.lifecycle import verify
from fuserank_ensemble.serving.prerequisites import libpython_folder
from fuserank_ensemble.serving.tritonserver import Endpoints, compose_backends, library_folder
from fuserank_ensemble.state.keys import carry_key
from support.busy_machine import PATIENCE, lengthen_queues
from support.running import BESIDE

ADMIN_KEY = "only-for-tests"
REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Replica:
    """A running tritonserver and the container that it was started from."""

    container: Mapping[str, Any]
    process: subprocess.Popen[bytes]
    endpoints: Endpoints
    log: Path
    models: Path

    @property
    def url(self) -> str:
        """Where it speaks gRPC."""
        return f"127.0.0.1:{self.endpoints.grpc}"

    @property
    def environment(self) -> dict[str, str]:
        """What `kubectl exec` would find in the container."""
        return {**os.environ, "PATH": _path()}

    def command(self, words: list[str]) -> list[str]:
        """A probe's or hook's command, as it is run here."""
        return [sys.executable if word == "python3" else self.substituted(word) for word in words]

    def execute(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        """Runs a command as the kubelet does, in the container's environment."""
        return subprocess.run(
            self.command(words),
            env=self.environment,
            cwd="/",
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def substituted(self, word: str) -> str:
        """A word of the container's command with this machine's ports and folders."""
        for name, number in _ports(self.container).items():
            word = word.replace(f"port={number}", f"port={getattr(self.endpoints, name)}")
        return word.replace("=/models", f"={self.models}")

    def get(self, probe: Mapping[str, Any]) -> int:
        """Asks an HTTP probe as the kubelet does, but waits longer; returns the status, 0 where nobody answers."""
        port = getattr(self.endpoints, probe["httpGet"]["port"])
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{port}{probe['httpGet']['path']}", timeout=PATIENCE
            ) as reply:
                return int(reply.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def metrics(self) -> str:
        """What Prometheus scrapes."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.endpoints.metrics}/metrics", timeout=PATIENCE) as reply:
            return str(reply.read().decode())

    def stop(self, timeout: float = PATIENCE) -> int:
        """SIGTERM, as the kubelet sends it after the hook; returns the exit code."""
        self.process.terminate()
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def kill(self) -> None:
        """Ends it without asking: one whose stage has died takes its whole time-out to leave."""
        family = [*psutil.Process(self.process.pid).children(recursive=True), psutil.Process(self.process.pid)]
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        self.process.wait()


def free_endpoints() -> Endpoints:
    """Ports on 127.0.0.1 that nobody listens on."""
    sockets = [socket.socket() for _ in range(3)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return Endpoints("127.0.0.1", *(each.getsockname()[1] for each in sockets))
    finally:
        for each in sockets:
            each.close()


@contextmanager
def started(
    container: Mapping[str, Any],
    bundle: Path,
    endpoints: Endpoints,
    folder: Path,
    tls: Path | None = None,
    extra: Mapping[str, str] | None = None,
    without: Sequence[str] = BESIDE,
) -> Iterator[Replica]:
    """Runs Triton's rendered container until the block ends, and waits until its startup probe succeeds.

    Args:
        container: Of the rendered Deployment.
        bundle: What is mounted at /bundle.
        endpoints: The ports to use in place of the container's.
        folder: For the log.
        tls: What is mounted at /tls.
        extra: More environment, beside the container's own.
        without: As the value of that name: most tests search only.
    """
    with tempfile.TemporaryDirectory(prefix="fuserank-replica-") as scratch:
        # The image has its backends where Triton looks for them; the embedded one takes an option, and its stub wants a
        # path without spaces.
        backends = Path(scratch) / "backends"
        backends.mkdir()
        compose_backends(backends)
        # A copy: Python leaves its bytecode in a model repository that is not read-only, as it is in a pod.
        lengthen_queues(shutil.copytree(bundle, Path(scratch) / "bundle"))
        carry_key(bundle, Path(scratch) / "bundle")
        # What the init container does before.
        models, left_out = Path(scratch) / "models", [f"--without={model}" for model in without]
        refused = verify.main([f"{scratch}/bundle", f"--target={target(container)}", f"--models={models}", *left_out])
        assert refused is None, refused
        log = folder / f"triton-{endpoints.grpc}.log"
        with log.open("wb") as out:
            replica = Replica(container, subprocess.Popen(["true"]), endpoints, log, models)
            words = [
                replica.substituted(word).replace("=/tls/", f"={tls}/").replace("$(ADMIN_KEY)", ADMIN_KEY)
                for word in container["args"]
            ]
            here = [f"--{name}-address={endpoints.host}" for name in ("http", "grpc", "metrics")]
            binary = distribution.get_root_module_path() / "tritonserver" / "bin" / words.pop(0)
            process = subprocess.Popen(
                [str(binary), *words, *here, f"--backend-directory={backends}"],
                env={**replica.environment, **_libraries(), **_given(container), **(extra or {})},
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        replica = Replica(container, process, endpoints, log, models)
        try:
            _wait(replica)
            yield replica
        finally:
            # A test of how it ends has ended it by now.
            if process.poll() is None:
                replica.kill()


def target(container: Mapping[str, Any]) -> str:
    """What a rendered container serves."""
    words = [word.partition("=") for word in container["args"]]
    return next(value for name, _, value in words if name == "--model-config-name")


def _wait(replica: Replica) -> None:
    probe = replica.container["startupProbe"]
    # What the kubelet allows it.
    deadline = time.monotonic() + probe["periodSeconds"] * probe["failureThreshold"]
    # Triton opens its port for metrics last, a moment after it answers that it is ready.
    while replica.get(probe) != 200 or not _listens(replica.endpoints.host, replica.endpoints.metrics):
        log = replica.log.read_text("utf-8", "replace")
        assert replica.process.poll() is None, (
            f"it ended with {replica.process.returncode}:\n{log[:500]} … {log[-2500:]}"
        )
        assert time.monotonic() < deadline, f"not ready:\n{log[-3000:]}"
        time.sleep(0.1)


def _listens(host: str, port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex((host, port)) == 0


def _ports(container: Mapping[str, Any]) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container["ports"]}


def _given(container: Mapping[str, Any]) -> dict[str, str]:
    """The container's environment, but for what comes from Secrets; and the image's."""
    return {"TOKENIZERS_PARALLELISM": "false"} | {e["name"]: e["value"] for e in container["env"] if "value" in e}


def _path() -> str:
    return f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def _libraries() -> dict[str, str]:
    folders = [folder for folder in (libpython_folder(), library_folder()) if folder and str(folder) != "."]
    return {"LD_LIBRARY_PATH": ":".join(map(str, folders))}
