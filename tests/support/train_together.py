"""Trains all that several processes can train together, one after the other: run by `test_distributed_training`.

One launch for all: a process takes longer to import the libraries than to train anything as small.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
import typer

from fuserank_export.builder import options
from fuserank_export.cli import app
from fuserank_export.training.fitting.fit import fit, predicted
from fuserank_export.training.fitting.settings import FitSettings
from support.planted_sequences import VECTORS, planted, share_right

RANK = os.environ.get("RANK", "0")


def fit_planted(out: Path) -> None:
    """Fits a ranker to planted cases; each process writes its weights and what it measured."""
    settings = FitSettings(epochs=10, batch=16, patience=10, learning_rate=3e-3)
    ranker, history = fit(planted(800, 1), planted(100, 2), VECTORS, settings, 5, lambda epoch: None)
    unseen = planted(200, 9)
    torch.save(ranker.state_dict(), out / f"weights.{RANK}.pt")
    right = share_right(predicted(ranker, unseen, VECTORS), unseen)
    losses = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
    (out / f"report.{RANK}.json").write_text(json.dumps({"right": right, "losses": losses}))


def main(out: Path, commands: Sequence[Sequence[str]]) -> None:
    """Fits the planted cases, then runs commands of `fuserank export train`."""
    fit_planted(out)
    # A ranker of a few steps, which no option of the command line can: what is shown is that two processes train it.
    few = options.TrainingEffort(options.LEAST_CASES, options.LEAST_CASES, FitSettings(epochs=2))
    options.EFFORTS = {**options.EFFORTS, "quick": few}
    command = typer.main.get_command(app)
    for arguments in commands:
        command(["train", *arguments], standalone_mode=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
