"""A bundle's ranker is trained anew: as an export would have it, with all else of the bundle as it was."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.local import LocalGraph

pytest.importorskip("torch")
from transformers import AutoTokenizer

from fuserank_export.builder.retrain import RetrainSettings, retrain
from fuserank_export.cli import app
from fuserank_export.engines.successor import write_successor
from fuserank_export.progress import Progress
from fuserank_export.sources import InputError
from fuserank_export.training.fitting.fit import FitSettings

pytestmark = pytest.mark.usefixtures("one_thread")
RANKER = "model_repository/ranker/1/"


def run(settings):
    said = io.StringIO()
    manifest = retrain(settings, Progress(Console(file=said)))
    return manifest, said.getvalue()


def settings(bundle, tiny_shop, tmp_path, **more):
    known = {"interactions": tiny_shop.interactions, "fit": FitSettings()} | more
    return RetrainSettings(bundle, tmp_path / "new", **known)


@pytest.mark.parametrize("name", ["tiny_bundle", "tower_bundle"])
def test_the_same_log_and_settings_teach_what_the_export_taught(name, request, tiny_shop, tmp_path):
    old = Bundle.open(request.getfixturevalue(name))
    manifest, said = run(settings(old.root, tiny_shop, tmp_path))
    new = Bundle.open(tmp_path / "new")
    assert manifest["made_from"] == old.id != new.id == manifest["id"]
    assert new.spec == old.spec
    assert new.manifest["ranker"]["ndcg_at_10"] == old.manifest["ranker"]["ndcg_at_10"]
    assert new.manifest["ranker"]["cases"] == old.manifest["ranker"]["cases"]
    assert new.manifest["search"] == old.manifest["search"]
    assert "what the channels knew before" in said
    for asked in (("milk", "u01"), ("milk", ""), ("", "u01")):
        found, expected = (LocalGraph(each).search(*asked) for each in (new, old))
        assert found["ITEM_ID"].tolist() == expected["ITEM_ID"].tolist()
        np.testing.assert_allclose(found["SCORE"], expected["SCORE"], atol=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]  # no checkpoints, no scratch


def test_another_seed_changes_the_ranker_and_nothing_else(tiny_bundle, tiny_shop, tmp_path):
    run(settings(tiny_bundle, tiny_shop, tmp_path, seed=5))
    before, after = (Bundle.open(root).manifest["files"] for root in (tiny_bundle, tmp_path / "new"))
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert changed <= {f"{RANKER}model.onnx", f"{RANKER}model.fp16.onnx", "index/reference.npz"}
    assert f"{RANKER}model.onnx" in changed


def test_engines_that_were_measured_for_the_old_ranker_are_left_out(tiny_bundle, tiny_shop, tmp_path):
    old = Bundle.open(tiny_bundle)
    files = {name: f"model_repository/{name}/1/model.int8.onnx" for name in ("encoder", "ranker")}
    quick = write_successor(
        old,
        tmp_path / "quick",
        {file: old.repository / name / "1" / "model.onnx" for name, file in files.items()},
        {"engines": {"cpu": {"chosen": dict.fromkeys(files, "model.int8.onnx")}, "cuda": {"chosen": {}}}},
        force=False,
    )
    assert set(files.values()) <= set(quick["files"])
    run(settings(tmp_path / "quick", tiny_shop, tmp_path))
    new = Bundle.open(tmp_path / "new")
    assert files["encoder"] in new.manifest["files"]
    assert files["ranker"] not in new.manifest["files"]
    assert (new.engine("encoder").name, new.engine("ranker").name) == ("model.int8.onnx", "model.onnx")
    assert "model.int8.onnx" not in (new.repository / "ranker" / "config.pbtxt").read_text()
    assert "cuda" not in new.manifest["engines"]


def test_judgements_alone_are_enough(tiny_bundle, tmp_path):
    items = [item.decode() for item in Bundle.open(tiny_bundle).items.ids.tolist()]
    (tmp_path / "queries.tsv").write_text("".join(f"{q}\tmilk {q}\n" for q in range(20)))
    lines = [f"{q} 0 {item} {int(i % 7 == q % 7)}\n" for q in range(20) for i, item in enumerate(items[:30])]
    (tmp_path / "judgements.tsv").write_text("".join(lines))
    asked = RetrainSettings(
        tiny_bundle, tmp_path / "new", None, tmp_path / "queries.tsv", tmp_path / "judgements.tsv", fit=FitSettings()
    )
    manifest, _ = run(asked)
    assert manifest["ranker"]["source"] == "judgements"
    assert manifest["inputs"]["interactions"] == Bundle.open(tiny_bundle).manifest["inputs"]["interactions"]


def refused(asked):
    before = sorted(asked.out.parent.rglob("*"))
    with pytest.raises(InputError) as error:
        run(asked)
    assert sorted(asked.out.parent.rglob("*")) == before  # nothing written, nothing removed
    return str(error.value)


def test_bad_input_is_named_before_anything_is_trained(tiny_bundle, tower_bundle, tiny_tower, tiny_shop, tmp_path):
    asked = settings(tiny_bundle, tiny_shop, tmp_path)
    assert "nothing to learn from" in refused(replace(asked, interactions=None))
    assert "--queries and --judgements: found one" in refused(replace(asked, queries=tmp_path / "q.tsv"))
    assert "has no text tower whose place it could take" in refused(replace(asked, text_tower=str(tiny_tower)))
    assert "cannot be loaded" in refused(replace(asked, bundle=tower_bundle, text_tower=str(tmp_path / "none")))
    assert "none.csv" in refused(replace(asked, interactions=tmp_path / "none.csv"))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("")
    assert "exists" in refused(replace(asked, out=tmp_path / "taken"))
    strange = tmp_path / "strange.csv"
    strange.write_text("user_id,item_id,event,timestamp\n" + "u1,not-an-item,purchase,1700000000\n" * 50)
    assert "strange.csv: none of its events" in refused(replace(asked, interactions=strange))


def test_a_tower_with_other_tokens_is_refused(tower_bundle, tiny_tower, tiny_shop, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(tiny_tower, other)
    tokenizer = AutoTokenizer.from_pretrained(str(other))
    tokenizer.add_tokens(["newword"])
    tokenizer.save_pretrained(str(other))
    asked = settings(tower_bundle, tiny_shop, tmp_path, text_tower=str(other))
    assert "reads other tokens than" in refused(asked)


def test_the_command_says_how_well_it_ranks(tiny_bundle, tiny_shop, tmp_path):
    given = ["train", "ranker", "--bundle", str(tiny_bundle), "--interactions", str(tiny_shop.interactions)]
    found = CliRunner().invoke(app, [*given, "--epochs", "1", "--out", str(tmp_path / "new")])
    assert found.exit_code == 0, found.output
    manifest = json.loads((tmp_path / "new" / "manifest.json").read_text())
    assert f"bundle {manifest['id']}" in found.output
    assert "nDCG@10 on" in found.output
    again = CliRunner().invoke(app, [*given, "--out", str(tmp_path / "new")])
    assert again.exit_code == 2
    assert "error: " in again.output
    missing = CliRunner().invoke(app, ["train", "ranker", "--bundle", str(tmp_path / "x"), "--out", "y"])
    assert missing.exit_code == 2
