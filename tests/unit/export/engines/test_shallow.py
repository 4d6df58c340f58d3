"""Another text tower in the ranker's graph: its own put back changes nothing, a shallow one stands in the table."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from rich.console import Console
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.session import open_session
from fuserank_export.engines.parity.adversarial import adversarial
from fuserank_export.engines.precision import write_int8
from fuserank_export.engines.run import SHALLOW_FILE, EngineSettings, write_engines
from fuserank_export.engines.shallow import write_with_tower
from fuserank_export.engines.soundness import check_tensorrt, checked
from fuserank_export.progress import Progress
from fuserank_export.sources import InputError
from fuserank_export.training.text.tower import open_in_place
from support import tiny_shop as shops

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def bundle(tower_bundle):
    return Bundle.open(tower_bundle, verify=())


@pytest.fixture(scope="module")
def ranker(bundle):
    return bundle.repository / "ranker" / "1" / "model.onnx"


@pytest.fixture(scope="module")
def one_layer(tiny_tower, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one-layer")
    AutoModelForSequenceClassification.from_pretrained(tiny_tower, num_hidden_layers=1).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_tower).save_pretrained(folder)
    return str(folder)


def outputs(path, feed):
    return open_session(path, {}).run(["HEADS", "CONTRIBUTIONS"], feed)


def test_the_bundles_own_tower_put_back_says_the_same(bundle, ranker, tiny_tower, tmp_path):
    write_with_tower(ranker, open_in_place(bundle, str(tiny_tower)).tower, bundle, tmp_path / "same.onnx")
    stage = next(stage for stage in bundle.spec.stages() if stage.name == "ranker")
    for feed in adversarial(bundle.spec, stage, 60, 3).values():
        for found, expected in zip(outputs(tmp_path / "same.onnx", feed), outputs(ranker, feed), strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_shallow_tower_changes_what_is_read_and_nothing_else_and_is_smaller(bundle, ranker, one_layer, tmp_path):
    write_with_tower(ranker, open_in_place(bundle, one_layer).tower, bundle, tmp_path / "shallow.onnx")
    stage = next(stage for stage in bundle.spec.stages() if stage.name == "ranker")
    checked(tmp_path / "shallow.onnx", stage)
    check_tensorrt(tmp_path / "shallow.onnx")
    assert (tmp_path / "shallow.onnx").stat().st_size < ranker.stat().st_size
    write_int8(tmp_path / "shallow.onnx", tmp_path / "int8.onnx")
    checked(tmp_path / "int8.onnx", stage)
    feed = adversarial(bundle.spec, stage, 60, 3)["longest pairs"]
    read = bundle.spec.text_candidates
    (found, _), (expected, _) = outputs(tmp_path / "shallow.onnx", feed), outputs(ranker, feed)
    assert np.abs(found[:, :read] - expected[:, :read]).max() > 1e-3
    np.testing.assert_allclose(found[:, read:], expected[:, read:], atol=1e-4)


def measured(bundle, tower, folder):
    """The new bundle's manifest, and the table's row of a shallow tower."""
    settings = EngineSettings(
        bundle, folder / "out", "single_process", "fp32", requests=60, text_tower=tower, report=folder / "parity.json"
    )
    manifest = write_engines(settings, Progress(Console(file=io.StringIO())))
    rows = json.loads((folder / "parity.json").read_text())["engines"]
    return manifest, next(row for row in rows if row["method"] == "text tower of 1 layer")


def test_a_tower_that_says_the_same_of_every_text_does_not_pass(tower_bundle, one_layer, tmp_path):
    model = AutoModelForSequenceClassification.from_pretrained(one_layer)
    model.classifier.weight.data.zero_()
    model.save_pretrained(tmp_path / "silent")
    AutoTokenizer.from_pretrained(one_layer).save_pretrained(tmp_path / "silent")
    manifest, row = measured(tower_bundle, str(tmp_path / "silent"), tmp_path)
    assert any("move its scores 0.00 times as far" in problem for problem in row["problems"])
    assert manifest["engines"]["cpu"]["chosen"]["ranker"] == "model.onnx"


def test_a_shallow_tower_stands_in_the_same_table_and_behind_the_same_gate(tower_bundle, one_layer, tmp_path):
    manifest, row = measured(tower_bundle, one_layer, tmp_path)
    assert not any("hardly reads" in problem for problem in row["problems"])
    assert (row["engine"], row["precision"]) == ("ranker", "fp32")
    assert row["speedup_vs_fp32"] > 0
    assert row["max_abs_diff"] > 0
    # It was taught nothing here: whether it passes is the gate's to say, and what is served passed.
    chosen = manifest["engines"]["cpu"]["chosen"]["ranker"]
    assert chosen in ("model.onnx", SHALLOW_FILE)
    assert row["passes"] or chosen == "model.onnx"


def test_a_tower_that_reads_other_tokens_is_refused(bundle, tiny_tower, tmp_path):
    from tokenizers import Tokenizer

    other = shops.write_text_tower(tmp_path / "other", tiny_tower)
    tokenizer = Tokenizer.from_file(str(other / "tokenizer.json"))
    tokenizer.add_tokens(["anewword"])
    tokenizer.save(str(other / "tokenizer.json"))
    with pytest.raises(InputError, match="reads other tokens than the bundle holds; give the tower"):
        open_in_place(bundle, str(other))


def test_a_bundle_without_a_text_tower_has_no_place_for_one(tiny_bundle, one_layer):
    with pytest.raises(InputError, match="the bundle's ranker has no text tower whose place it could take"):
        open_in_place(Bundle.open(tiny_bundle, verify=()), one_layer)
