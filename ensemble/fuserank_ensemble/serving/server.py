"""The embedded server: a real tritonserver from PyPI (nvidia-pytriton) on a bundle, on this machine."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated, Self

import psutil
import typer

from fuserank_ensemble.bundle import Bundle, BundleError
from fuserank_ensemble.contract.experiment import ExperimentError, read_experiment
from fuserank_ensemble.graph.stages import companion_stages, state_stages
from fuserank_ensemble.serving.arms import arm_places, check_arms
from fuserank_ensemble.serving.engines import check_engines
from fuserank_ensemble.serving.experiment import ExperimentOption, experiment_environment
from fuserank_ensemble.serving.models import check_path, link_models, served_models
from fuserank_ensemble.serving.prerequisites import PrerequisiteError, check_machine, libpython_folder
from fuserank_ensemble.serving.state import (
    FeatureShareOption,
    StateKeyOption,
    StateOption,
    StateSizeOption,
    StateTtlOption,
    check_state,
    choose_key_file,
    choose_state,
    sample_features,
    state_environment,
    state_folder,
)
from fuserank_ensemble.serving.switch.folder import FOLDER, BundlePlace, ServerNote, SwitchError, SwitchFolder
from fuserank_ensemble.serving.switch.promoted import PROMOTED, read_promoted
from fuserank_ensemble.serving.target_option import TargetOption
from fuserank_ensemble.spec import GPU_TARGETS, SpecError, Target, target_named
from fuserank_ensemble.state.log import StateError
from fuserank_ensemble.state.settings import MOST_ENTRIES, StateSettings, choose_key

EXIT_TIMEOUT_SECONDS = 30
START_TIMEOUT_SECONDS = 120.0
_BACKENDS = Path(__file__).parent / "backends"


class ServerError(RuntimeError):
    """The server cannot start or has stopped; the message says why and what to do."""


@dataclass(frozen=True)
class Endpoints:
    """Where a server listens."""

    host: str = "127.0.0.1"
    http: int = 8000
    grpc: int = 8001
    metrics: int = 8002


class Server:
    """Runs tritonserver on a bundle, as a context manager or with `start` and `stop`.

    Args:
        bundle: The bundle's folder.
        endpoints: Where to listen.
        target: Which configurations to use, see `fuserank_ensemble.spec.TARGETS`.
        verbose: Print Triton's log as it comes.
        state: Where events are kept; None keeps none, and serves no model that changes the state.
        experiment: The file of an experiment on users; None runs none.
        promoted: A file that keeps which bundle was promoted, see `serving.switch`; None forgets it with the server.
        key_file: The key of the bundle's users, which a new state takes over; None takes what lies beside the bundle.

    Raises:
        ServerError: Where there is no such target, the state cannot be used, or something that the server needs is
            missing on this machine.
        BundleError: Where the bundle's parts do not belong together, or it names users under another key.
    """

    def __init__(
        self,
        bundle: Path,
        endpoints: Endpoints | None = None,
        target: Target = "single_process",
        verbose: bool = False,
        state: StateSettings | None = None,
        experiment: Path | None = None,
        promoted: Path | None = None,
        key_file: Path | None = None,
    ) -> None:
        check_prerequisites()
        from pytriton.server.triton_server import TritonServer  # noqa: PLC0415  checked for above

        self.endpoints = endpoints or Endpoints()
        try:
            target = target_named(target)
        except SpecError as error:
            raise ServerError(str(error)) from None
        check_path(bundle)
        self.bundle = Bundle.open(bundle.resolve())
        check_engines(self.bundle, target)
        self._target, self._promoted = target, promoted
        self.switch = SwitchFolder.of_port(self.endpoints.grpc)
        self._key_file = choose_key_file(bundle, key_file)
        try:
            if state is not None:
                state, key = check_state(state, self._key_file)
            else:
                key = choose_key(None, bundle, self._key_file)
        except StateError as error:
            raise ServerError(str(error)) from None
        self.state = state
        if key is not None or state is None:
            self.bundle.check_user_key(key)
        self._experiment = experiment
        try:
            read = read_experiment(experiment) if experiment is not None else None
            if read is not None:
                check_arms(read, self.bundle, target, state)
            self._arms = tuple(place.id for place in arm_places(read))
        except (ExperimentError, StateError) as error:
            raise ServerError(str(error)) from None
        for port in (self.endpoints.http, self.endpoints.grpc, self.endpoints.metrics):
            _check_free(self.endpoints.host, port)
        self._backends = tempfile.TemporaryDirectory(prefix="fuserank-backends-")
        compose_backends(Path(self._backends.name))
        self._models = served_models(self.bundle, target, has_state=state is not None)
        # Triton starts its stubs through a command line split at spaces: this path has none.
        repository = Path(self._backends.name) / "model_repository"
        link_models(self.bundle, target, repository, has_state=state is not None)
        from pytriton.utils import distribution  # noqa: PLC0415

        # pytriton splits the command at spaces, which the environment's folder may hold.
        binary = Path(self._backends.name) / "tritonserver"
        binary.symlink_to(distribution.get_root_module_path() / "tritonserver" / "bin" / "tritonserver")
        config = _arguments(repository, Path(self._backends.name), self.endpoints, target)
        _prepare_environment()
        self._triton = TritonServer(path=binary, libs_path=distribution.get_libs_path(), config=config, verbose=verbose)

    def start(self, timeout: float = START_TIMEOUT_SECONDS) -> Self:
        """Starts the server and waits until all models are ready.

        Args:
            timeout: Seconds to wait at most.

        Raises:
            ServerError: With the log's last errors, where it does not become ready.
        """
        try:
            self.switch.create(BundlePlace(self.bundle.id, str(self.bundle.root)))
        except SwitchError as error:
            raise ServerError(str(error)) from None
        with (
            state_environment(self.state, self._key_file),
            experiment_environment(self._experiment),
            _environment(FOLDER, str(self.switch.path)),
        ):
            self._triton.start()
        deadline = time.monotonic() + timeout
        while not self.is_ready():
            if not self._triton.is_alive():
                raise ServerError(f"the server stopped while starting:\n{self._last_errors()}")
            if "terminate called" in self.logs():
                self.stop()
                raise ServerError(f"a stage's process crashed while starting:\n{self._last_errors()}")
            if time.monotonic() > deadline:
                self.stop()
                raise ServerError(f"the server was not ready after {timeout:.0f} s:\n{self._last_errors()}")
            time.sleep(0.05)
        self._stages = self._stage_processes()
        kept_at = self.state.to_environment() if self.state else {}
        self.switch.note(ServerNote(self._target, kept_at, str(self._promoted or ""), self._arms))
        return self

    def is_ready(self) -> bool:
        """Whether all models are loaded. They stay so when a stage's process dies: see `dead_stages`."""
        beside = (*companion_stages(), *(state_stages() if self.state else ()))
        return all(self._answers(f"models/{name}/ready") for name in ("search", *(model.name for model in beside)))

    def _answers(self, path: str) -> bool:
        url = f"http://{self.endpoints.host}:{self.endpoints.http}/v2/{path}"
        try:
            with urllib.request.urlopen(url, timeout=2) as reply:
                return bool(reply.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return bool(self._triton.is_alive())

    def dead_stages(self) -> list[str]:
        """Stages whose process has died. Triton 2.51 goes on without them, calls itself ready, and fails requests."""
        alive = self._stage_processes()
        return sorted(name for pid, name in self._stages.items() if pid not in alive)

    def _stage_processes(self) -> dict[int, str]:
        """The stubs of this server, by process id; a stub's command line names its instance and our backends."""
        stages = {}
        for process in psutil.Process().children(recursive=True):
            try:
                line = process.cmdline() if process.status() != psutil.STATUS_ZOMBIE else []
            except psutil.NoSuchProcess:
                continue
            # Triton names an instance <stage>_<group>_<number>.
            names = [word.rsplit("_", 2)[0] for word in line if word.rsplit("_", 2)[0] in self._models]
            if names and any(self._backends.name in word for word in line):
                stages[process.pid] = names[0]
        return stages

    def logs(self) -> str:
        """What the server has logged."""
        return str(self._triton.logs())

    def stop(self) -> None:
        """Stops the server, letting requests in flight end."""
        self._triton.stop()
        self.switch.remove()
        self._backends.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _last_errors(self, count: int = 12) -> str:
        lines = [line for line in self.logs().splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith(("E", "F")) or "Error" in line or "error:" in line]
        return "\n".join((errors or lines)[-count:])


def check_prerequisites() -> None:
    """Looks for what the embedded server needs, so that a missing part is named before anything starts.

    Raises:
        ServerError: Naming what is missing and how to get it.
    """
    try:
        check_machine()
    except PrerequisiteError as error:
        raise ServerError(str(error)) from None
    try:
        import pytriton  # noqa: F401, PLC0415
    except ImportError:
        raise ServerError("nvidia-pytriton: not installed; run: pip install 'fuserank[embedded]'") from None


def compose_backends(folder: Path) -> None:
    """Lays out a backend directory: Triton's Python backend with this Python's stub, and our onnxruntime."""
    from pytriton.utils import distribution  # noqa: PLC0415  an extra

    source = distribution.get_root_module_path() / "tritonserver" / "backends" / "python"
    target = folder / "python"
    shutil.copytree(source, target, symlinks=True)
    stub = distribution.get_stub_path(f"{sys.version_info.major}.{sys.version_info.minor}")
    shutil.copy2(stub, target / "triton_python_backend_stub")
    shutil.copytree(_BACKENDS / "onnxruntime", folder / "onnxruntime", ignore=shutil.ignore_patterns("__pycache__"))


def _arguments(repository: Path, backends: Path, endpoints: Endpoints, target: str) -> object:
    from pytriton.server.triton_server_config import TritonServerConfig  # noqa: PLC0415  an extra

    class Config(TritonServerConfig):  # type: ignore[misc]  # untyped
        # Newer than the list that pytriton checks against.
        server_arg_keys = [*TritonServerConfig.server_arg_keys, "model-config-name"]  # noqa: RUF012

        def to_args_list(self) -> list[str]:
            # Not by way of one string that is split at spaces: a folder's name may hold some.
            return [f"--{name}={value}" for name, value in self._server_args.items()]

    config = Config()
    values = {
        "model-repository": repository,
        "backend-directory": backends,
        "model-config-name": target,
        # The configurations are complete: nothing to guess, and no extra stub started to guess it.
        "strict-model-config": True,
        # No loading over the network: that would be running code for whoever reaches the port.
        "model-control-mode": "none",
        "exit-timeout-secs": EXIT_TIMEOUT_SECONDS,
        "http-address": endpoints.host,
        "http-port": endpoints.http,
        "grpc-address": endpoints.host,
        "grpc-port": endpoints.grpc,
        "metrics-address": endpoints.host,
        "metrics-port": endpoints.metrics,
        "allow-gpu-metrics": target in GPU_TARGETS,
    }
    for name, value in values.items():
        config[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return config


def _prepare_environment() -> None:
    """What the server's process inherits."""
    # The stub takes the interpreter's own library, so that stub and standard library are of one build.
    folders = [str(folder) for folder in (libpython_folder(),) if folder and folder.is_absolute()]
    if folders and folders[0] not in os.environ.get("LD_LIBRARY_PATH", ""):
        os.environ["LD_LIBRARY_PATH"] = ":".join([*folders, *filter(None, [os.environ.get("LD_LIBRARY_PATH")])])
    # A request's few texts are not worth a thread pool; the engines want the cores.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Sets a variable for the processes that are started in the block."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def _check_free(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ServerError(f"port {port} on {host}: {error.strerror}; choose another port") from None
        except OverflowError:
            raise ServerError(f"port {port} on {host}: found {port}; allowed: 0 to 65535") from None


def serve(
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    http_port: Annotated[int, typer.Option(help="KServe v2 over HTTP; health.")] = 8000,
    grpc_port: Annotated[int, typer.Option(help="KServe v2 over gRPC.")] = 8001,
    metrics_port: Annotated[int, typer.Option(help="Prometheus metrics.")] = 8002,
    target: TargetOption = "single_process",
    verbose: Annotated[bool, typer.Option(help="Show Triton's log.")] = False,
    state: StateOption = None,
    state_key_file: StateKeyOption = None,
    experiment: ExperimentOption = None,
    state_ttl_days: StateTtlOption = None,
    state_max_entries: StateSizeOption = MOST_ENTRIES,
    log_features: FeatureShareOption = 0.0,
) -> None:
    """Serve a bundle with a real Triton on this machine, until Ctrl-C.

    Example: fuserank serve build/my-shop --http-port 8000 --grpc-port 8001 --metrics-port 8002
    """
    started = time.monotonic()
    stopping: list[int] = []

    def stop(number: int, frame: object) -> None:
        del frame
        stopping.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        settings = choose_state(bundle, state, state_key_file, state_ttl_days, state_max_entries)
        settings = sample_features(settings, log_features)
        beside = state_folder(bundle)
        promoted = beside / PROMOTED if beside else None
        served = read_promoted(promoted, bundle) if promoted else bundle
        ports = Endpoints(host, http_port, grpc_port, metrics_port)
        key_file = choose_key_file(bundle, state_key_file)
        server = Server(served, ports, target, verbose, settings, experiment, promoted, key_file)
    except (ServerError, BundleError, StateError) as error:
        _fail(error)
    if served != bundle:
        typer.echo(f"{served} was promoted over {bundle}; what was promoted is forgotten without {promoted}")
    try:
        server.start()
        typer.echo(
            f"bundle {server.bundle.id} ready after {time.monotonic() - started:.1f} s: "
            f"gRPC {host}:{grpc_port}, HTTP {host}:{http_port}, metrics {host}:{metrics_port}/metrics"
        )
        typer.echo(f"events are kept in {settings.address}" if settings else "no events are kept: see --state")
        _wait(server, lambda: bool(stopping))
    except ServerError as error:
        _fail(error)
    finally:
        server.stop()


def _wait(server: Server, stopping: Callable[[], bool]) -> None:
    while not stopping():
        if not server.is_alive():
            raise ServerError("the server has stopped by itself; run again with --verbose to see its log")
        if dead := server.dead_stages():
            raise ServerError(
                f"the process of stage {', '.join(dead)} has died, and requests fail; start the server again"
            )
        time.sleep(0.5)


def _fail(error: Exception) -> None:
    typer.echo(f"error: {error}", err=True)
    raise typer.Exit(1)
