"""The ranker is fitted by two processes under accelerate's launcher, on a CPU, and both end with the same one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import torch

from fuserank_ensemble.bundle import Bundle
from support.tiny_shop import TinyShop

TESTS = Path(__file__).parents[2]
SECONDS = 120


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def launched(*command: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in two processes."""
    # `accelerate launch --cpu` starts one process however many are asked for; --multi_gpu is torch's launcher, which
    # takes a CPU where there is no GPU.
    paths = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [
            sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines",
            "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", str(free_port()), *command,
        ],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": paths},
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3_000:]
    return done


def test_two_processes_fit_one_ranker(tmp_path: Path) -> None:
    launched(str(TESTS / "support" / "fit_planted.py"), str(tmp_path))
    one, other = (torch.load(tmp_path / f"weights.{rank}.pt", weights_only=True) for rank in (0, 1))
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
    reports = [json.loads((tmp_path / f"report.{rank}.json").read_text("utf-8")) for rank in (0, 1)]
    assert reports[0] == reports[1]
    print(f"right candidate first: {reports[0]['right']:.3f} of unseen cases, by chance {1 / 8:.3f}")
    assert reports[0]["right"] > 0.8
    # Both read half of the cases each: as many steps as one process takes with batches twice as large.
    assert len(reports[0]["losses"]) == 14


def test_two_processes_train_a_bundles_ranker_and_one_writes_it(
    tiny_bundle: Path, tiny_shop: TinyShop, tmp_path: Path
) -> None:
    out = tmp_path / "new"
    given = ("--bundle", str(tiny_bundle), "--interactions", str(tiny_shop.interactions), "--quality", "quick")
    done = launched("-m", "fuserank_export", "train", "ranker", *given, "--out", str(out))
    new = Bundle.open(out)
    assert new.manifest["made_from"] == Bundle.open(tiny_bundle).id
    assert len([each for each in new.manifest["ranker"]["losses"] if "eval_loss" in each]) == 2
    assert done.stderr.count(f"bundle {new.id} at") == 1
    # The key of users goes along.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "new.state"]
