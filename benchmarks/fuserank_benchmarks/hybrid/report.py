"""The report `hybrid`: meanings of its figures, ratios of rounds, and what was tried for the peer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from fuserank_benchmarks.load.rounds import ratios, summarize

if TYPE_CHECKING:
    from fuserank_benchmarks.hybrid.tuning import Tuned
    from fuserank_evaluation.reports.report import Table

STACKS = ("hybrid", "hybrid_peer")  # the first is ours
_SPEED = {
    "throughput": "requests/s of 16 callers",
    "cpu_ms": "ms of CPU time a request takes in all server processes, 16 callers",
    "p50_ms": "ms of one caller's requests: median",
}


def _meanings() -> Iterator[tuple[str, str]]:
    names = {"hybrid": "FuseRank", "hybrid_peer": "LanceDB hybrid, history and LightGBM in the caller"}
    for prefix, queries in (("", "hardly any query twice"), ("zipf_", "queries repeat as in web search logs")):
        end = "_zipf" if prefix else ""
        for figure, meaning in _SPEED.items():
            for stack in STACKS:
                yield f"{prefix}{stack}_{figure}", f"{names[stack]}: {meaning}, {queries}; median of the rounds"
        yield f"throughput_vs_hybrid_peer{end}", f"ratio of the requests/s, within each round, {queries}; goal 10"
        yield f"cpu_vs_hybrid_peer{end}", f"ratio of these CPU times, within each round, {queries}"
        yield f"p50_vs_hybrid_peer{end}", f"ratio of these p50, within each round, {queries}"
    for stack in STACKS:
        yield f"{stack}_resident_bytes", f"{names[stack]}: bytes of all its processes, shared pages once"
    yield "hybrid_cases", "searches for a product type by households of the last 28 days"
    for stack in STACKS:
        yield f"{stack}_search_ndcg_at_10", f"{names[stack]}: nDCG@10 of these by what was then bought"
    yield "hybrid_search_ndcg_at_10_difference", "mean paired difference"
    yield "hybrid_esci_queries", "Amazon's queries, a shop without a log"
    for stack, name in zip(STACKS, ("FuseRank, untrained", "LanceDB hybrid alone"), strict=True):
        yield f"{stack}_esci_ndcg_at_10", f"{name}: nDCG@10 of these, gains 1, 0.1, 0.01, 0"
    yield "hybrid_esci_ndcg_at_10_difference", "mean paired difference"
    yield "hybrid_load_before", "processes that wanted a core in the minute before the rounds"
    yield "hybrid_load_after", "the same at the end, the benchmark's own among them"


MEANINGS: Mapping[str, str] = dict(_meanings())


def conclude(values: Mapping[str, Sequence[float]]) -> dict[str, float | None]:
    """Medians over the rounds with their 95 % intervals, and the ratios of ours to the peer's.

    Args:
        values: Each figure's values, one a round.
    """
    figures: dict[str, float | None] = {}
    for prefix in ("", "zipf_"):
        end = "_zipf" if prefix else ""
        for figure in _SPEED:
            ours, theirs = (values.get(f"{prefix}{stack}_{figure}", ()) for stack in STACKS)
            for stack, of_stack in zip(STACKS, (ours, theirs), strict=True):
                figures |= summarize(f"{prefix}{stack}_{figure}", of_stack, 2)
            name = f"{figure.removesuffix('_ms')}_vs_hybrid_peer{end}"
            figures |= summarize(name, ratios(ours, theirs), 2)
    return figures


def trial_table(tuned: Tuned) -> dict[str, Table]:
    """What was tried for the peer, by caption: how tables rank, and how fast settings are."""
    depths = sorted({int(depth) for by_depth in tuned.ndcg.values() for depth in by_depth})
    quality = [[table, *(f"{by_depth[str(depth)]:.4f}" for depth in depths)] for table, by_depth in tuned.ndcg.items()]
    speed = [[trial.tuning.describe(), f"{trial.per_second:.1f}", trial.error] for trial in tuned.trials]
    return {
        "The peer's nDCG@10 on held-out searches of the window before, by table and candidates": [
            ["table", *map(str, depths)],
            *quality,
        ],
        "The peer's settings that rank within 0.005 of the best, and their requests/s": [
            ["settings", "requests/s", "error"],
            *speed,
        ],
    }
