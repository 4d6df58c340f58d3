"""Fits a ranker to planted cases and writes its weights, one file a process: run by `test_distributed_ranker`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch

from fuserank_export.training.fitting.fit import fit, predicted
from fuserank_export.training.fitting.settings import FitSettings
from support.planted_sequences import VECTORS, planted, share_right


def main(out: Path) -> None:
    settings = FitSettings(epochs=14, batch=16, patience=14)
    ranker, history = fit(planted(800, 1), planted(200, 2), VECTORS, settings, 5, lambda epoch: None)
    rank, unseen = os.environ.get("RANK", "0"), planted(200, 9)
    torch.save(ranker.state_dict(), out / f"weights.{rank}.pt")
    right = share_right(predicted(ranker, unseen, VECTORS), unseen)
    losses = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
    (out / f"report.{rank}.json").write_text(json.dumps({"right": right, "losses": losses}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
