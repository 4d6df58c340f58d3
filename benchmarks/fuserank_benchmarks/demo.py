"""`make demo`: starts a bundle's server, asks three questions over gRPC, and measures the first path."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import tritonclient.grpc as triton
from matplotlib import pyplot as plt
from rich.console import Console
from rich.progress import track

from fuserank.aio import AsyncClient
from fuserank.client import Client
from fuserank.tables import tabulate_result
from fuserank_benchmarks.inputs.queries import Load
from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.engine import open_session
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.graph.stages import search_stages
from fuserank_ensemble.spec import Target
from fuserank_evaluation.reports.report import write_report

BLOCK, BLOCKS = 60, 4  # questions in a block, blocks measured
CONCURRENCY, PER_WORKER = 16, 40
STAGES = ("preprocess", "encoder", "retrieve", "ranker", "finalize")

MEANINGS = {
    "items": "items in the catalogue",
    "texts": "distinct texts that were embedded",
    "export_seconds": "s from input files to a finished bundle",
    "embed_texts_per_second": "texts/s while embedding; not measured where an earlier export had embedded all texts",
    "encoder_max_abs_diff_fp32": "largest difference between ONNX and torch, any component",
    "start_seconds": "s from starting the server to its first answer",
    "p50_ms_c1": "ms, query and user over gRPC, one request at a time: median",
    "p99_ms_c1": "ms, the same: 99th percentile",
    "raw_model_ms": "ms, encoder and ranker alone in this process on the same inputs, in blocks by turns: median",
    "overhead_ms": "ms, p50_ms_c1 minus raw_model_ms: tokenising, retrieval, fusion, reasons, all hops",
    "batches_formed": "requests an execution of the graph at concurrency 16",
    "requests_per_second_c16": "requests/s at concurrency 16, client on the same cores",
    "ranker_ndcg_at_10_both": "nDCG@10 of the ranker on later purchases, search with a user",
    "fusion_ndcg_at_10_both": "nDCG@10 of reciprocal-rank fusion alone on the same",
}


@contextmanager
def served(
    bundle: Path,
    ports: tuple[int, int, int],
    console: Console,
    target: Target = "single_process",
    state: str = "none",
    *,
    shared_memory: bool = False,
) -> Iterator[float]:
    """Runs `fuserank serve` on a bundle, with a state where one is named; yields the seconds until it was ready."""
    http, grpc, metrics = (str(port) for port in ports)
    command = [sys.executable, "-m", "fuserank.cli", "serve", str(bundle)]
    command += ["--http-port", http, "--grpc-port", grpc, "--metrics-port", metrics, "--target", target]
    command += ["--state", state, *(["--shared-memory"] if shared_memory else [])]
    started = time.monotonic()
    with console.status("starting Triton"):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        line = process.stdout.readline()
    if " ready after " not in line:
        process.wait()
        raise SystemExit("the server did not start; its message stands above")
    console.print(line.strip(), highlight=False)
    try:
        yield time.monotonic() - started
    finally:
        process.terminate()
        process.wait(timeout=60)
        console.print("server stopped")


def ask(client: Client, console: Console) -> None:
    """Asks the three kinds of question and prints a table of each answer."""
    for title, query, user in (
        ("A query alone: “something for a headache”", "something for a headache", ""),
        ("A household alone: 900", "", "900"),
        ("Both: “coke” for household 900", "coke", "900"),
    ):
        console.print(tabulate_result(client.search(query, user, explain=True), title), "")


def measure_latency(url: str, bundle: Bundle, load: Load) -> dict[str, Any]:
    """Asks one question at a time, and runs the engines alone on the same questions' tensors.

    The two take turns in blocks: a machine that slows down slows both, and neither keeps the other's caches cold.
    """
    client = Client(url)
    engines = _engines(bundle)
    graph = LocalGraph(bundle, engines)
    whole, raw, stages = [], [], []
    for block in track(range(1 + BLOCKS), "measuring latency", transient=True):
        # New questions in each: the server remembers the embeddings of queries.
        block_rows = slice(block * BLOCK, (block + 1) * BLOCK)
        asked = list(zip(load.queries[block_rows], load.users[block_rows], strict=True))
        inputs = [_engine_inputs(graph, query, user) for query, user in asked]
        answers = [_timed(partial(client.search, query, user)) for query, user in asked]
        alone = [_timed(partial(_run_alone, engines, feeds)) for feeds in inputs]
        if block:  # the first one warms both
            whole += [seconds * 1e3 for seconds, _ in answers]
            raw += [seconds * 1e3 for seconds, _ in alone]
            stages += [answer.status.microseconds for _, answer in answers]
    p50, raw_model = float(np.median(whole)), float(np.median(raw))
    return {
        "p50_ms_c1": round(p50, 2),
        "p99_ms_c1": round(float(np.percentile(whole, 99)), 2),
        "raw_model_ms": round(raw_model, 2),
        "overhead_ms": round(p50 - raw_model, 2),
        **{f"{stage}_us_p50": int(np.median([microseconds[stage] for microseconds in stages])) for stage in STAGES},
        "_latencies": whole,
    }


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


def _run_alone(engines: Mapping[str, ort.InferenceSession], feeds: Mapping[str, dict[str, Any]]) -> None:
    for name, tensors in feeds.items():
        engines[name].run(None, tensors)


def _engines(bundle: Bundle) -> dict[str, ort.InferenceSession]:
    """The encoder and the ranker, with as many threads as are worth it to each when nothing else runs."""
    engines = (stage for stage in search_stages(bundle.spec) if stage.kind == "engine")
    return {
        engine.name: open_session(bundle.engine(engine.name), {"intra_op_thread_count": str(engine.threads)})
        for engine in engines
    }


def _engine_inputs(graph: LocalGraph, query: str, user: str) -> dict[str, dict[str, Any]]:
    """What the encoder and the ranker get for a question, from the graph's own stages."""
    return {
        name: inputs for name, inputs in graph.trace([(query, user, {})]) if name in ("encoder", "text_tower", "ranker")
    }


def measure_batching(url: str, load: Load) -> dict[str, float]:
    """Sixteen callers at once: requests a second, and how many an execution of the graph carries."""
    graph = triton.InferenceServerClient(url)

    async def callers() -> float:
        async with AsyncClient(url) as client:

            async def caller(number: int) -> None:
                for i in range(PER_WORKER):
                    at = -1 - number * PER_WORKER - i  # from the end: the others have been asked
                    await client.search(load.queries[at], load.users[at])

            started = time.monotonic()
            await asyncio.gather(*(caller(number) for number in range(CONCURRENCY)))
            return time.monotonic() - started

    before = graph.get_inference_statistics("search").model_stats[0]
    with Console(stderr=True).status("sixteen callers at once"):
        seconds = asyncio.run(callers())
    after = graph.get_inference_statistics("search").model_stats[0]
    executions = after.execution_count - before.execution_count
    return {
        "batches_formed": round((after.inference_count - before.inference_count) / executions, 2),
        "requests_per_second_c16": round(CONCURRENCY * PER_WORKER / seconds, 1),
    }


def plot_latency(latencies: list[float], figures: dict[str, Any]) -> dict[str, Any]:
    """A histogram of latencies and the time of each stage."""
    plot, (left, right) = plt.subplots(1, 2, figsize=(10, 3))
    left.hist(latencies, bins=40)
    left.set_xlabel("ms, query and user over gRPC, concurrency 1")
    left.set_ylabel("requests")
    right.barh(STAGES[::-1], [figures[f"{stage}_us_p50"] / 1e3 for stage in STAGES[::-1]])
    right.set_xlabel("ms in each stage, hops and queues of engines included")
    return {"Latency of the whole graph, and where it goes": plot}


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for listener in sockets:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in sockets]
    finally:
        for listener in sockets:
            listener.close()


def run_demo(bundle: Path, shop: Path) -> None:
    """Serves a bundle, asks three questions, and writes the report `demo`.

    Args:
        bundle: The bundle's folder.
        shop: Folder of the catalogue's and log's Parquet files.
    """
    console = Console(width=max(110, Console().width))
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    http, grpc, metrics = free_ports(3)
    url = f"127.0.0.1:{grpc}"
    with served(bundle, (http, grpc, metrics), console) as start_seconds:
        with Client(url) as client:
            ask(client, console)
        console.print("measuring latency and throughput, about 15 s", style="dim", highlight=False)
        load = Load.of_shop(shop)
        latency = measure_latency(url, Bundle.open(bundle, verify=()), load)
        latencies = latency.pop("_latencies")
        both = manifest["ranker"]["ndcg_at_10"]["both"]
        figures = {
            "items": manifest["counts"]["items"],
            "texts": manifest["counts"]["texts"],
            "export_seconds": manifest["export_seconds"],
            "embed_texts_per_second": manifest["embedding"]["texts_per_second"],
            "encoder_max_abs_diff_fp32": manifest["encoder"]["fp32"]["max_abs_diff"],
            "start_seconds": round(start_seconds, 2),
            **latency,
            **measure_batching(url, load),
            "ranker_ndcg_at_10_both": round(both["ranker"], 4),
            "fusion_ndcg_at_10_both": round(both["fusion"], 4),
        }
    path = write_report("demo", manifest["id"], figures, MEANINGS, plot_latency(latencies, figures))
    printed = ("p50_ms_c1", "raw_model_ms", "overhead_ms", "batches_formed", "requests_per_second_c16")
    console.print(", ".join(f"{name} {figures[name]}" for name in printed), highlight=False)
    console.print(f"report: {path}", highlight=False)
