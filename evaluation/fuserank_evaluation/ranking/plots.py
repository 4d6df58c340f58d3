"""The report's plots."""

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
from fuserank_evaluation.ranking.results import MAIN, Results
from fuserank_evaluation.ranking.summary import PREFIXES, RANKER


def bars(results: Results, names: Sequence[str]) -> Any:
    """NDCG@10 of every entrant, a panel a set."""
    plot, panels = plt.subplots(1, len(names), figsize=(5 * len(names), 4.5), squeeze=False)
    for name, panel in zip(names, panels[0], strict=True):
        ordered = sorted(results.rankings[name].items(), key=lambda pair: pair[1].mean(MAIN))
        panel.barh(
            [entrant for entrant, _ in ordered],
            [ranking.mean(MAIN) for _, ranking in ordered],
            xerr=[half_width(ranking.values[MAIN]) for _, ranking in ordered],
            color=["tab:orange" if entrant == RANKER else "tab:blue" for entrant, _ in ordered],
            capsize=3,
        )
        panel.set_title(PREFIXES[name])
        panel.set_xlabel("nDCG@10")
    plot.tight_layout()
    return plot


def repetition_plot(found: Mapping[str, Repetition]) -> Any:
    """Recall of what the household had before against recall of what is new to it."""
    plot, panel = plt.subplots(figsize=(6.5, 5))
    for name, each in found.items():
        panel.scatter(each.repeat_recall, each.explore_recall, color="tab:orange" if name == RANKER else "tab:blue")
        panel.annotate(name, (each.repeat_recall, each.explore_recall), xytext=(4, 4), textcoords="offset points")
    panel.set_xlabel("recall@10 of items bought before (repetition)")
    panel.set_ylabel("recall@10 of items new to the household (exploration)")
    plot.tight_layout()
    return plot


def calibration_plot(found: Mapping[str, Reliability]) -> Any:
    """What came true of what was predicted."""
    plot, panel = plt.subplots(figsize=(5.5, 5))
    for head, each in found.items():
        panel.plot(each.predicted, each.observed, marker="o", label=f"{head}, ECE {each.error:.4f}")
    least = min((float(each.predicted[each.predicted > 0].min(initial=1.0)) for each in found.values()), default=1e-4)
    line = np.geomspace(least, 1, 20)
    panel.plot(line, line, color="grey", linewidth=1, label="as predicted")
    panel.set(xscale="log", yscale="log", xlabel="predicted probability", ylabel="share that came true")
    panel.legend()
    plot.tight_layout()
    return plot


def losses_plot(losses: Sequence[Mapping[str, float]]) -> Any:
    """The ranker's loss by epoch, on what it learns from and on later cases; see `TrainingReport.losses`."""
    plot, panel = plt.subplots(figsize=(6, 4))
    for name, label in (("loss", "learned from"), ("eval_loss", "later cases")):
        points = [(each["epoch"], each[name]) for each in losses if name in each]
        panel.plot(*zip(*points, strict=True), marker="o", label=label)
    panel.set(xlabel="epoch", ylabel="loss")
    panel.legend()
    plot.tight_layout()
    return plot
