"""Rankers and text models train in two processes as a launcher starts them, on a CPU, and end as one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from fuserank_ensemble.bundle import Bundle
from support.tiny_shop import TinyShop

TESTS = Path(__file__).parents[2]
SECONDS = 400
TEXT_MODELS = ("text-tower", "encoder")


@dataclass(frozen=True)
class Trained:
    """What two processes wrote together, and what they told."""

    folder: Path
    told: str


@pytest.fixture(scope="module")
def trained(
    tiny_bundle: Path, tiny_shop: TinyShop, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    folder = tmp_path_factory.mktemp("distributed")
    shop = ("--catalog", tiny_shop.catalog, "--encoder", tiny_encoder, "--epochs", "1", "--batch-size", "16")
    log = ("--bundle", tiny_bundle, "--interactions", tiny_shop.interactions, "--quality", "quick", "--cases", "50")
    commands = [[model, *shop, "--out", folder / model] for model in TEXT_MODELS]
    commands.append(["ranker", *log, "--out", folder / "ranker"])
    program = TESTS / "support" / "train_together.py"
    done = subprocess.run(
        [sys.executable, str(program), str(folder), json.dumps(commands, default=str)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]),
        },
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    return Trained(folder, done.stderr)


def test_two_processes_fit_one_ranker(trained: Trained) -> None:
    one, other = (torch.load(trained.folder / f"weights.{rank}.pt", weights_only=True) for rank in (0, 1))
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
    reports = [json.loads((trained.folder / f"report.{rank}.json").read_text("utf-8")) for rank in (0, 1)]
    assert reports[0] == reports[1]
    print(f"right candidate first: {reports[0]['right']:.3f} of unseen cases, by chance {1 / 8:.3f}")
    assert reports[0]["right"] > 0.8
    # Both read half of the cases each: as many steps as one process takes with batches twice as large.
    assert len(reports[0]["losses"]) == 10


def test_two_processes_train_a_bundles_ranker_and_one_writes_it(tiny_bundle: Path, trained: Trained) -> None:
    new = Bundle.open(trained.folder / "ranker")
    assert new.manifest["made_from"] == Bundle.open(tiny_bundle).id
    assert len([each for each in new.manifest["ranker"]["losses"] if "eval_loss" in each]) == 2
    assert trained.told.count(f"bundle {new.id} at") == 1


@pytest.mark.parametrize("model", TEXT_MODELS)
def test_two_processes_train_one_model(model: str, trained: Trained) -> None:
    report = json.loads((trained.folder / model / "training.json").read_text("utf-8"))
    assert report["processes"] == 2
    assert report["steps"] >= 2
    assert report["losses"]
    print(f"{model}: {report['pairs']} pairs in {report['steps']} steps of two processes, {report['seconds']} s")


def test_one_of_two_processes_finds_the_candidates_tells_how_it_goes_and_writes(trained: Trained) -> None:
    assert len(re.findall("candidates of train queries", trained.told)) == len(TEXT_MODELS)
    assert sorted(path.name for path in trained.folder.iterdir() if path.is_dir()) == [
        "encoder", "ranker", "ranker.state", "text-tower",  # the key of users goes along
    ]  # fmt: skip
