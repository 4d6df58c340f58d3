"""What our own graph does under load: each function measures one thing once, for a round."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from fuserank.client import Client
from fuserank_benchmarks.load.open_loop import Plan, run
from fuserank_benchmarks.load.questions import SEED, Load, Repeats, ShopQuestions
from fuserank_benchmarks.perf_analyzer.program import PerfAnalyzerError, Program
from fuserank_benchmarks.perf_analyzer.sweep import Point, Sweep, measure, write_inputs

ASKED_AT_MOST = 6_000  # in one measurement; beyond them the first ones would come again
DEADLINE_MS = 500
REFUSED_WITHIN_MS = 10.0
OVERLOAD, SHARE_OF_PEAK = 2.0, 0.7


class Ours:
    """A running server and what it is asked: each measurement new questions, since it remembers queries.

    Args:
        name: Prefix of its figures.
        url: Triton's gRPC address.
        shop: Whence questions are drawn.
        program: perf_analyzer.
        seconds: Of one window; perf_analyzer takes three.
    """

    def __init__(self, name: str, url: str, shop: ShopQuestions, program: Program, seconds: float) -> None:
        self.name, self._url, self._shop, self._program, self._seconds = name, url, shop, program, seconds
        self._drawn = 0

    def load(self, count: int = ASKED_AT_MOST, repeats: Repeats = "none") -> Load:
        """The next questions."""
        self._drawn += 1
        return self._shop.draw(count, repeats, SEED + self._drawn)

    def sweep(self, loads: Sequence[float], repeats: Repeats = "none", **way: Any) -> list[Point]:
        """Throughput and latency at each load; `way` as `Sweep` takes it."""
        points = []
        with tempfile.TemporaryDirectory(prefix="fuserank-load-") as folder:
            for load in loads:
                inputs = write_inputs(Path(folder) / "requests.json", self.load(repeats=repeats).rows())
                points += measure(self._program, self._url, inputs, Sweep([load], seconds=self._seconds, **way))
        return points

    def climb(self, loads: Sequence[float], **way: Any) -> list[Point]:
        """A sweep that ends where the server refuses requests: perf_analyzer stops at the first one."""
        points: list[Point] = []
        for load in loads:
            try:
                points += self.sweep([load], **way)
            except PerfAnalyzerError as error:
                if not points:
                    raise
                warnings.warn(f"{self.name}: the sweep ends before {load:g}: {error}", stacklevel=2)
                break
        return points

    def variants(self, concurrency: float) -> dict[str, Point]:
        """At one concurrency: unary gRPC, shared memory and one stream."""
        ways: dict[str, Any] = {"unary": {}, "shared_memory": {"shared_memory": True}, "streaming": {"streaming": True}}
        found = {}
        for name, way in ways.items():
            # Not every server takes every way: one that fails is left out of the table.
            try:
                found[name] = self.sweep([concurrency], **way)[0]
            except PerfAnalyzerError as error:
                warnings.warn(f"{self.name}: {name} is left out: {error}", stacklevel=2)
        return found

    def saturated(self, concurrency: float) -> Mapping[str, float]:
        """Throughput at the concurrency where it is highest."""
        return {f"{self.name}_throughput": self.sweep([concurrency])[0].throughput}

    def alone(self) -> Mapping[str, float]:
        """Median latency of one request at a time."""
        (point,) = self.sweep([1])
        return {f"{self.name}_p50_ms": point.p50_ms, f"{self.name}_p99_ms": point.p99_ms}

    def repeating(self, concurrency: float) -> Mapping[str, float]:
        """Both where queries repeat as people's do."""
        busy, alone = self.sweep([concurrency, 1], repeats="zipf")
        return {f"zipf_{self.name}_throughput": busy.throughput, f"zipf_{self.name}_p50_ms": alone.p50_ms}

    def steady(self, peak: float) -> Mapping[str, float]:
        """Latency at 70 % of the peak rate, arrivals as a Poisson process."""
        outcome = run(Plan(self._url, self.load().rows(), peak * SHARE_OF_PEAK, 4 * self._seconds))
        return {"steady_p50_ms": outcome.percentile(50), "steady_p99_ms": outcome.percentile(99)}

    def overloaded(self, peak: float) -> Mapping[str, float]:
        """Goodput at twice the peak rate, as a share of the peak."""
        rows = self.load().rows(options=f'{{"deadline_ms":{DEADLINE_MS}}}')
        outcome = run(Plan(self._url, rows, peak * OVERLOAD, 4 * self._seconds))
        return {
            "goodput_at_2x": outcome.goodput(DEADLINE_MS) / peak,
            "refused_in_time_at_2x": outcome.refused_within(REFUSED_WITHIN_MS),
            "sender_late_ms_at_2x": outcome.late_ms,
        }

    def stage_ms(self, count: int = 50) -> dict[str, float]:
        """Milliseconds of each stage by the replies' own account, one request at a time; means."""
        total: dict[str, float] = {}
        with Client(self._url) as client:
            for query, user, _ in self.load(count).rows():
                for stage, microseconds in client.search(query, user).status.microseconds.items():
                    total[stage] = total.get(stage, 0.0) + microseconds / 1e3 / count
        return {stage: round(ms, 3) for stage, ms in total.items()}


def memory(process: psutil.Process) -> tuple[int, int]:
    """Bytes of a process and its children: shared pages counted once (PSS), and counted for each (RSS)."""
    full = [each.memory_full_info() for each in (process, *process.children(recursive=True))]
    return sum(each.pss for each in full), sum(each.rss for each in full)
