"""The tritonserver that nvidia-pytriton carries: what it needs of this machine, its backends and its command line."""

from __future__ import annotations

import os
import resource
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuserank_ensemble.serving.ports import port_fault
from fuserank_ensemble.serving.prerequisites import PrerequisiteError, check_machine, libpython_folder
from fuserank_ensemble.spec import GPU_TARGETS, Target

EXIT_TIMEOUT_SECONDS = 30
DESCRIPTORS = 65_536  # that a server may have open, where the system allows it
_BACKENDS = Path(__file__).parent / "backends"
# What reads or changes the server itself. Statistics and configurations are read by `fuserank bench`, and stay open.
CLOSED_APIS = ("model-repository", "trace", "logging")
SHARED_MEMORY_API = "shared-memory"
# Triton opens an API to whoever sends a header. No request can hold this one, so that it is no secret, which a command
# line would show: a header's name has no upper-case letters in HTTP/2 (gRPC), its value no line break in HTTP/1.
_UNSENDABLE_HEADER = "FuseRank-Closed=closed\n"


class ServerError(RuntimeError):
    """The server cannot start or has stopped; the message says why and what to do."""


@dataclass(frozen=True)
class Endpoints:
    """Where a server listens."""

    host: str = "127.0.0.1"
    http: int = 8000
    grpc: int = 8001
    metrics: int = 8002


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


def check_free(endpoints: Endpoints) -> None:
    """Looks whether a server can listen where it is to.

    Raises:
        ServerError: Naming the first port that it cannot have.
    """
    ports = (endpoints.http, endpoints.grpc, endpoints.metrics)
    for at, port in enumerate(ports):
        if port and port in ports[:at]:
            raise ServerError(f"port {port}: found for two of HTTP, gRPC and metrics; allowed: one for each")
        fault = port_fault(endpoints.host, port)
        if fault:
            raise ServerError(f"port {port} on {endpoints.host}: {fault}; choose another port")


def open_tritonserver(
    folder: Path,
    repository: Path,
    endpoints: Endpoints,
    target: Target,
    *,
    verbose: bool = False,
    shared_memory: bool = False,
) -> Any:
    """Returns pytriton's `TritonServer` on a model repository, not started.

    Args:
        folder: A folder without spaces for the backends; it is filled.
        repository: The model repository.
        endpoints: Where to listen.
        target: Which configurations to use.
        verbose: Print Triton's log as it comes.
        shared_memory: Whether callers may register regions of shared memory.
    """
    from pytriton.server.triton_server import TritonServer  # noqa: PLC0415  an extra
    from pytriton.utils import distribution  # noqa: PLC0415

    compose_backends(folder)
    # pytriton splits the command at spaces, which the environment's folder may hold.
    binary = folder / "tritonserver"
    binary.symlink_to(distribution.get_root_module_path() / "tritonserver" / "bin" / "tritonserver")
    config = server_arguments(repository, folder, endpoints, target, shared_memory=shared_memory)
    return TritonServer(path=binary, libs_path=library_folder(), config=config, verbose=verbose)


def library_folder() -> Path:
    """Returns where the libraries of Triton's wheel lie.

    pytriton takes itself for a checkout, and looks elsewhere, where its folder is found by PYTHONPATH or a .pth file.
    """
    from pytriton.utils import distribution  # noqa: PLC0415  an extra

    beside = Path(distribution.get_root_module_path()).parent / "nvidia_pytriton.libs"
    return beside if beside.is_dir() else Path(distribution.get_libs_path())


def compose_backends(folder: Path) -> None:
    """Lays out a backend directory: Triton's Python backend with this Python's stub, and our onnxruntime."""
    from pytriton.utils import distribution  # noqa: PLC0415  an extra

    source = distribution.get_root_module_path() / "tritonserver" / "backends" / "python"
    target = folder / "python"
    shutil.copytree(source, target, symlinks=True)
    stub = distribution.get_stub_path(f"{sys.version_info.major}.{sys.version_info.minor}")
    shutil.copy2(stub, target / "triton_python_backend_stub")
    shutil.copytree(_BACKENDS / "onnxruntime", folder / "onnxruntime", ignore=shutil.ignore_patterns("__pycache__"))


def server_arguments(
    repository: Path, backends: Path, endpoints: Endpoints, target: str, *, shared_memory: bool = False
) -> Any:
    """Returns tritonserver's command line, as pytriton's `TritonServerConfig`.

    Args:
        repository: The model repository.
        backends: The folder of the backends.
        endpoints: Where to listen.
        target: Which configurations to use.
        shared_memory: Whether callers may register regions of shared memory.
    """
    from pytriton.server.triton_server_config import TritonServerConfig  # noqa: PLC0415  an extra

    class Config(TritonServerConfig):  # type: ignore[misc]  # untyped
        # Newer than the list that pytriton checks against.
        server_arg_keys = [*TritonServerConfig.server_arg_keys, "model-config-name"]  # noqa: RUF012

        def to_args_list(self) -> list[str]:
            # Not by way of one string that is split at spaces: a folder's name may hold some.
            return [f"--{name}={value}" for name, value in self._server_args.items()]

    config = Config()
    closed = ",".join([*CLOSED_APIS, *([] if shared_memory else [SHARED_MEMORY_API])])
    values = {
        "model-repository": repository,
        "backend-directory": backends,
        "model-config-name": target,
        # The configurations are complete: nothing to guess, and no extra stub started to guess it.
        "strict-model-config": True,
        # No loading over the network: that would be running code for whoever reaches the port.
        "model-control-mode": "none",
        "http-restricted-api": f"{closed}:{_UNSENDABLE_HEADER}",
        "grpc-restricted-protocol": f"{closed}:{_UNSENDABLE_HEADER}",
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


def prepare_environment() -> None:
    """What the server's process inherits."""
    # The stub takes the interpreter's own library, so that stub and standard library are of one build.
    folders = [str(folder) for folder in (libpython_folder(),) if folder and folder.is_absolute()]
    if folders and folders[0] not in os.environ.get("LD_LIBRARY_PATH", ""):
        os.environ["LD_LIBRARY_PATH"] = ":".join([*folders, *filter(None, [os.environ.get("LD_LIBRARY_PATH")])])
    # A request's few texts are not worth a thread pool; the engines want the cores.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Each connection is a descriptor, and who comes when none is left waits for one. 1,024 are usual, more allowed.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
