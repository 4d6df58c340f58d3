"""Plots of the ranking report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl

mpl.use("Agg")  # draws to files: no display is needed
import matplotlib.pyplot as plt
import numpy as np

from fuserank_evaluation.metrics.calibration import Reliability
from fuserank_evaluation.metrics.repetition import Repetition
from fuserank_evaluation.metrics.significance import half_width
from fuserank_evaluation.ranking.figures import PREFIXES, RANKER
from fuserank_evaluation.ranking.results import MAIN, Results


def plot_bars(results: Results, names: Sequence[str]) -> Any:
    """Bars of nDCG@10 of every method, a panel for each set."""
    plot, panels = plt.subplots(1, len(names), figsize=(5 * len(names), 4.5), squeeze=False)
    for name, panel in zip(names, panels[0], strict=True):
        ordered = sorted(results.rankings[name].items(), key=lambda pair: pair[1].mean(MAIN))
        panel.barh(
            [method for method, _ in ordered],
            [ranking.mean(MAIN) for _, ranking in ordered],
            xerr=[half_width(ranking.values[MAIN]) for _, ranking in ordered],
            color=["tab:orange" if method == RANKER else "tab:blue" for method, _ in ordered],
            capsize=3,
        )
        panel.set_title(PREFIXES[name])
        panel.set_xlabel("nDCG@10")
    plot.tight_layout()
    return plot


def plot_repetition(by_method: Mapping[str, Repetition]) -> Any:
    """Recall of items that the household had before against recall of items new to it, a point for each method."""
    plot, panel = plt.subplots(figsize=(6.5, 5))
    for method, recall in by_method.items():
        point = (recall.repeat_recall, recall.explore_recall)
        panel.scatter(*point, color="tab:orange" if method == RANKER else "tab:blue")
        panel.annotate(method, point, xytext=(4, 4), textcoords="offset points")
    panel.set_xlabel("recall@10 of items bought before (repetition)")
    panel.set_ylabel("recall@10 of items new to the household (exploration)")
    plot.tight_layout()
    return plot


def plot_calibration(by_head: Mapping[str, Reliability]) -> Any:
    """Reliability diagram: observed share against predicted probability, a line for each head."""
    plot, panel = plt.subplots(figsize=(5.5, 5))
    for head, diagram in by_head.items():
        panel.plot(diagram.predicted, diagram.observed, marker="o", label=f"{head}, ECE {diagram.error:.4f}")
    lowest = [float(diagram.predicted[diagram.predicted > 0].min(initial=1.0)) for diagram in by_head.values()]
    line = np.geomspace(min(lowest, default=1e-4), 1, 20)
    panel.plot(line, line, color="grey", linewidth=1, label="as predicted")
    panel.set(xscale="log", yscale="log", xlabel="predicted probability", ylabel="share that came true")
    panel.legend()
    plot.tight_layout()
    return plot


def plot_losses(losses: Sequence[Mapping[str, float]]) -> Any:
    """The ranker's loss by epoch on training and on later cases; see `TrainingReport.losses`."""
    plot, panel = plt.subplots(figsize=(6, 4))
    for name, label in (("loss", "training cases"), ("eval_loss", "later cases")):
        points = [(epoch["epoch"], epoch[name]) for epoch in losses if name in epoch]
        panel.plot(*zip(*points, strict=True), marker="o", label=label)
    panel.set(xlabel="epoch", ylabel="loss")
    panel.legend()
    plot.tight_layout()
    return plot
