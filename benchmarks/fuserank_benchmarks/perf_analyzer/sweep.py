"""Runs perf_analyzer on a model, and reads what it prints and writes.

Its CSV has the client's and the model's figures; those of an ensemble's composing models stand only in its output.
"""

from __future__ import annotations

import csv
import json
import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fuserank_benchmarks.perf_analyzer.program import PerfAnalyzerError, Program

Kind = Literal["concurrency", "request_rate"]
_LOAD = re.compile(r"^Request (?:concurrency|rate|Rate): ([\d.]+)", re.I)
_MODEL = re.compile(r"^\s+(\S+), version: ")
_COUNT = re.compile(r"^\s+(Inference|Execution) count: (\d+)")
_TIMES = re.compile(r"queue (\d+) usec \+ compute input (\d+) usec \+ compute infer (\d+) usec \+ compute output (\d+)")


@dataclass(frozen=True)
class StageTimes:
    """One composing model in one measurement; microseconds a request, means.

    Attributes:
        queue_us: Waiting.
        compute_us: Input, inference and output together.
        batch: Requests an execution.
    """

    queue_us: int
    compute_us: int
    batch: float


@dataclass(frozen=True)
class Point:
    """One measurement of a sweep; latencies in milliseconds.

    Attributes:
        load: Concurrency, or requests sent a second.
        throughput: Answers a second.
        queue_ms: Waiting in the server, mean.
        compute_ms: Computing in the server, mean.
        send_receive_ms: All that neither the server's queue nor its compute times account for, mean.
        stages: By composing model; empty where the model is no ensemble.
    """

    load: float
    throughput: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    queue_ms: float
    compute_ms: float
    send_receive_ms: float
    stages: Mapping[str, StageTimes] = field(default_factory=dict)


@dataclass(frozen=True)
class Sweep:
    """What is measured, and how.

    Attributes:
        loads: Concurrencies, or requests a second.
        kind: Closed loop or open loop; perf_analyzer stops where requests fail, so that rates stay below saturation.
        seconds: Of one window.
        windows: Tried at most; three that agree are averaged.
        stability: Percent by which windows may differ. Beyond it perf_analyzer would write nothing: by default the
            first three are taken, and whoever needs the spread measures in rounds.
        shared_memory: Tensors travel through system shared memory.
        streaming: Requests and replies go over one gRPC stream.
    """

    loads: Sequence[float]
    kind: Kind = "concurrency"
    seconds: float = 2.0
    windows: int = 6
    stability: int = 999
    shared_memory: bool = False
    streaming: bool = False

    def arguments(self) -> list[str]:
        """perf_analyzer's arguments, but for the load."""
        arguments = ["--measurement-interval", str(int(self.seconds * 1e3)), "--max-trials", str(self.windows)]
        arguments += ["--stability-percentage", str(self.stability), "--percentile", "50"]
        if self.kind == "request_rate":
            arguments += ["--request-distribution", "poisson"]
        if self.shared_memory:
            # A reply of ten items with their fields is under 8 KB.
            arguments += ["--shared-memory", "system", "--output-shared-memory-size", str(2**16)]
        return [*arguments, "--streaming"] if self.streaming else arguments


def write_inputs(path: Path, rows: Iterable[tuple[str, str, str]]) -> Path:
    """Writes the file of requests that perf_analyzer takes in turn.

    Args:
        path: The file.
        rows: Query, user and options, each as it goes on the wire.
    """
    named = [dict(zip(("QUERY", "USER_ID", "OPTIONS"), row, strict=True)) for row in rows]
    data = [{name: {"content": [value], "shape": [1]} for name, value in row.items()} for row in named]
    path.write_text(json.dumps({"data": data}), "utf-8")
    return path


def measure(program: Program, url: str, inputs: Path, sweep: Sweep, model: str = "search") -> list[Point]:
    """Measures a running server.

    Args:
        program: perf_analyzer.
        url: Triton's gRPC address.
        inputs: The file of requests, see `write_inputs`.
        sweep: What is measured; each load is a run of its own, so that any steps may be named.
        model: Whom to ask.

    Raises:
        PerfAnalyzerError: Where it fails, with its last words.
    """
    return [_point(program, url, inputs, sweep, load, model) for load in sweep.loads]


def _point(program: Program, url: str, inputs: Path, sweep: Sweep, load: float, model: str) -> Point:
    with tempfile.TemporaryDirectory(prefix="fuserank-load-") as folder:
        table = Path(folder) / "table.csv"
        command = [str(program.path), "-m", model, "-i", "grpc", "-u", url, "--input-data", str(inputs)]
        option = "--concurrency-range" if sweep.kind == "concurrency" else "--request-rate-range"
        command += [option, f"{load:g}", *sweep.arguments(), "-f", str(table), "--verbose-csv"]
        done = subprocess.run(command, env=program.environment(), capture_output=True, text=True, check=False)
        if not table.exists():
            said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()][-3:]
            raise PerfAnalyzerError(f"perf_analyzer at {sweep.kind} {load:g} of {url}: {' '.join(said)}")
        return read_points(table.read_text("utf-8"), done.stdout)[0]


def read_points(table: str, printed: str) -> list[Point]:
    """Reads a run.

    Args:
        table: Its CSV, with `--verbose-csv`.
        printed: What it wrote on stdout.

    Raises:
        PerfAnalyzerError: Where the table holds no measurement.
    """
    rows = list(csv.DictReader(table.splitlines()))
    if not rows:
        raise PerfAnalyzerError("perf_analyzer's table: found no measurement; allowed: at least one")
    stages = read_stages(printed)
    return [_read(row, stages) for row in rows]


def _read(row: Mapping[str, str], stages: Mapping[float, Mapping[str, StageTimes]]) -> Point:
    load = float(row.get("Concurrency") or row["Request Rate"])

    def ms(*names: str) -> float:
        return sum(float(row[name]) for name in names) / 1e3

    return Point(
        load=load,
        throughput=float(row["Inferences/Second"]),
        **{f"{name}_ms": ms(f"{name} latency") for name in ("p50", "p90", "p95", "p99")},
        queue_ms=ms("Server Queue"),
        compute_ms=ms("Server Compute Input", "Server Compute Infer", "Server Compute Output"),
        send_receive_ms=ms("Client Send", "Network+Server Send/Recv", "Client Recv"),
        stages=stages.get(load, {}),
    )


def read_stages(printed: str) -> dict[float, dict[str, StageTimes]]:
    """The composing models' times that perf_analyzer prints, by load and model."""
    found: dict[float, dict[str, StageTimes]] = {}
    load, model, counts = 0.0, "", {"Inference": 0, "Execution": 0}
    for line in printed.splitlines():
        if started := _LOAD.match(line):
            load, model = float(started[1]), ""
        elif named := _MODEL.match(line):
            model = named[1]
        elif counted := _COUNT.match(line):
            counts[counted[1]] = int(counted[2])
        elif model and (times := _TIMES.search(line)):
            queue, *compute = (int(each) for each in times.groups())
            batch = counts["Inference"] / max(1, counts["Execution"])
            found.setdefault(load, {})[model] = StageTimes(queue, sum(compute), round(batch, 2))
    return found
