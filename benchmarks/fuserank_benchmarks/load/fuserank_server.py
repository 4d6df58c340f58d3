"""Measurements of a running FuseRank server, each taken once, for a round."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from fuserank.client import Client
from fuserank_benchmarks.inputs.queries import FreshLoad, Repeats, ShopVocabulary
from fuserank_benchmarks.load.open_loop import Plan, send_from_process
from fuserank_benchmarks.perf_analyzer.program import PerfAnalyzerError, Program
from fuserank_benchmarks.perf_analyzer.sweep import Point, Sweep, measure, write_inputs

DEADLINE_MS = 500
REFUSED_WITHIN_MS = 10.0
OVERLOAD, SHARE_OF_PEAK = 2.0, 0.7


class FuseRankServer:
    """A running server under load; each measurement sends new requests, since the server caches queries.

    Args:
        name: Prefix of its figures.
        url: Triton's gRPC address.
        shop: What requests are drawn from.
        program: perf_analyzer.
        seconds: Length of a window; perf_analyzer takes three.
    """

    def __init__(self, name: str, url: str, shop: ShopVocabulary, program: Program, seconds: float) -> None:
        self.name, self._url, self._load, self._program, self._seconds = name, url, FreshLoad(shop), program, seconds

    def sweep(self, loads: Sequence[float], repeats: Repeats = "none", **settings: Any) -> list[Point]:
        """Throughput and latency at each load; `settings` as `Sweep` takes them."""
        points = []
        with tempfile.TemporaryDirectory(prefix="fuserank-load-") as folder:
            for load in loads:
                inputs = write_inputs(Path(folder) / "requests.json", self._load.draw(repeats=repeats).requests())
                points += measure(self._program, self._url, inputs, Sweep([load], seconds=self._seconds, **settings))
        return points

    def sweep_until_refused(self, loads: Sequence[float], **settings: Any) -> list[Point]:
        """A sweep that ends with a warning where the server refuses requests: perf_analyzer stops at the first one."""
        points: list[Point] = []
        for load in loads:
            try:
                points += self.sweep([load], **settings)
            except PerfAnalyzerError as error:
                if not points:
                    raise
                warnings.warn(f"{self.name}: the sweep ends before {load:g}: {error}", stacklevel=2)
                break
        return points

    def transports(self, concurrency: float) -> dict[str, Point]:
        """Unary gRPC, shared memory and one stream at one concurrency; a transport that fails is left out."""
        settings: dict[str, Any] = {
            "unary": {},
            "shared_memory": {"shared_memory": True},
            "streaming": {"streaming": True},
        }
        points = {}
        for name, transport in settings.items():
            try:
                points[name] = self.sweep([concurrency], **transport)[0]
            except PerfAnalyzerError as error:
                warnings.warn(f"{self.name}: {name} is left out: {error}", stacklevel=2)
        return points

    def throughput_at(self, concurrency: float) -> Mapping[str, float]:
        """Requests a second at a concurrency."""
        return {f"{self.name}_throughput": self.sweep([concurrency])[0].throughput}

    def latency_alone(self) -> Mapping[str, float]:
        """Median and 99th percentile of the latency of one request at a time."""
        (point,) = self.sweep([1])
        return {f"{self.name}_p50_ms": point.p50_ms, f"{self.name}_p99_ms": point.p99_ms}

    def with_repeating_queries(self, concurrency: float) -> Mapping[str, float]:
        """Throughput at a concurrency and median latency alone, where queries repeat as in search logs."""
        busy, alone = self.sweep([concurrency, 1], repeats="zipf")
        return {f"zipf_{self.name}_throughput": busy.throughput, f"zipf_{self.name}_p50_ms": alone.p50_ms}

    def below_peak(self, peak: float) -> Mapping[str, float]:
        """Latency at 70 % of the peak rate, with Poisson arrivals."""
        plan = Plan(self._url, self._load.draw().requests(), peak * SHARE_OF_PEAK, 4 * self._seconds)
        outcome = send_from_process(plan)
        return {"steady_p50_ms": outcome.percentile(50), "steady_p99_ms": outcome.percentile(99)}

    def overloaded(self, peak: float) -> Mapping[str, float]:
        """Goodput at twice the peak rate as a share of the peak, and how soon the others are refused."""
        requests = self._load.draw().requests(options=f'{{"deadline_ms":{DEADLINE_MS}}}')
        outcome = send_from_process(Plan(self._url, requests, peak * OVERLOAD, 4 * self._seconds))
        return {
            "goodput_at_2x": outcome.goodput(DEADLINE_MS) / peak,
            "refused_in_time_at_2x": outcome.refused_within(REFUSED_WITHIN_MS),
            "sender_late_ms_at_2x": outcome.late_ms,
        }

    def stage_ms(self, count: int = 50) -> dict[str, float]:
        """Mean milliseconds of each stage as the replies report them, one request at a time."""
        total: dict[str, float] = {}
        with Client(self._url) as client:
            for query, user, _ in self._load.draw(count).requests():
                for stage, microseconds in client.search(query, user).status.microseconds.items():
                    total[stage] = total.get(stage, 0.0) + microseconds / 1e3 / count
        return {stage: round(ms, 3) for stage, ms in total.items()}


def process_memory(process: psutil.Process) -> tuple[int, int]:
    """Bytes of a process and its children: shared pages counted once (PSS), and counted for each process (RSS)."""
    infos = [part.memory_full_info() for part in (process, *process.children(recursive=True))]
    return sum(info.pss for info in infos), sum(info.rss for info in infos)


def cpu_seconds(process: psutil.Process) -> float:
    """CPU time of a process and its children so far, of the user and of the system."""
    times = [part.cpu_times() for part in (process, *process.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))
