"""CPU time, memory and throughput of one replica, and how many replicas a load takes: the figures of k8s/sizing.md.

The server runs on one core and the callers on the others, so that neither takes the other's time.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import grpc
import numpy as np
import psutil
from rich.console import Console
from tritonclient.grpc import service_pb2_grpc

from fuserank.aio import AsyncClient
from fuserank.errors import OverloadedError
from fuserank_benchmarks.demo import STAGES, free_ports, served
from fuserank_benchmarks.inputs.queries import Load
from fuserank_benchmarks.load.open_loop import build_message
from fuserank_evaluation.reports.report import Table, machine, merge_report

CONCURRENCY, REQUESTS = 16, 1_600
PLANNED_UTILISATION = 0.6  # of a core; the rest is for peaks, and for a lost replica
ENGINES = ("encoder", "ranker")
LOADS = (100, 1_000, 10_000)  # requests a second
# Cores of a replica without a GPU; `retrieve` is one process, which limits how many cores can work.
REPLICA_CORES = 2
PROCESSES = (*STAGES, "similar", "suggest", "embed", "rerank", "tritonserver")

MEANINGS = {
    "replica_requests_per_second": f"requests/s that one core answers, {CONCURRENCY} callers on other cores",
    "replica_refused": f"of {REQUESTS:,} requests, those that waited in a stage's queue for longer than a second",
    "replica_p50_ms": "ms, the same: median, queueing included",
    "replica_p95_ms": "ms, the same: 95th percentile",
    **{
        f"replica_cpu_ms_{name}": f"ms of CPU time a request in the process of {name}"
        for name in (*STAGES, "tritonserver")
    },
    "replica_cpu_ms": "ms of CPU time a request in all processes",
    "replica_cpu_ms_without_engines": "ms of CPU time a request that stay on the CPU where the engines run on a GPU",
    "replica_memory_mib": "MiB of memory of all processes, pages that they share counted once (PSS)",
    "replica_bundle_mib": "MiB of the bundle's files",
    "replica_start_seconds": "s from starting the server on one core to its readiness",
    "replica_request_bytes": "bytes of a request's message, mean",
    "replica_reply_bytes": "bytes of a reply's message of 10 items, mean",
}


@contextmanager
def pinned_to(cores: set[int]) -> Iterator[None]:
    """Runs the block, and the processes that it starts, on some cores alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def server_processes(grpc_port: int) -> dict[psutil.Process, str]:
    """The model that each process of the server runs; tritonserver itself has that name."""
    models = {}
    for process in psutil.Process().children(recursive=True):
        line = process.cmdline()
        # Triton names an instance <stage>_<group>_<number>.
        names = [word.rsplit("_", 2)[0] for word in line if word.rsplit("_", 2)[0] in PROCESSES]
        if names:
            models[process] = names[0]
        elif f"--grpc-port={grpc_port}" in line:
            models[process] = "tritonserver"
    return models


def cpu_seconds(models: Mapping[psutil.Process, str]) -> dict[str, float]:
    """CPU seconds so far, by model."""
    total = dict.fromkeys(PROCESSES, 0.0)
    for process, name in models.items():
        times = process.cpu_times()
        total[name] += times.user + times.system
    return total


async def send_requests(url: str, load: Load, count: int) -> list[float]:
    """Sends requests by `CONCURRENCY` callers without a pause; returns the seconds of each answered one."""
    seconds: list[float] = []
    numbers = iter(range(count))

    async def call_repeatedly(client: AsyncClient) -> None:
        for at in numbers:
            started = time.perf_counter()
            # Triton 2.51 may leave a request in a stage's queue until its time there is up.
            with suppress(OverloadedError):
                await client.search(load.queries[at % 1_000], load.users[at % 1_000])
                seconds.append(time.perf_counter() - started)

    async with AsyncClient(url) as client:
        await asyncio.gather(*(call_repeatedly(client) for _ in range(CONCURRENCY)))
    return seconds


def message_bytes(url: str, load: Load, count: int = 100) -> tuple[float, float]:
    """Mean bytes of a request's and a reply's message."""
    sizes = []
    with grpc.insecure_channel(url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for query, user in list(zip(load.queries, load.users, strict=True))[:count]:
            request = build_message(query, user, "{}")
            request.id = "0" * 32  # as the client sends
            sizes.append((request.ByteSize(), stub.ModelInfer(request, timeout=10).ByteSize()))
    request_mean, reply_mean = np.mean(sizes, axis=0)
    return float(request_mean), float(reply_mean)


def measure_served(bundle: Path, shop: Path, console: Console) -> dict[str, float]:
    """Serves the bundle on one core under load from the others; returns the figures of `MEANINGS`."""
    load = Load.of_shop(shop)
    all_cores = sorted(os.sched_getaffinity(0))
    server, callers = {all_cores[0]}, set(all_cores[1:])
    ports = free_ports(3)
    url = f"127.0.0.1:{ports[1]}"
    with ExitStack() as stack:
        with pinned_to(server):
            start_seconds = stack.enter_context(served(bundle, (ports[0], ports[1], ports[2]), console, "ensemble_cpu"))
        with pinned_to(callers):
            asyncio.run(send_requests(url, load, REQUESTS // 4))
            models = server_processes(ports[1])
            before, started = cpu_seconds(models), time.perf_counter()
            seconds = asyncio.run(send_requests(url, load, REQUESTS))
            took, after = time.perf_counter() - started, cpu_seconds(models)
            request, reply = message_bytes(url, load)
        memory = sum(process.memory_full_info().pss for process in models)
    spent = {name: (after[name] - before[name]) / REQUESTS * 1e3 for name in after}
    return {
        "replica_requests_per_second": round(len(seconds) / took, 1),
        "replica_refused": REQUESTS - len(seconds),
        "replica_p50_ms": round(float(np.percentile(seconds, 50)) * 1e3, 1),
        "replica_p95_ms": round(float(np.percentile(seconds, 95)) * 1e3, 1),
        **{f"replica_cpu_ms_{name}": round(spent[name], 2) for name in (*STAGES, "tritonserver")},
        "replica_cpu_ms": round(sum(spent.values()), 2),
        "replica_cpu_ms_without_engines": round(sum(v for name, v in spent.items() if name not in ENGINES), 2),
        "replica_memory_mib": round(memory / 2**20),
        "replica_bundle_mib": round(sum(f.stat().st_size for f in bundle.rglob("*") if f.is_file()) / 2**20),
        "replica_start_seconds": round(start_seconds, 1),
        "replica_request_bytes": round(request),
        "replica_reply_bytes": round(reply),
    }


def size_loads(figures: Mapping[str, float]) -> dict[str, Table]:
    """A table of cores, replicas, memory and network of `LOADS`, with each column's arithmetic in its head."""
    whole, rest = figures["replica_cpu_ms"], figures["replica_cpu_ms_without_engines"]
    retrieve, memory = figures["replica_cpu_ms_retrieve"], figures["replica_memory_mib"]
    wire = figures["replica_request_bytes"] + figures["replica_reply_bytes"]
    head = [
        "requests/s",
        f"CPU cores, all on the CPU (rate x {whole} ms / {PLANNED_UTILISATION})",
        f"replicas of {REPLICA_CORES} cores, one to spare",
        f"memory of those, GiB ({memory:.0f} MiB each)",
        f"CPU cores beside GPUs (rate x {rest} ms / {PLANNED_UTILISATION})",
        f"GPU replicas at least, one to spare (rate x {retrieve} ms of `retrieve` / {PLANNED_UTILISATION})",
        f"network, Mbit/s (rate x {wire:.0f} bytes)",
    ]
    rows = [head]
    for rate in LOADS:
        cores_of_all = rate * whole / 1e3 / PLANNED_UTILISATION
        replicas = math.ceil(cores_of_all / REPLICA_CORES) + 1
        rows.append(
            [
                f"{rate:,}",
                f"{cores_of_all:,.1f}",
                f"{replicas:,}",
                f"{replicas * memory / 1024:,.1f}",
                f"{rate * rest / 1e3 / PLANNED_UTILISATION:,.1f}",
                f"{math.ceil(rate * retrieve / 1e3 / PLANNED_UTILISATION) + 1:,}",
                f"{rate * wire * 8 / 1e6:,.1f}",
            ]
        )
    return {"What a load takes, by arithmetic from the figures above": rows}


def measure_replica(bundle: Path, shop: Path, console: Console) -> Path:
    """Measures a replica, and writes the report `replica`.

    Args:
        bundle: The bundle to serve.
        shop: Folder of the catalogue's and the log's Parquet files.
        console: Shows progress and figures.

    Returns:
        The report's JSON file.

    Raises:
        SystemExit: The machine has fewer than two cores.
    """
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit(f"cores: found {machine()['cores']}; allowed: 2 or more, one of them for the server")
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    figures = measure_served(bundle, shop, console)
    console.print_json(data=figures)
    return merge_report("replica", "sizing", manifest["id"], figures, MEANINGS, {}, size_loads(figures))
