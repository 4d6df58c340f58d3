"""Text models train in two processes under accelerate's launcher, on a CPU, and end as one."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from support.tiny_shop import TinyShop

SECONDS = 300


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


@pytest.mark.parametrize("command", ["text-tower", "encoder"])
def test_two_processes_train_one_model(command: str, tiny_shop: TinyShop, tiny_encoder: Path, tmp_path: Path) -> None:
    out = tmp_path / command
    # `accelerate launch --cpu` starts one process however many are asked for; --multi_gpu is torch's launcher, which
    # takes a CPU where there is no GPU.
    launched = subprocess.run(
        [
            sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines",
            "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", str(free_port()), "-m",
            "fuserank_export.training.text.cli", command, "--catalog", str(tiny_shop.catalog),
            "--encoder", str(tiny_encoder),
            "--out", str(out), "--epochs", "2", "--batch-size", "16",
        ],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        check=False,
    )  # fmt: skip
    assert launched.returncode == 0, launched.stderr[-3_000:]
    report = json.loads((out / "training.json").read_text("utf-8"))
    assert report["processes"] == 2
    assert report["steps"] >= 2
    assert report["losses"]
    # One of the two finds the candidates, tells how it goes, and writes.
    assert len(re.findall("candidates of train queries", launched.stderr)) == 1
    assert list(tmp_path.iterdir()) == [out]
    print(f"{command}: {report['pairs']} pairs in {report['steps']} steps of two processes, {report['seconds']} s")
