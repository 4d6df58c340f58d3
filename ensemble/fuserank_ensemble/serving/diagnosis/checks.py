"""Looks at a machine, a bundle and a server; each check says what it found and, where that is wrong, what to do."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import joblib
import numpy as np
from packaging.requirements import Requirement

from fuserank_ensemble.bundle import Bundle, BundleError
from fuserank_ensemble.serving.engines import check_engines
from fuserank_ensemble.serving.ports import port_fault
from fuserank_ensemble.serving.prerequisites import PrerequisiteError, check_machine
from fuserank_ensemble.spec import GPU_TARGETS, Target

DISTRIBUTION = "fuserank"
SERVING_EXTRA = "embedded"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  Triton's stages exchange tensors there
LEAST_SHARED_BYTES = 64 * 2**20
MEMORY = Path("/proc/meminfo")
PATIENCE_SECONDS = 3.0
GPU_SECONDS = 30.0
State = Literal["ok", "note", "wrong"]


@dataclass(frozen=True)
class Check:
    """What one check says.

    Attributes:
        name: What was looked at.
        state: `note` where it is no fault and worth knowing.
        found: What was found.
        remedy: What to do; empty where nothing is to be done.
    """

    name: str
    state: State
    found: str
    remedy: str = ""


def check_host() -> Iterator[Check]:
    """Looks at Python, the C library, cores and memory."""
    try:
        check_machine()
    except PrerequisiteError as error:
        yield Check("machine", "wrong", str(error))
    else:
        yield Check("machine", "ok", "Python, C library and libpython are as the embedded server needs them")
    cores, available = joblib.cpu_count(), available_bytes()
    memory = f", {available / 2**30:.1f} GiB of memory free" if available is not None else ""
    yield Check("cores and memory", "ok", f"{cores} cores for this process{memory}")


def available_bytes(path: Path = MEMORY) -> int | None:
    """Bytes of memory that programs may still take; None where the system does not say."""
    try:
        lines = dict(line.split(":", 1) for line in path.read_text("utf-8").splitlines() if ":" in line)
        return int(lines["MemAvailable"].split()[0]) * 1_024
    except (OSError, KeyError, ValueError):
        return None


def check_shared_memory(folder: Path = SHARED_MEMORY) -> Check:
    """Looks at the memory that Triton's processes share."""
    remedy = "give it more (Docker: --shm-size 1g; Kubernetes: an emptyDir of medium Memory), or remove what fills it"
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        return Check("shared memory", "wrong", f"{folder}: {error.strerror}", remedy)
    found = f"{usage.free / 2**20:,.0f} of {usage.total / 2**20:,.0f} MiB free in {folder}"
    if usage.free < LEAST_SHARED_BYTES:
        return Check("shared memory", "wrong", found, remedy)
    return Check("shared memory", "ok", found)


def check_packages(extra: str = SERVING_EXTRA) -> Iterator[Check]:
    """Compares what is installed with what an extra of this distribution needs."""
    install = f"pip install '{DISTRIBUTION}[{extra}]'"
    found, missing = 0, []
    for requirement in sorted(requirements_of(DISTRIBUTION, extra), key=lambda one: one.name):
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            missing.append(f"{requirement.name} is not installed")
            continue
        if requirement.specifier.contains(version, prereleases=True):
            found += 1
        else:
            missing.append(f"{requirement.name} is {version}, needed is {requirement.specifier}")
    yield Check("packages", "ok", f"{DISTRIBUTION} {metadata.version(DISTRIBUTION)}, {found} packages as needed")
    for text in missing:
        yield Check("packages", "wrong", text, install)


def requirements_of(distribution: str, extra: str) -> Iterator[Requirement]:
    """What an extra of a distribution needs, with what its other extras bring into it."""
    for text in metadata.requires(distribution) or ():
        requirement = Requirement(text)
        if requirement.marker is None or not requirement.marker.evaluate({"extra": extra}):
            continue
        if requirement.name == distribution:
            for other in requirement.extras:
                yield from requirements_of(distribution, other)
        else:
            yield requirement
    if extra:
        yield from (Requirement(text) for text in metadata.requires(distribution) or () if "extra ==" not in text)


def check_bundle(folder: Path, target: Target) -> Iterator[Check]:
    """Opens a bundle, with every file's hash, and compares it with this machine."""
    try:
        bundle = Bundle.open(folder)
        check_engines(bundle, target)
    except BundleError as error:
        yield Check("bundle", "wrong", str(error))
        return
    counts = bundle.manifest["counts"]
    yield Check("bundle", "ok", f"{bundle.id}: {counts['items']:,} items, all files as exported, fits {target}")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    available = available_bytes()
    if available is not None and size > available:
        found = f"its files take {size / 2**30:.1f} GiB, free are {available / 2**30:.1f} GiB"
        yield Check("bundle", "note", found, "free memory, or serve it on a larger machine: mapped files are read anew")
    for name, exported in bundle.manifest["versions"].items():
        try:
            here = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        if name == "tantivy" and here != exported:
            found = f"its word index was written by {name} {exported}, here is {here}"
            yield Check(
                "bundle", "note", found, f"if it does not open: pip install {name}=={exported}, or export again"
            )


def check_gpu(target: Target) -> Check:
    """Looks for a GPU, where the target needs one."""
    if shutil.which("nvidia-smi") is None:
        found = "no nvidia-smi: no GPU here"
    else:
        command = ["nvidia-smi", "--query-gpu=name,driver_version,memory.free", "--format=csv,noheader"]
        try:
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=GPU_SECONDS)
        except subprocess.TimeoutExpired:
            found = f"nvidia-smi: no answer within {GPU_SECONDS:.0f} s"
        else:
            if done.returncode == 0 and done.stdout.strip():
                return Check("GPU", "ok", "; ".join(done.stdout.strip().splitlines()))
            found = f"nvidia-smi: {(done.stderr or done.stdout).strip() or 'says nothing'}"
    if target in GPU_TARGETS:
        return Check("GPU", "wrong", found, f"target {target} needs one: serve with --target single_process")
    return Check("GPU", "ok", f"{found}; target {target} needs none")


def check_server(url: str, bundle: Path | None, *, expected: bool) -> Iterator[Check]:
    """Asks a server for its state, its version and the bundle that it answers from.

    Args:
        url: Its gRPC address.
        bundle: The bundle that it should serve; None expects no particular one.
        expected: Whether it is wrong that no server answers.
    """
    import tritonclient.grpc as triton  # noqa: PLC0415  gRPC takes a while to import

    client = triton.InferenceServerClient(url)
    try:
        version = client.get_server_metadata(client_timeout=PATIENCE_SECONDS).version
        is_ready = client.is_model_ready("search", client_timeout=PATIENCE_SECONDS)
        status = _ask(client, triton) if is_ready else {}
    except triton.InferenceServerException as error:
        remedy = "start one with `fuserank serve BUNDLE`, or name its gRPC address with --url host:port"
        yield Check("server", "wrong" if expected else "note", f"{url}: {error.message()}", remedy if expected else "")
        return
    finally:
        client.close()
    if not is_ready:
        yield Check("server", "wrong", f"{url}: Triton {version} answers, the model `search` is not ready", _LOG)
        return
    if "bundle" not in status:
        found = f"{url}: Triton {version} answers, its model `search` is not FuseRank's"
        yield Check("server", "wrong", found, "name the gRPC address of `fuserank serve` with --url host:port")
        return
    yield Check("server", "ok", f"{url}: Triton {version} answers from bundle {status['bundle']}")
    if status["degraded"]:
        found = f"its answer was cut short: {', '.join(status['degraded'])}"
        yield Check("server", "wrong", found, "docs/contract.md, `degraded`, says what each means")
    if bundle is not None:
        yield from _compare(bundle, str(status["bundle"]))


_LOG = "see its log (`fuserank serve --verbose`)"


def _compare(bundle: Path, served: str) -> Iterator[Check]:
    try:
        here = Bundle.open(bundle, verify=()).id
    except BundleError:
        return  # a check of its own says so
    if here != served:
        yield Check("server", "note", f"it serves {served}, the bundle here is {here}", f"fuserank promote {bundle}")


def _ask(client: Any, triton: Any) -> Mapping[str, Any]:
    """The status of a search for one item; empty where the model says none."""
    inputs = []
    for name, value in (("QUERY", "a"), ("USER_ID", ""), ("OPTIONS", '{"k": 1}')):
        tensor = triton.InferInput(name, [1, 1], "BYTES")
        tensor.set_data_from_numpy(np.asarray([[value.encode()]], object))
        inputs.append(tensor)
    reply = client.infer("search", inputs, client_timeout=PATIENCE_SECONDS)
    status = reply.as_numpy("STATUS")
    found = json.loads(status[0, 0]) if status is not None else None
    return found if isinstance(found, dict) else {}


def check_ports(host: str, ports: Mapping[str, int], *, is_served: bool) -> Iterator[Check]:
    """Looks whether the ports of a server are free.

    Args:
        host: The address to listen on.
        ports: Their numbers by what they are for.
        is_served: Whether a server of ours has them.
    """
    for name, port in ports.items():
        remedy = f"`fuserank serve --{name}-port` with another, or stop what listens there"
        shared = [other for other, taken in ports.items() if taken == port and other != name]
        if shared:
            yield Check("ports", "wrong", f"{name} {port} is also that of {' and '.join(shared)}", remedy)
            continue
        fault = port_fault(host, port)
        if not fault:
            yield Check("ports", "ok", f"{name} {port} is free")
        elif is_served:
            yield Check("ports", "ok", f"{name} {port} is the server's")
        else:
            yield Check("ports", "wrong", f"{name} {port} on {host}: {fault}", remedy)
