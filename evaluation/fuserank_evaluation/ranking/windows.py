"""`fuserank evaluate windows`: the same methods over several windows of time, each with models of its own.

A figure of one window says little about the next one. Each window is 28 days; the ranker and LambdaMART are trained
anew for each, on fewer cases than `fuserank evaluate ranking` gives them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from fuserank_ensemble.bundle import Bundle
from fuserank_evaluation.datasets.bundle_encoder import BundleEncoder
from fuserank_evaluation.datasets.cases import WINDOW_SECONDS
from fuserank_evaluation.datasets.grocery import Grocery
from fuserank_evaluation.progress import ProgressCallback
from fuserank_evaluation.ranking.figures import figure_name, number_table
from fuserank_evaluation.ranking.method import RankingMethod
from fuserank_evaluation.ranking.results import MAIN, Results, mean_and_deviation
from fuserank_evaluation.ranking.training import fit_baselines, train_methods
from fuserank_evaluation.reports.report import merge_report
from fuserank_evaluation.retrieval.candidates import CandidateFinder
from fuserank_export.progress import Progress
from fuserank_export.training.fitting.settings import FIT

SETS = ("search", "recommendation", "recommendation_new")
MEANINGS = {
    "windows": "windows of 28 days, each answered from what lies before it",
    "windows_cases": "(household, query) pairs of each earlier window that the ranker and LambdaMART learned from",
}


def shift_window(grocery: Grocery, back: int) -> Grocery:
    """The shop with its evaluated window moved back by so many windows."""
    cut = grocery.cut - back * WINDOW_SECONDS
    return replace(grocery, log=grocery.log.as_of(cut + WINDOW_SECONDS), cut=cut)


def evaluate_window(grocery: Grocery, cases: int, on_progress: ProgressCallback) -> Results:
    """Rankings of one window by methods trained on the events before it; `cases` 0 leaves out the trained ones."""
    finder = CandidateFinder(
        grocery.case_builder(grocery.cut), grocery.interaction_index(grocery.cut), on_progress=on_progress
    )
    methods: list[RankingMethod] = fit_baselines(grocery.past, finder.fused_rows, on_progress)
    if cases:
        ranker, boosted, _ = train_methods(grocery, finder, cases, FIT, on_progress)
        methods += [ranker, boosted]
    results = Results()
    for name in SETS:
        results.add(getattr(grocery.case_sets, name), methods, on_progress)
    return results


def summarize_windows(windows: Sequence[Results]) -> dict[str, dict[str, tuple[float, float]]]:
    """By set of cases and method, the mean and the standard deviation of nDCG@10 over the windows."""
    return {
        name: mean_and_deviation(
            [{method: ranking.mean(MAIN) for method, ranking in window.rankings[name].items()} for window in windows]
        )
        for name in SETS
    }


def window_table(summary: Mapping[str, tuple[float, float]], windows: Sequence[Results], name: str) -> list[list[str]]:
    """A set's mean, deviation and each window's own figure, the latest first; the best method on top."""
    ordered = sorted(summary, key=lambda method: -summary[method][0])
    by_window = {method: [window.rankings[name][method].mean(MAIN) for window in windows] for method in ordered}
    return number_table(
        ("mean", "deviation", *(f"{back} back" if back else "last" for back in range(len(windows)))),
        {method: (*summary[method], *by_window[method]) for method in ordered},
    )


def evaluate_windows(bundle: Path, shop: Path, windows: int, cases: int, console: Console) -> Path:
    """Measures every method on each window, and writes its part of the report `relevance`.

    Args:
        bundle: The demo's bundle.
        shop: Folder of Complete Journey in the input formats.
        windows: How many windows, from the log's last 28 days backwards.
        cases: (household, query) pairs of each earlier window that is learned from; 0 measures baselines alone.
        console: Shows progress.

    Returns:
        The report's JSON file.
    """
    encoder = BundleEncoder(Bundle.open(bundle, verify=()))
    grocery = Grocery.open(encoder.bundle, shop, encoder.embed)
    results: list[Results] = []
    for back in range(windows):
        console.print(f"window {back + 1} of {windows}", style="dim", highlight=False)
        with Progress(console).steps() as on_progress:
            results.append(evaluate_window(shift_window(grocery, back), cases, on_progress))
    summary = summarize_windows(results)
    figures: dict[str, Any] = {"windows": windows, "windows_cases": cases}
    for name, by_method in summary.items():
        for method, (mean, deviation) in by_method.items():
            figure = figure_name(name, MAIN, method)
            figures |= {f"{figure}_windows_mean": round(mean, 4), f"{figure}_windows_deviation": round(deviation, 4)}
    tables = {f"nDCG@10, {name.replace('_', ' ')}": window_table(summary[name], results, name) for name in SETS}
    return merge_report("relevance", "windows", encoder.bundle.id, figures, MEANINGS, {}, tables)
