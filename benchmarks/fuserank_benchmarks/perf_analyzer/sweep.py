"""Runs perf_analyzer on a model at several loads, and reads its measurements.

Its CSV has the times of the client and the model; those of an ensemble's composing models are only on its stdout.
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
    """Times of one composing model in one measurement.

    Attributes:
        queue_us: Microseconds of a request in the queue, mean.
        compute_us: Microseconds of a request for input, inference and output, mean.
        batch: Requests of an execution, mean.
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
        p50_ms: Median latency
        p90_ms: 90th percentile of latency.
        p95_ms: 95th percentile of latency.
        p99_ms: 99th percentile of latency.
        queue_ms: Time in the server's queues, mean.
        compute_ms: Time of computing in the server, mean.
        send_receive_ms: The rest of the time: client and network, mean.
        stages: Times by composing model; empty where the model is no ensemble.
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
    """Settings of a measurement.

    Attributes:
        loads: Concurrencies, or requests a second.
        kind: A closed loop (concurrency) or an open loop (request_rate); perf_analyzer stops where requests fail, so
            rates must stay below saturation.
        seconds: Length of one window.
        windows: How many windows to measure at most; three that agree are averaged.
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
        """Returns perf_analyzer's arguments except for the load."""
        arguments = ["--measurement-interval", str(int(self.seconds * 1e3)), "--max-trials", str(self.windows)]
        arguments += ["--stability-percentage", str(self.stability), "--percentile", "50"]
        if self.kind == "request_rate":
            arguments += ["--request-distribution", "poisson"]
        if self.shared_memory:
            # A reply of ten items with their fields is under 8 KB.
            arguments += ["--shared-memory", "system", "--output-shared-memory-size", str(2**16)]
        return [*arguments, "--streaming"] if self.streaming else arguments


def write_inputs(path: Path, rows: Iterable[tuple[str, str, str]]) -> Path:
    """Writes the file of requests that perf_analyzer sends in turn, and returns its path.

    Args:
        path: The file to write.
        rows: Query, user and options (JSON) of each request.
    """
    requests = [dict(zip(("QUERY", "USER_ID", "OPTIONS"), row, strict=True)) for row in rows]
    data = [{name: {"content": [value], "shape": [1]} for name, value in row.items()} for row in requests]
    path.write_text(json.dumps({"data": data}), "utf-8")
    return path


def measure(program: Program, url: str, inputs: Path, sweep: Sweep, model: str = "search") -> list[Point]:
    """Measures a running server at each load of a sweep.

    Args:
        program: perf_analyzer.
        url: Triton's gRPC address.
        inputs: The file of requests, see `write_inputs`.
        sweep: The loads and settings; each load is a run of perf_analyzer.
        model: Name of the model.

    Returns:
        A measurement of each load, in their order.

    Raises:
        PerfAnalyzerError: Where perf_analyzer fails, with its last lines of output.
    """
    return [_measure_load(program, url, inputs, sweep, load, model) for load in sweep.loads]


def _measure_load(program: Program, url: str, inputs: Path, sweep: Sweep, load: float, model: str) -> Point:
    with tempfile.TemporaryDirectory(prefix="fuserank-load-") as folder:
        table = Path(folder) / "table.csv"
        command = [str(program.path), "-m", model, "-i", "grpc", "-u", url, "--input-data", str(inputs)]
        option = "--concurrency-range" if sweep.kind == "concurrency" else "--request-rate-range"
        command += [option, f"{load:g}", *sweep.arguments(), "-f", str(table), "--verbose-csv"]
        done = subprocess.run(command, env=program.environment(), capture_output=True, text=True, check=False)
        if not table.exists():
            last_lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()][-3:]
            raise PerfAnalyzerError(f"perf_analyzer at {sweep.kind} {load:g} of {url}: {' '.join(last_lines)}")
        return read_points(table.read_text("utf-8"), done.stdout)[0]


def read_points(table: str, stdout: str) -> list[Point]:
    """Reads the measurements of a run.

    Args:
        table: Its CSV, with `--verbose-csv`.
        stdout: What it stdout.

    Raises:
        PerfAnalyzerError: Where the CSV holds no measurement.
    """
    rows = list(csv.DictReader(table.splitlines()))
    if not rows:
        raise PerfAnalyzerError("perf_analyzer's table: found no measurement; allowed: at least one")
    stages = read_stages(stdout)
    return [_read_row(row, stages) for row in rows]


def _read_row(row: Mapping[str, str], stages: Mapping[float, Mapping[str, StageTimes]]) -> Point:
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


def read_stages(stdout: str) -> dict[float, dict[str, StageTimes]]:
    """Reads the composing models' times from perf_analyzer's stdout; returns them by load and model."""
    stages: dict[float, dict[str, StageTimes]] = {}
    load, model, counts = 0.0, "", {"Inference": 0, "Execution": 0}
    for line in stdout.splitlines():
        if load_line := _LOAD.match(line):
            load, model = float(load_line[1]), ""
        elif model_line := _MODEL.match(line):
            model = model_line[1]
        elif count_line := _COUNT.match(line):
            counts[count_line[1]] = int(count_line[2])
        elif model and (times := _TIMES.search(line)):
            queue, *compute = map(int, times.groups())
            batch = counts["Inference"] / max(1, counts["Execution"])
            stages.setdefault(load, {})[model] = StageTimes(queue, sum(compute), round(batch, 2))
    return stages
