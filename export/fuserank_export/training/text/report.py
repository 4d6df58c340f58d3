"""The report of a text model's training: `training.json`, and the curves of its loss and of what it stopped by."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

REPORT, CURVE = "training.json", "loss.png"
Precision = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class TextTrainingReport:
    """What a training did.

    Attributes:
        settings: The settings.
        precision: What the matrix products ran in.
        processes: How many processes trained together.
        steps: Optimiser steps in all.
        best_step: The step whose weights were kept.
        stopped_early: Whether the validation figure had ceased to rise.
        resumed_from: The step that this run went on from; 0 for a run from the start.
        pairs: Pairs that this run learned from, over all processes.
        seconds: Of training in this run, evaluations left out.
        pairs_per_second: Of training, likewise.
        evaluation_seconds: Of evaluations and checkpoints in this run.
        ndcg_at_10: On the held-out queries: the model's (`model`), its teacher's where it has one (`teacher`), and
            retrieval's own order (`fusion`).
        losses: `[step, loss]` as logged.
        validation: `[step, nDCG@10]` on the validation queries.
        data: What the training rows were made from.
        versions: Of the libraries.
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
        _draw(self, folder / CURVE)


def _draw(report: TextTrainingReport, path: Path) -> None:
    """Loss and validation nDCG@10 over the steps."""
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
