"""The report of a text model's training: `training.json`, and a plot of loss and validation nDCG@10."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

REPORT, CURVE = "training.json", "loss.png"
Precision = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class TextTrainingReport:
    """Settings and results of a training.

    Attributes:
        settings: The settings.
        precision: Number format of the matrix products.
        processes: How many processes trained together.
        steps: Optimiser steps.
        best_step: The step whose weights were kept.
        stopped_early: Whether training ended because validation nDCG@10 no longer rose.
        resumed_from: The step that this run went on from; 0 for a run from the start.
        pairs: Pairs that this run trained on, over all processes.
        seconds: Time of training in this run, without evaluations.
        pairs_per_second: Pairs divided by these seconds.
        evaluation_seconds: Time of evaluations and checkpoints in this run.
        ndcg_at_10: nDCG@10 on the held-out queries: of the model (`model`), of its teacher if any (`teacher`), and of
            the order of fusion (`fusion`).
        losses: `[step, loss]` as logged.
        validation: `[step, nDCG@10]` on the validation queries.
        data: Numbers of queries, labels and rows behind the training rows.
        versions: Versions of the libraries.
    """

    settings: dict[str, Any]
    precision: Precision
    processes: int
    steps: int
    best_step: int
    stopped_early: bool
    resumed_from: int
    pairs: int
    seconds: float
    pairs_per_second: float
    evaluation_seconds: float
    ndcg_at_10: dict[str, float]
    losses: list[tuple[int, float]]
    validation: list[tuple[int, float]]
    data: dict[str, Any]
    versions: dict[str, str]

    def save(self, folder: Path) -> None:
        """Writes `training.json` and `loss.png`."""
        (folder / REPORT).write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n", "utf-8")
        _plot(self, folder / CURVE)


def _plot(report: TextTrainingReport, path: Path) -> None:
    """Plots loss and validation nDCG@10 over the steps."""
    from matplotlib.figure import Figure  # noqa: PLC0415  a second to import

    figure = Figure(figsize=(7, 4), layout="constrained")
    left = figure.subplots()
    left.plot(*zip(*report.losses, strict=True), color="tab:blue", label="training loss") if report.losses else None
    left.set(xlabel="step", ylabel="training loss")
    right = left.twinx()
    if report.validation:
        right.plot(*zip(*report.validation, strict=True), color="tab:orange", marker="o", label="validation nDCG@10")
    right.axvline(report.best_step, color="tab:gray", linestyle=":", label="kept")
    right.set_ylabel("validation nDCG@10")
    figure.legend(loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=120)
