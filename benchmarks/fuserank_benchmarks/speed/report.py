"""The speed report: meanings of its figures, tables, plots, and what is slower than in the last report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import pyplot as plt

from fuserank_benchmarks.peers.running import STACKS
from fuserank_benchmarks.perf_analyzer.sweep import Point
from fuserank_benchmarks.speed.conclusion import PLAIN, WITH_TOWER
from fuserank_evaluation.reports.report import Table

# Figures that compare within one run, and whether more is better; only these are comparable between runs.
COMPARED: Mapping[str, bool] = {
    "ceiling_ratio": True,
    "overhead_ms": False,
    "throughput_vs_peer": True,
    "p50_vs_peer": False,
    "p99_over_p50_at_70": False,
    "search_only_vs_peer": True,
    "goodput_at_2x": True,
}
MEANINGS: Mapping[str, str] = {
    "ceiling_ratio": "requests/s of the whole graph at saturation over encoder and ranker bare in ONNX Runtime",
    "overhead_ms": "ms, p50 of one request at a time minus the engines alone",
    "throughput_vs_peer": "requests/s with a text rerank of 16 pairs, over the better peer's",
    "p50_vs_peer": "p50 of one request at a time with that rerank, over the better peer's",
    "p99_over_p50_at_70": "p99 over p50 at 70 % of the peak rate, Poisson arrivals",
    "search_only_vs_peer": "requests/s without a text tower, over the better peer's",
    "goodput_at_2x": "answers within 500 ms at twice the peak rate, over the peak",
    "refused_in_time_at_2x": "share of those not answered there that were refused within 10 ms",
    "start_seconds": "s from starting the server to ready, median of three starts",
    "resident_bytes": "bytes of all server processes, shared pages counted once (PSS)",
    "resident_bytes_rss": "bytes of the same, shared pages counted in each process (RSS)",
    "throughput_vs_peer_shallow": "throughput_vs_peer with a text tower of one layer, distilled from that of three",
    "p50_vs_peer_shallow": "p50_vs_peer with that tower",
    "throughput_vs_peer_zipf": "throughput_vs_peer where queries repeat as in web search logs",
    "p50_vs_peer_zipf": "p50_vs_peer where queries repeat as in web search logs",
    "zipf_tower_throughput": "requests/s with that rerank where queries repeat as in web search logs",
    "zipf_tower_p50_ms": "ms, p50 of one request at a time with that rerank where queries repeat so",
    "p50_ratio_1m_to_10k": "p50 at 1M items over p50 at 10k",
    "raw_model_ms": "ms, encoder and ranker alone, one request at a time: median",
    "ceiling_throughput": "requests/s of the engines bare, best of all settings",
    "copy_gb_per_s": "GB/s that one thread copies, read and written",
    "dense_bytes": "bytes that the scan of one dense search reads: its vectors, or their codes",
}


def find_regressions(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """A line for each ratio whose interval is wholly worse than the last report's.

    Ratios of a graph with a text tower say nothing of one without: reports of different graphs are not compared.
    """
    measured = [WITH_TOWER if f"{WITH_TOWER}_throughput" in figures else PLAIN for figures in (before, now)]
    if measured[0] != measured[1]:
        return [f"not compared: the last report is of the graph `{measured[0]}`, this run of `{measured[1]}`"]
    lines = []
    for name, more_is_better in COMPARED.items():
        bound, other = ("_high", "_low") if more_is_better else ("_low", "_high")
        old, new = before.get(f"{name}{other}"), now.get(f"{name}{bound}")
        if old is not None and new is not None and (new < old if more_is_better else new > old):
            lines.append(f"slower: {name} was {before[name]}, is {now[name]} (intervals {old} and {new} do not meet)")
    return lines


def make_tables(
    figures: Mapping[str, Any], sweeps: Mapping[str, Sequence[Point]], rates: Sequence[Point]
) -> dict[str, Table]:
    """Tables by caption: intervals of the compared ratios, each sweep of concurrencies, and that of request rates."""
    measured = [name for name in COMPARED if figures.get(name) is not None]
    intervals = [[name, *(f"{figures[f'{name}{end}']:,}" for end in ("", "_low", "_high"))] for name in measured]
    tables: dict[str, Table] = {
        "Medians over interleaved rounds, 95 % intervals by bootstrap": [
            ["figure", "median", "low", "high"],
            *intervals,
        ]
    }
    for name, points in sweeps.items():
        tables[f"Sweep of {name} by perf_analyzer over gRPC"] = _sweep_table("concurrency", points)
    if rates:
        tables["Request rates, Poisson, by perf_analyzer over gRPC"] = _sweep_table("sent/s", rates)
    return tables


def _sweep_table(load: str, points: Sequence[Point]) -> Table:
    head = [load, "requests/s", "p50 ms", "p90 ms", "p95 ms", "p99 ms", "queue ms", "compute ms"]
    rows = [(p.load, p.throughput, p.p50_ms, p.p90_ms, p.p95_ms, p.p99_ms, p.queue_ms, p.compute_ms) for p in points]
    return [head, *([f"{value:,.1f}" for value in row] for row in rows)]


def make_plots(
    figures: Mapping[str, Any], sweeps: Mapping[str, Sequence[Point]], stage_ms: Mapping[str, float]
) -> dict[str, Any]:
    """Plots by caption: throughput against latency of each stack, and the time of each stage."""
    plot, (left, right) = plt.subplots(1, 2, figsize=(11, 3.5))
    for name, points in sweeps.items():
        left.plot([p.throughput for p in points], [p.p50_ms for p in points], "o-", label=f"FuseRank, {name}")
    for name, value in figures.items():
        if name.startswith(STACKS) and name.endswith("_throughput"):
            stack = name.removesuffix("_throughput")
            left.plot([value], [figures[f"{stack}_p50_ms"]], "s", label=f"{stack} (p50 alone, rate at 8)")
    left.set_yscale("log")
    left.set_xlabel("requests/s")
    left.set_ylabel("p50, ms")
    left.legend(fontsize=7)
    stages = {stage: ms for stage, ms in stage_ms.items() if stage != "total"}
    right.barh(list(stages)[::-1], list(stages.values())[::-1])
    right.set_xlabel("ms in each stage, one request at a time")
    return {"Throughput against latency, and where the time goes": plot}
