"""`make bench`: FuseRank against the machine's ceiling and against its peers, in one run of interleaved rounds.

Writes `build/reports/bench.json` and a page. A quick run measures less, compares the ratios with the last committed
report and names what is slower; it warns and never fails.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from rich.console import Console

from fuserank_benchmarks.demo import free_ports, served
from fuserank_benchmarks.inputs.queries import ShopVocabulary
from fuserank_benchmarks.load.fuserank_server import FuseRankServer, process_memory
from fuserank_benchmarks.load.rounds import Probe, interleave
from fuserank_benchmarks.peers.kinds import KINDS
from fuserank_benchmarks.peers.process import exit_on_sigterm
from fuserank_benchmarks.peers.running import PeersFolder, RunningPeers
from fuserank_benchmarks.peers.tune import RERANK
from fuserank_benchmarks.perf_analyzer.program import find_perf_analyzer
from fuserank_benchmarks.perf_analyzer.sweep import Point
from fuserank_benchmarks.speed.ceiling import (
    BATCHES,
    BareEngines,
    Ceiling,
    copy_gigabytes_per_second,
    dense_bytes,
    engine_feeds,
)
from fuserank_benchmarks.speed.conclusion import PLAIN, SHALLOW, SIZES, WITH_TOWER, conclude
from fuserank_benchmarks.speed.options import Device, SpeedOptions
from fuserank_benchmarks.speed.report import COMPARED, MEANINGS, find_regressions, make_plots, make_tables
from fuserank_benchmarks.speed.roofline import roofline_table
from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.spec import Target
from fuserank_evaluation.reports.report import REPORTS, merge_report

PROGRAM = Path("build/perf_analyzer")
COMMITTED = Path("docs/reports/bench.json")
SWEEP, QUICK_SWEEP = (1, 2, 4, 8, 16, 32), (8, 32)
RATES = (0.3, 0.5, 0.7, 0.9)  # of the peak
TARGETS: Mapping[Device, Target] = {"cpu": "single_process", "cuda": "ensemble_cuda"}
STARTS = 3  # of each server; the first may read from the disk what the others find in memory


@dataclass(frozen=True)
class Peak:
    """The highest throughput of a sweep, and the concurrency that has it."""

    concurrency: float
    throughput: float


class SpeedRun:
    """One run of the benchmark.

    Args:
        options: What is measured.
        console: Shows progress.
    """

    def __init__(self, options: SpeedOptions, console: Console) -> None:
        self._options, self._console = options, console
        self._shop = ShopVocabulary.read(options.shop)
        self._load = self._shop.draw(repeats="none")
        self._seconds = 0.5 if options.quick else 1.2
        self._rounds = 2 if options.quick else 5
        self._open = ExitStack()
        self.figures: dict[str, Any] = {}
        self.sweeps: dict[str, list[Point]] = {}
        self.rates: list[Point] = []
        self.stage_ms: dict[str, float] = {}
        self.bundle_id = ""

    def measure(self) -> None:
        """Starts everything, measures in rounds, and stops everything."""
        with self._open:
            bundles = self._find_bundles()
            main = WITH_TOWER if WITH_TOWER in bundles else PLAIN
            servers = {name: self._serve(name, path) for name, path in bundles.items()}
            self.bundle_id = Bundle.open(bundles[main]).manifest["id"]
            ceiling, engines = self._find_ceiling(bundles[main])
            peaks = {name: self._find_peak(server) for name, server in servers.items()}
            probes = self._server_probes(servers, peaks) | self._ceiling_probes(ceiling, engines)
            probes |= self._rate_probes(servers[main], peaks[main]) | self._repeat_probes(servers, peaks)
            probes |= self._peer_probes(bundles) | self._size_probes()
            self.figures |= conclude(interleave(probes, self._rounds, self._announce), main)
            for name in ("start_seconds", "resident_bytes", "resident_bytes_rss"):
                self.figures[name] = self.figures[f"{name}_{main}"]
            self.stage_ms = servers[main].stage_ms()
            if not self._options.quick:
                self._measure_transports(servers[main], peaks[main].concurrency)
                self._announce("request rates")
                rates = [share * peaks[main].throughput for share in RATES]
                self.rates = servers[main].sweep_until_refused(rates, kind="request_rate")

    def _find_bundles(self) -> dict[str, Path]:
        """The bundles to serve by the servers' names."""
        folders = dict.fromkeys((self._options.tower, self._options.bundle))
        found = [folder for folder in folders if (folder / "manifest.json").exists()]
        bundles = {(WITH_TOWER if Bundle.open(path).spec.text_candidates else PLAIN): path for path in found}
        if not self._options.quick and (self._options.shallow / "manifest.json").exists():
            bundles[SHALLOW] = self._options.shallow
        return bundles

    def _serve(self, name: str, bundle: Path) -> FuseRankServer:
        """Starts a server until the end of the run, and measures its start and its memory."""
        target, start_seconds = TARGETS[self._options.device], []
        # A larger shop's bundle starts slowly, and its start is not reported.
        for _ in range(0 if self._options.quick or name.startswith("items") else STARTS - 1):
            with served(bundle, _ports(), self._console, target) as seconds:
                start_seconds.append(seconds)
        ports = _ports()
        before = {process.pid for process in psutil.Process().children()}
        opened = served(bundle, ports, self._console, target, shared_memory=True)
        start_seconds.append(self._open.enter_context(opened))
        (process,) = [child for child in psutil.Process().children() if child.pid not in before]
        server = FuseRankServer(name, f"127.0.0.1:{ports[1]}", self._shop, find_perf_analyzer(PROGRAM), self._seconds)
        server.sweep([8])  # fills caches and touches the memory in use
        pss, rss = process_memory(process)
        self.figures |= {
            f"start_seconds_{name}": round(median(start_seconds), 2),
            f"resident_bytes_{name}": pss,
            f"resident_bytes_rss_{name}": rss,
        }
        return server

    def _find_ceiling(self, path: Path) -> tuple[Ceiling, BareEngines]:
        self._announce("ceiling: every way of using the cores")
        bundle, quick = Bundle.open(path), self._options.quick
        engines = BareEngines(bundle, engine_feeds(bundle, self._load, 32 if quick else 64))
        ceiling = engines.find_ceiling(0.3 if quick else 1.0, (8, 16) if quick else BATCHES, os.cpu_count() or 1)
        self.figures |= {
            "ceiling_setting": ", ".join(f"{name} {value}" for name, value in asdict(ceiling.setting).items()),
            "copy_gb_per_s": round(copy_gigabytes_per_second(), 1),
            "dense_bytes": dense_bytes(bundle),
        }
        return ceiling, engines

    def _find_peak(self, server: FuseRankServer) -> Peak:
        self._announce(f"{server.name}: sweep of concurrencies")
        points = server.sweep_until_refused(QUICK_SWEEP if self._options.quick else SWEEP)
        self.sweeps[server.name] = points
        best = max(points, key=lambda point: point.throughput)
        return Peak(best.load, best.throughput)

    def _server_probes(self, servers: Mapping[str, FuseRankServer], peaks: Mapping[str, Peak]) -> dict[str, Probe]:
        probes: dict[str, Probe] = {}
        for name, server in servers.items():
            probes[f"{name} saturated"] = partial(server.throughput_at, peaks[name].concurrency)
            probes[f"{name} alone"] = server.latency_alone
        return probes

    def _ceiling_probes(self, ceiling: Ceiling, engines: BareEngines) -> dict[str, Probe]:
        threads = {1, max(1, ceiling.setting.threads * ceiling.setting.workers)}
        return {
            "ceiling": lambda: {"ceiling_throughput": engines.per_second(ceiling.setting, 3 * self._seconds)},
            "engines alone": lambda: {"raw_model_ms": min(engines.alone_ms(count, 1) for count in threads)},
        }

    def _rate_probes(self, server: FuseRankServer, peak: Peak) -> dict[str, Probe]:
        return {
            "70 % of the peak": partial(server.below_peak, peak.throughput),
            "twice the peak": partial(server.overloaded, peak.throughput),
        }

    def _repeat_probes(self, servers: Mapping[str, FuseRankServer], peaks: Mapping[str, Peak]) -> dict[str, Probe]:
        if WITH_TOWER not in servers or self._options.quick:
            return {}
        server, concurrency = servers[WITH_TOWER], peaks[WITH_TOWER].concurrency
        return {"queries that repeat": partial(server.with_repeating_queries, concurrency)}

    def _peer_probes(self, bundles: Mapping[str, Path]) -> dict[str, Probe]:
        """Starts the peers until the end of the run; none in a quick run, or where they are not installed."""
        folder = PeersFolder(self._options.peers)
        if not folder.ready or self._options.quick:
            self._console.print("no peers in this run" + ("" if folder.ready else ": run make bench-peers"))
            return {}
        peers = self._open.enter_context(RunningPeers(folder, self._shop, 3 * self._seconds))
        for kind in KINDS:
            for rerank in (0, RERANK) if WITH_TOWER in bundles else (0,):
                peers.start(kind, rerank)
        for name in (PLAIN, WITH_TOWER):
            if name in bundles:
                peers.start_staged(bundles[name])
        probes: dict[str, Probe] = {}
        for name in peers.contestants:
            probes[name] = partial(peers.measure, name)
            if name.endswith(f"_{RERANK}"):
                probes[f"{name}, queries that repeat"] = partial(peers.measure_repeating, name)
        return probes

    def _size_probes(self) -> dict[str, Probe]:
        """One request at a time at each size of the catalogue; none in a quick run."""
        folders = {size: self._options.tower.parent / f"items-{size}" for size in SIZES}
        if self._options.quick or not all((folder / "manifest.json").exists() for folder in folders.values()):
            return {}
        return {f"items {size}": self._serve(f"items_{size}", folder).latency_alone for size, folder in folders.items()}

    def _measure_transports(self, server: FuseRankServer, concurrency: float) -> None:
        self._announce("shared memory and streaming")
        for name, point in server.transports(concurrency).items():
            self.figures[f"{name}_requests_per_second"] = round(point.throughput, 1)

    def _announce(self, text: str) -> None:
        self._console.print(text, style="dim", highlight=False)


def measure_speed(options: SpeedOptions) -> None:
    """Runs the benchmark, and writes the report, or after a quick run prints what is slower than in the last one."""
    exit_on_sigterm()
    console = Console(width=max(110, Console().width))
    run = SpeedRun(options, console)
    run.measure()
    if options.quick:
        print_regressions(run, console)
        return
    if options.device == "cuda":
        # A point's concurrency stands for its batch; the batches that the server forms stand in its metrics.
        points = run.sweeps.get(WITH_TOWER, run.sweeps.get(PLAIN, []))
        batch_ms = {int(point.load): point.p50_ms for point in points}
        console.print(
            roofline_table(options.tower if WITH_TOWER in run.sweeps else options.bundle, list(batch_ms), batch_ms)
        )
    # Figures of an earlier run with other bundles or peers would stand beside this run's.
    (REPORTS / "bench.json").unlink(missing_ok=True)
    plots = make_plots(run.figures, run.sweeps, run.stage_ms)
    tables = make_tables(run.figures, run.sweeps, run.rates)
    path = merge_report("bench", "speed", run.bundle_id, run.figures, MEANINGS, plots, tables)
    compared = ", ".join(f"{name} {run.figures.get(name)}" for name in COMPARED)
    console.print(f"{compared}\nreport: {path} and {REPORTS / 'bench-speed.md'}", highlight=False)


def print_regressions(run: SpeedRun, console: Console) -> None:
    """Prints the ratios, and which of them are worse than in the last committed report."""
    for name in (*COMPARED, "raw_model_ms"):
        if run.figures.get(name) is not None:
            console.print(f"{name} {run.figures[name]} ({run.figures[f'{name}_low']} to {run.figures[f'{name}_high']})")
    if not COMMITTED.exists():
        console.print(f"{COMMITTED}: not there; nothing to compare with")
        return
    before = json.loads(COMMITTED.read_text("utf-8"))
    for line in find_regressions(before, run.figures) or ["nothing is slower beyond its interval"]:
        console.print(line, highlight=False)


def _ports() -> tuple[int, int, int]:
    http, grpc, metrics = free_ports(3)
    return http, grpc, metrics
