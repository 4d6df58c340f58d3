"""`make bench`: our graph against the machine's ceiling and against its peers, in one run, by turns.

Writes `build/reports/bench.json` and a page. `--quick` measures less, holds the ratios against the last committed
report and names what got slower; it warns and never fails.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from rich.console import Console

from fuserank_benchmarks import roofline
from fuserank_benchmarks.ceiling import Bare, Ceiling, copy_gigabytes_per_second, dense_bytes, engine_feeds
from fuserank_benchmarks.demo import free_ports, served
from fuserank_benchmarks.load.ours import Ours, memory
from fuserank_benchmarks.load.questions import ShopQuestions
from fuserank_benchmarks.load.rounds import Probe, interleaved, ratios, summary
from fuserank_benchmarks.load.theirs import KINDS, RERANK, STACKS, PeersFolder, Theirs
from fuserank_benchmarks.peers.process import exit_on_sigterm
from fuserank_benchmarks.perf_analyzer.program import find_perf_analyzer
from fuserank_benchmarks.perf_analyzer.sweep import Point
from fuserank_benchmarks.speed_report import COMPARED, MEANINGS, plots, slower, tables
from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.spec import Target
from fuserank_evaluation.reports.report import REPORTS, merge_report

PROGRAM = Path("build/perf_analyzer")
COMMITTED = Path("docs/reports/bench.json")
SWEEP, QUICK_SWEEP = (1, 2, 4, 8, 16, 32), (8, 32)
PLAIN, WITH_TOWER, SHALLOW = "plain", "tower", "shallow"
RATES = (0.3, 0.5, 0.7, 0.9)  # of the peak
TARGETS: Mapping[str, Target] = {"cpu": "single_process", "cuda": "ensemble_cuda"}
STARTS = 3  # of each server; the first may have to read from the disk what the others find in memory
SIZES = ("10k", "1m")  # as `load/sizes.py` writes them beside the bundle with a tower


class Run:
    """One run of the benchmark.

    Args:
        given: The command line.
        console: Where progress is told.
    """

    def __init__(self, given: argparse.Namespace, console: Console) -> None:
        self._given, self._console = given, console
        self._shop = ShopQuestions.read(given.shop)
        self._load = self._shop.draw(repeats="none")
        self._seconds = 0.5 if given.quick else 1.2
        self._rounds = 2 if given.quick else 5
        self._open = ExitStack()
        self.figures: dict[str, Any] = {}
        self.sweeps: dict[str, list[Point]] = {}
        self.rates: list[Point] = []
        self.stage_ms: dict[str, float] = {}
        self.bundle_id = ""

    def measure(self) -> None:
        """Starts everything, measures in rounds, and stops everything."""
        with self._open:
            mains = [
                bundle for bundle in (self._given.tower, self._given.bundle) if (bundle / "manifest.json").exists()
            ]
            servers = {
                (WITH_TOWER if Bundle.open(path).spec.text_candidates else PLAIN): path for path in dict.fromkeys(mains)
            }
            main = WITH_TOWER if WITH_TOWER in servers else PLAIN
            if not self._given.quick and (self._given.shallow / "manifest.json").exists():
                servers[SHALLOW] = self._given.shallow
            ours = {name: self._serve(name, path) for name, path in servers.items()}
            self.bundle_id = Bundle.open(servers[main]).manifest["id"]
            ceiling, bare = self._ceiling(servers[main])
            peaks = {name: self._peak(each) for name, each in ours.items()}
            probes = self._probes(ours, peaks, servers, bare, ceiling) | self._sizes()
            measured = interleaved(probes, self._rounds, self._tell)
            self._conclude(measured, main)
            self.stage_ms = ours[main].stage_ms()
            if not self._given.quick:
                self._variants(ours[main], peaks[main][0])
                self._tell("request rates")
                self.rates = ours[main].climb([share * peaks[main][1] for share in RATES], kind="request_rate")

    def _serve(self, name: str, bundle: Path) -> Ours:
        target, started = TARGETS[self._given.device], []
        # A larger shop's bundle takes its time, and how long is not asked.
        for _ in range(0 if self._given.quick or name.startswith("items") else STARTS - 1):
            with served(bundle, free_ports(3), self._console, target) as seconds:
                started.append(seconds)
        http, grpc, metrics = free_ports(3)
        before = {each.pid for each in psutil.Process().children()}
        started.append(self._open.enter_context(served(bundle, (http, grpc, metrics), self._console, target)))
        url = f"127.0.0.1:{grpc}"
        (server,) = [each for each in psutil.Process().children() if each.pid not in before]
        own = Ours(name, url, self._shop, find_perf_analyzer(PROGRAM), self._seconds)
        own.sweep([8])  # warms caches and touches the memory that it works in
        pss, rss = memory(server)
        self.figures |= {f"start_seconds_{name}": round(median(started), 2), f"resident_bytes_{name}": pss}
        self.figures[f"resident_bytes_rss_{name}"] = rss
        return own

    def _ceiling(self, path: Path) -> tuple[Ceiling, Bare]:
        self._tell("ceiling: every way of using the cores")
        bundle = Bundle.open(path)
        bare = Bare(bundle, engine_feeds(bundle, self._load, 32 if self._given.quick else 64))
        sizes = (8, 16) if self._given.quick else (1, 2, 4, 8, 16, 32)
        found = bare.best(0.3 if self._given.quick else 1.0, sizes, os.cpu_count() or 1)
        self.figures |= {
            "ceiling_setting": ", ".join(f"{name} {value}" for name, value in asdict(found.setting).items()),
            "copy_gb_per_s": round(copy_gigabytes_per_second(), 1),
            "dense_bytes": dense_bytes(bundle),
        }
        return found, bare

    def _peak(self, ours: Ours) -> tuple[float, float]:
        self._tell(f"{ours.name}: sweep of concurrencies")
        points = ours.climb(QUICK_SWEEP if self._given.quick else SWEEP)
        self.sweeps[ours.name] = points
        best = max(points, key=lambda point: point.throughput)
        return best.load, best.throughput

    def _probes(
        self,
        ours: dict[str, Ours],
        peaks: dict[str, tuple[float, float]],
        servers: dict[str, Path],
        bare: Bare,
        ceiling: Ceiling,
    ) -> dict[str, Probe]:
        main = WITH_TOWER if WITH_TOWER in servers else PLAIN
        seconds = 3 * self._seconds
        threads = max(1, ceiling.setting.threads * ceiling.setting.workers)
        probes: dict[str, Probe] = {}
        for name, each in ours.items():
            probes[f"{name} saturated"] = partial(each.saturated, peaks[name][0])
            probes[f"{name} alone"] = each.alone
        probes["ceiling"] = lambda: {"ceiling_throughput": bare.per_second(ceiling.setting, seconds)}
        probes["engines alone"] = lambda: {"raw_model_ms": min(bare.alone_ms(n, 1) for n in {1, threads})}
        peak = peaks[main][1]
        probes["70 % of the peak"] = lambda: ours[main].steady(peak)
        probes["twice the peak"] = lambda: ours[main].overloaded(peak)
        if WITH_TOWER in ours and not self._given.quick:
            probes["queries that repeat"] = partial(ours[WITH_TOWER].repeating, peaks[WITH_TOWER][0])
        folder = PeersFolder(self._given.peers)
        if not folder.ready or self._given.quick:
            self._console.print("no peers in this run" + ("" if folder.ready else ": run make bench-peers"))
            return probes
        loads = (self._load, self._shop.draw(repeats="zipf"))
        questions, repeating = (list(zip(load.queries, load.users, strict=True)) for load in loads)
        theirs = self._open.enter_context(Theirs(folder, questions, repeating, seconds))
        for kind in KINDS:
            for rerank in (0, RERANK) if WITH_TOWER in ours else (0,):
                theirs.start(kind, rerank)
        for name in (PLAIN, WITH_TOWER):
            if name in servers:
                theirs.start_staged(servers[name])
        for name in theirs.running:
            probes[name] = partial(theirs.probe, name)
            if name.endswith(f"_{RERANK}"):
                probes[f"{name}, queries that repeat"] = partial(theirs.probe_repeating, name)
        return probes

    def _sizes(self) -> dict[str, Probe]:
        """One request at a time at each size of the catalogue; none in a quick run."""
        folders = {size: self._given.tower.parent / f"items-{size}" for size in SIZES}
        if self._given.quick or not all((folder / "manifest.json").exists() for folder in folders.values()):
            return {}
        return {f"items {size}": self._serve(f"items_{size}", folder).alone for size, folder in folders.items()}

    def _conclude(self, found: dict[str, list[float]], main: str) -> None:
        ours, p50 = found[f"{main}_throughput"], found[f"{main}_p50_ms"]
        overhead = [whole - bare for whole, bare in zip(p50, found["raw_model_ms"], strict=True)]
        self.figures |= summary("ceiling_ratio", ratios(ours, found["ceiling_throughput"]))
        self.figures |= summary("overhead_ms", overhead)
        self.figures |= summary("p99_over_p50_at_70", ratios(found["steady_p99_ms"], found["steady_p50_ms"]))
        self._against(found, "throughput_vs_peer", f"{WITH_TOWER}_throughput", f"_{RERANK}_throughput", max)
        self._against(found, "p50_vs_peer", f"{WITH_TOWER}_p50_ms", f"_{RERANK}_p50_ms", min)
        self._against(found, "search_only_vs_peer", f"{PLAIN}_throughput", "_0_throughput", max)
        self._against(found, f"throughput_vs_peer_{SHALLOW}", f"{SHALLOW}_throughput", f"_{RERANK}_throughput", max)
        self._against(found, f"p50_vs_peer_{SHALLOW}", f"{SHALLOW}_p50_ms", f"_{RERANK}_p50_ms", min)
        repeating = {name.removeprefix("zipf_"): values for name, values in found.items() if name.startswith("zipf_")}
        self._against(repeating, "throughput_vs_peer_zipf", f"{WITH_TOWER}_throughput", f"_{RERANK}_throughput", max)
        self._against(repeating, "p50_vs_peer_zipf", f"{WITH_TOWER}_p50_ms", f"_{RERANK}_p50_ms", min)
        for name in (f"zipf_{WITH_TOWER}_throughput", f"zipf_{WITH_TOWER}_p50_ms"):
            self.figures |= summary(name, found.get(name, []), digits=2)
        for name in ("goodput_at_2x", "refused_in_time_at_2x"):
            self.figures |= summary(name, found[name])
        for name, values in found.items():
            self.figures |= summary(name, values, digits=2) if name not in self.figures else {}
        for name in ("start_seconds", "resident_bytes", "resident_bytes_rss"):
            self.figures[name] = self.figures[f"{name}_{main}"]
        small, large = (found.get(f"items_{size}_p50_ms", []) for size in SIZES)
        self.figures |= summary("p50_ratio_1m_to_10k", ratios(large, small))

    def _against(self, found: dict[str, list[float]], name: str, mine: str, theirs: str, better: Any) -> None:
        """A ratio to the better peer, by the median of its rounds."""
        peers = {stack: found[f"{stack}{theirs}"] for stack in STACKS if f"{stack}{theirs}" in found}
        if mine not in found or not peers:
            self.figures |= summary(name, [])
            return
        best = better(peers, key=lambda kind: sorted(peers[kind])[len(peers[kind]) // 2])
        self.figures |= {f"{name}_peer": best, **summary(name, ratios(found[mine], peers[best]))}

    def _variants(self, ours: Ours, concurrency: float) -> None:
        self._tell("shared memory and streaming")
        for name, point in ours.variants(concurrency).items():
            self.figures[f"{name}_requests_per_second"] = round(point.throughput, 1)

    def _tell(self, text: str) -> None:
        self._console.print(text, style="dim", highlight=False)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("build/demo"), help="without a text tower")
    parser.add_argument("--tower", type=Path, default=Path("build/bench/bundle"), help="with one, where there is one")
    parser.add_argument(
        "--shallow",
        type=Path,
        default=Path("build/bench/shallow"),
        help="with a tower of one layer, taught by the other",
    )
    parser.add_argument("--shop", type=Path, default=Path("build/complete-journey"))
    parser.add_argument("--peers", type=Path, default=Path("build/peers"))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda: what is expected stands beside")
    parser.add_argument("--quick", action="store_true", help="ratios only, against the last committed report")
    given = parser.parse_args()
    exit_on_sigterm()
    console = Console(width=max(110, Console().width))
    run = Run(given, console)
    run.measure()
    if given.quick:
        before = json.loads(COMMITTED.read_text("utf-8")) if COMMITTED.exists() else {}
        known = [name for name in (*COMPARED, "raw_model_ms") if run.figures.get(name) is not None]
        for name in known:
            console.print(f"{name} {run.figures[name]} ({run.figures[f'{name}_low']} to {run.figures[f'{name}_high']})")
        if not before:
            console.print(f"{COMMITTED}: not there; nothing to compare with")
            return
        for line in slower(before, run.figures) or ["nothing got slower beyond its interval"]:
            console.print(line, highlight=False)
        return
    if given.device == "cuda":
        # Of one batch at the concurrency of each point: what the server's batches really hold stands in its metrics.
        batch_ms = {int(point.load): point.p50_ms for point in run.sweeps.get(WITH_TOWER, run.sweeps.get(PLAIN, []))}
        main_bundle = given.tower if WITH_TOWER in run.sweeps else given.bundle
        console.print(roofline.table(main_bundle, list(batch_ms), batch_ms))
    # No other command writes this report: figures of a run with other bundles or peers would stand beside this one's.
    (REPORTS / "bench.json").unlink(missing_ok=True)
    path = merge_report(
        "bench", "speed", run.bundle_id, run.figures, MEANINGS, plots(run), tables(run.figures, run.sweeps, run.rates)
    )
    shown = ", ".join(f"{name} {run.figures.get(name)}" for name in COMPARED)
    console.print(f"{shown}\nreport: {path} and {REPORTS / 'bench-speed.md'}", highlight=False)


if __name__ == "__main__":
    main()
