"""A distilled text tower in place of a bundle's own is in the same report and behind the same gate."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from rich.console import Console
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.engine import open_session
from fuserank_ensemble.graph.stages import search_stages
from fuserank_export.engines.parity.adversarial import make_adversarial_feeds
from fuserank_export.engines.precision import write_int8
from fuserank_export.engines.run import DISTILLED_FILE, EngineSettings, write_engines
from fuserank_export.engines.soundness import load_checked
from fuserank_export.progress import Progress
from fuserank_export.sources import InputError
from fuserank_export.training.text.engine import export_text_tower
from fuserank_export.training.text.tower import load_replacement_tower
from support import tiny_shop as shops

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def bundle(tower_bundle):
    return Bundle.open(tower_bundle, verify=())


@pytest.fixture(scope="module")
def one_layer(tiny_tower, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one-layer")
    AutoModelForSequenceClassification.from_pretrained(tiny_tower, num_hidden_layers=1).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_tower).save_pretrained(folder)
    return str(folder)


def test_a_tower_of_one_layer_is_a_valid_and_smaller_engine(bundle, one_layer, tmp_path):
    path, own = tmp_path / "one.onnx", bundle.repository / "text_tower" / "1" / "model.onnx"
    export_text_tower(load_replacement_tower(bundle, one_layer).tower, bundle.spec, path)
    stage = next(stage for stage in search_stages(bundle.spec) if stage.name == "text_tower")
    load_checked(path, stage)
    assert path.stat().st_size < own.stat().st_size
    write_int8(path, tmp_path / "int8.onnx")
    load_checked(tmp_path / "int8.onnx", stage)
    feed = make_adversarial_feeds(bundle.spec, stage, 60, 3)["longest pairs"]
    actual, expected = (open_session(file, {}).run(["TEXT_SCORES"], feed)[0] for file in (path, own))
    assert np.abs(actual - expected).max() > 1e-3


def write_with_tower(bundle, tower, folder):
    """Returns the new bundle's manifest, and the report's row of a shallow tower."""
    settings = EngineSettings(
        bundle, folder / "out", "single_process", "fp32", requests=60, text_tower=tower, report=folder / "parity.json"
    )
    manifest = write_engines(settings, Progress(Console(file=io.StringIO())))
    rows = json.loads((folder / "parity.json").read_text())["engines"]
    return manifest, next(row for row in rows if row["method"] == "1 layer")


def test_a_tower_that_scores_all_texts_alike_does_not_pass(tower_bundle, one_layer, tmp_path):
    model = AutoModelForSequenceClassification.from_pretrained(one_layer)
    model.classifier.weight.data.zero_()
    model.save_pretrained(tmp_path / "silent")
    AutoTokenizer.from_pretrained(one_layer).save_pretrained(tmp_path / "silent")
    manifest, row = write_with_tower(tower_bundle, str(tmp_path / "silent"), tmp_path)
    assert any("move its scores 0.00 times as far" in problem for problem in row["problems"])
    assert manifest["engines"]["cpu"]["chosen"]["text_tower"] == "model.onnx"


def test_a_shallow_tower_is_in_the_same_report_behind_the_same_gate(tower_bundle, one_layer, tmp_path):
    manifest, row = write_with_tower(tower_bundle, one_layer, tmp_path)
    assert not any("hardly tells texts apart" in problem for problem in row["problems"])
    assert (row["engine"], row["precision"]) == ("text_tower", "fp32")
    assert row["speedup_vs_fp32"] > 0
    assert row["max_abs_diff"] > 0
    # It was not trained here, so either outcome is possible; what is served has passed.
    chosen = manifest["engines"]["cpu"]["chosen"]["text_tower"]
    assert chosen in ("model.onnx", DISTILLED_FILE)
    assert row["passes"] or chosen == "model.onnx"


def test_a_tower_with_another_vocabulary_is_refused(bundle, tiny_tower, tmp_path):
    from tokenizers import Tokenizer

    other = shops.write_text_tower(tmp_path / "other", tiny_tower)
    tokenizer = Tokenizer.from_file(str(other / "tokenizer.json"))
    tokenizer.add_tokens(["anewword"])
    tokenizer.save(str(other / "tokenizer.json"))
    with pytest.raises(InputError, match="reads other tokens than the bundle holds; give the tower"):
        load_replacement_tower(bundle, str(other))


def test_a_bundle_without_a_text_tower_takes_no_other_one(tiny_bundle, one_layer):
    with pytest.raises(InputError, match="the bundle's ranker has no text tower whose place it could take"):
        load_replacement_tower(Bundle.open(tiny_bundle, verify=()), one_layer)
