"""A channel is declared beside its class and listed once: everything else follows from that."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fuserank_ensemble
from fuserank_ensemble.candidates.features import FEATURES, POSITION, compose_features
from fuserank_ensemble.retrieval.channel import REQUEST_KINDS
from fuserank_ensemble.retrieval.channels.registry import CHANNEL_CLASSES, CHANNEL_WEIGHTS, CHANNELS, DECLARATIONS
from support import ninth_channel

REGISTRY = "retrieval/channels/registry.py"
IMPORT = "from fuserank_ensemble.retrieval.channels.alphabet import AlphabetChannel\n"


def test_every_channel_has_a_name_and_features_of_its_own():
    features = [feature.name for declared in DECLARATIONS.values() for feature in declared.features]
    assert len(set(CHANNELS)) == len(CHANNEL_CLASSES)
    assert len(set(features)) == len(features)
    assert set(features) <= POSITION.keys()
    assert compose_features(DECLARATIONS.values()) == FEATURES


def test_default_weights_are_those_that_the_channels_declare():
    assert tuple(CHANNEL_WEIGHTS) == REQUEST_KINDS
    for kind, weights in CHANNEL_WEIGHTS.items():
        assert weights == {
            channel.declaration.name: channel.declaration.weights[kind]
            for channel in CHANNEL_CLASSES
            if kind in channel.declaration.weights
        }
        assert all(weight > 0 for weight in weights.values())


def test_text_channels_alone_have_a_pool():
    for declared in DECLARATIONS.values():
        assert (declared.pool is not None) == (declared.phase == "text")


@pytest.fixture(scope="module")
def with_a_ninth(tmp_path_factory):
    """What a package says that has one more file and one more entry of the registry."""
    folder = tmp_path_factory.mktemp("ninth")
    package = folder / "fuserank_ensemble"
    shutil.copytree(Path(fuserank_ensemble.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "retrieval/channels/alphabet.py").write_text(ninth_channel.SOURCE, "utf-8")
    registry = (package / REGISTRY).read_text("utf-8")
    for before, added in (
        ("from fuserank_ensemble.retrieval.channels.dense", IMPORT),
        (")\n\nDECLARATIONS", "    AlphabetChannel,\n"),
    ):
        assert registry.count(before) == 1
        registry = registry.replace(before, added + before)
    (package / REGISTRY).write_text(registry, "utf-8")
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, ninth_channel.__file__, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["package"] == str(package / "__init__.py")
    return answer


def test_a_ninth_channel_is_asked_and_weighed_as_it_declares(with_a_ninth):
    assert with_a_ninth["channels"] == [*CHANNELS, "alphabet"]
    assert with_a_ninth["weights"]["user"] == {**CHANNEL_WEIGHTS["user"], "alphabet": 0.7}
    assert "alphabet" not in with_a_ninth["weights"]["query"]


def test_a_ninth_channels_items_are_candidates_and_counted_in_status(with_a_ninth):
    assert with_a_ninth["rows"] == [0, 1]
    assert with_a_ninth["counts"]["alphabet"] == 3
    assert with_a_ninth["counts"]["fused"] == 2


def test_a_ninth_channels_rank_and_score_are_features_and_explained(with_a_ninth):
    names = [feature.name for feature in FEATURES]
    added = ["alphabet_score", "alphabet_rank"]
    behind = names.index("graph_rank") + 1
    assert with_a_ninth["features"] == [*names[:behind], *added, *names[behind:]]
    assert with_a_ninth["scores"] == [3.0, 2.0]
    assert with_a_ninth["ranks"] == pytest.approx([0.0, 0.6931], abs=1e-4)
    assert with_a_ninth["reason"] == "found by alphabet (number 1)"
