"""Trains all that several processes can train together, one after the other: run by `test_distributed_training`.

One launch for all, whose processes are forked from one that has imported the libraries: that takes longer than to train
anything as small. Each finds the variables that `accelerate launch` and `torchrun` set.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
import typer
from accelerate.utils import DistributedType, PrepareForLaunch, patch_environment
from torch.multiprocessing import start_processes

import fuserank_export.builder.retrain
import fuserank_export.training.text.bi_encoder
import fuserank_export.training.text.cross_encoder  # noqa: F401  what the commands import
from fuserank_export.builder import options
from fuserank_export.cli import app
from fuserank_export.training.fitting.fit import fit, predicted
from fuserank_export.training.fitting.settings import FitSettings
from support.planted_sequences import VECTORS, planted, share_right
from support.running import free_ports

PROCESSES = 2


def fit_planted(out: Path) -> None:
    """Fits a ranker to planted cases; each process writes its weights and what it measured."""
    settings = FitSettings(epochs=10, batch=16, patience=10, learning_rate=3e-3)
    ranker, history, _ = fit(planted(800, 1), planted(100, 2), VECTORS, settings, 5, lambda epoch: None)
    unseen, rank = planted(200, 9), os.environ["RANK"]
    torch.save(ranker.state_dict(), out / f"weights.{rank}.pt")
    right = share_right(predicted(ranker, unseen, VECTORS), unseen)
    losses = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
    (out / f"report.{rank}.json").write_text(json.dumps({"right": right, "losses": losses}))


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
    with patch_environment(
        world_size=PROCESSES,
        master_addr="127.0.0.1",
        master_port=free_ports()[0],
        accelerate_mixed_precision="no",
        gloo_socket_ifname="lo",
    ):
        launched = PrepareForLaunch(main, DistributedType.MULTI_CPU)
        arguments = Path(sys.argv[1]), json.loads(sys.argv[2])
        start_processes(launched, arguments, PROCESSES, start_method="fork")
