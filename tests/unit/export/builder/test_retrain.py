"""A bundle's ranker is trained anew: as an export would have it, with all else of the bundle as it was."""

from __future__ import annotations

import csv
import io
import json
import shutil
from dataclasses import replace
from datetime import datetime
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from fuserank_ensemble.bundle import RANKER_WEIGHTS, Bundle
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.interactions.segments import ALWAYS, SegmentColumn, UserSegments

pytest.importorskip("torch")
from transformers import AutoTokenizer

from fuserank_export.builder.options import DEFAULT_SEED, BehaviourFiles, OutputOptions
from fuserank_export.builder.retrain import retrain_ranker, segments_of_log
from fuserank_export.cli import app
from fuserank_export.layouts.config import Mappings
from fuserank_export.layouts.mapping import LogMapping
from fuserank_export.progress import Progress
from fuserank_export.repository.successor import write_successor
from fuserank_export.sources import InputError, Interactions
from fuserank_export.sources.reading import parse_reading
from support.exporting import HARDLY, WELL, export_quickly, rank_all_kinds
from support.keys import TEST_KEY

pytestmark = pytest.mark.usefixtures("one_thread")
RANKER = "model_repository/ranker/1/"
TRAIN = ("train", "ranker", "--quality", "quick", "--epochs", "1")


def retrain(bundle, out, *, ranker=HARDLY, seed=DEFAULT_SEED, **files):
    """Trains a bundle's ranker with a few steps; returns the manifest and what the terminal showed."""
    terminal = io.StringIO()
    manifest = retrain_ranker(
        bundle,
        files=BehaviourFiles(**files),
        out=OutputOptions(folder=out, seed=seed),
        ranker=ranker,
        progress=Progress(Console(file=terminal)),
    )
    return manifest, terminal.getvalue()


@pytest.mark.parametrize(("name", "large"), [("tiny_bundle", True), ("tower_bundle", False)])
def test_the_same_log_and_settings_teach_what_the_export_taught(name, large, request, tiny_shop, tmp_path, monkeypatch):
    if large:  # how a ranker is trained in less memory changes nothing of it
        monkeypatch.setattr("fuserank_export.builder.train.LARGE_SHOP", 0)
    old = Bundle.open(request.getfixturevalue(name))
    manifest, terminal = retrain(old.root, tmp_path / "new", ranker=WELL, interactions=tiny_shop.interactions)
    new = Bundle.open(rank_all_kinds(tmp_path / "new"))
    assert manifest["made_from"] == old.id != new.id == manifest["id"]
    assert new.spec == old.spec
    assert new.manifest["ranker"]["ndcg_at_10"] == old.manifest["ranker"]["ndcg_at_10"]
    assert new.manifest["ranker"]["cases"] == old.manifest["ranker"]["cases"]
    assert new.manifest["search"] == old.manifest["search"]
    assert "what the channels knew before" in terminal
    for query_and_user in (("milk", "u01"), ("milk", ""), ("", "u01")):
        outputs, expected = (LocalGraph(bundle).search(*query_and_user) for bundle in (new, old))
        assert outputs["ITEM_ID"].tolist() == expected["ITEM_ID"].tolist()
        np.testing.assert_allclose(outputs["SCORE"], expected["SCORE"], atol=1e-4)
    # The key of users goes along; there are no checkpoints and no scratch.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "new.state"]


def test_another_seed_changes_the_ranker_and_nothing_else(tiny_bundle, tiny_shop, tmp_path):
    retrain(tiny_bundle, tmp_path / "new", interactions=tiny_shop.interactions, seed=5)
    before, after = (Bundle.open(root).manifest["files"] for root in (tiny_bundle, tmp_path / "new"))
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert changed <= {
        f"{RANKER}model.onnx", f"{RANKER}model.fp16.onnx", "index/reference.npz", f"index/{RANKER_WEIGHTS}",
    }  # fmt: skip
    assert f"{RANKER}model.onnx" in changed


def test_engines_that_were_measured_for_the_old_ranker_are_left_out(tiny_bundle, tiny_shop, tmp_path):
    old = Bundle.open(tiny_bundle)
    files = {name: f"model_repository/{name}/1/model.int8.onnx" for name in ("encoder", "ranker")}
    quick = write_successor(
        old,
        tmp_path / "quick",
        added={file: old.repository / name / "1" / "model.onnx" for name, file in files.items()},
        changes={"engines": {"cpu": {"chosen": dict.fromkeys(files, "model.int8.onnx")}, "cuda": {"chosen": {}}}},
        force=False,
    )
    assert set(files.values()) <= set(quick["files"])
    retrain(tmp_path / "quick", tmp_path / "new", interactions=tiny_shop.interactions)
    new = Bundle.open(tmp_path / "new")
    assert files["encoder"] in new.manifest["files"]
    assert files["ranker"] not in new.manifest["files"]
    assert (new.engine("encoder").name, new.engine("ranker").name) == ("model.int8.onnx", "model.onnx")
    assert "model.int8.onnx" not in (new.repository / "ranker" / "config.pbtxt").read_text()
    assert "cuda" not in new.manifest["engines"]


def test_what_is_said_of_users_needs_a_key_only_where_the_log_has_ids(tmp_path):
    names = [TEST_KEY.user_name(user) for user in ("ann", "bob")]
    tier = SegmentColumn(np.arange(3), np.asarray([0, 1], np.int32), ["gold", "silver"])
    said = UserSegments(np.asarray(sorted(name.encode() for name in names)), np.asarray([ALWAYS] * 2), {"tier": tier})
    bundle = SimpleNamespace(segments=said, root=tmp_path / "without-a-key")
    log = replace(Interactions.empty(), user_ids=names[:1])
    assert segments_of_log(bundle, log, None).values(names[0], 0.0) == said.values(names[0], 0.0) != {}
    with pytest.raises(InputError, match="name it with --state-key-file"):
        segments_of_log(bundle, replace(log, user_ids=["ann", names[1]]), None)


def test_judgements_alone_are_enough(tiny_bundle, tmp_path):
    items = [item.decode() for item in Bundle.open(tiny_bundle).items.ids.tolist()]
    (tmp_path / "queries.tsv").write_text("".join(f"{q}\tmilk {q}\n" for q in range(20)))
    lines = [f"{q} 0 {item} {int(i % 7 == q % 7)}\n" for q in range(20) for i, item in enumerate(items[:30])]
    (tmp_path / "judgements.tsv").write_text("".join(lines))
    manifest, _ = retrain(
        tiny_bundle,
        tmp_path / "new",
        queries=tmp_path / "queries.tsv",
        judgements=tmp_path / "judgements.tsv",
    )
    assert manifest["ranker"]["source"] == "judgements"
    assert manifest["inputs"]["interactions"] == Bundle.open(tiny_bundle).manifest["inputs"]["interactions"]


def refusal(bundle, out, **options):
    """The message that a training is refused with; nothing is written and nothing removed."""
    before = sorted(out.parent.rglob("*"))
    with pytest.raises(InputError) as error:
        retrain(bundle, out, **options)
    assert sorted(out.parent.rglob("*")) == before
    return str(error.value)


def test_bad_input_is_named_before_anything_is_trained(tiny_bundle, tower_bundle, tiny_tower, tiny_shop, tmp_path):
    new, log = tmp_path / "new", tiny_shop.interactions
    assert "nothing to learn from" in refusal(tiny_bundle, new)
    one = refusal(tiny_bundle, new, interactions=log, queries=tmp_path / "q.tsv")
    assert "--queries and --judgements: found one" in one
    needless = refusal(tiny_bundle, new, interactions=log, ranker=replace(HARDLY, text_tower=str(tiny_tower)))
    assert "has no text tower whose place it could take" in needless
    missing = refusal(tower_bundle, new, interactions=log, ranker=replace(HARDLY, text_tower=str(tmp_path / "none")))
    assert "cannot be loaded" in missing
    assert "none.csv" in refusal(tiny_bundle, new, interactions=tmp_path / "none.csv")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("")
    assert "exists" in refusal(tiny_bundle, tmp_path / "taken", interactions=log)
    strange = tmp_path / "strange.csv"
    strange.write_text("user_id,item_id,event,timestamp\n" + "u1,not-an-item,purchase,1700000000\n" * 50)
    assert "50 of 50 rows (100.0%) name items" in refusal(tiny_bundle, new, interactions=strange)


def test_a_tower_with_other_tokens_is_refused(tower_bundle, tiny_tower, tiny_shop, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(tiny_tower, other)
    tokenizer = AutoTokenizer.from_pretrained(str(other))
    tokenizer.add_tokens(["newword"])
    tokenizer.save_pretrained(str(other))
    ranker = replace(HARDLY, text_tower=str(other))
    message = refusal(tower_bundle, tmp_path / "new", interactions=tiny_shop.interactions, ranker=ranker)
    assert "reads other tokens than" in message


def test_a_bundle_remembers_how_its_files_were_read(little_effort, tiny_shop, tiny_encoder, tmp_path):
    """A log that the options of the export alone can read is read again without them."""
    lines = []
    for event in csv.DictReader(tiny_shop.interactions.open(encoding="utf-8")):
        moment = datetime.fromisoformat(event["timestamp"]).strftime("%d/%m/%Y %H:%M")
        name = {"purchase": "kauf", "view": "ansicht"}[event["event"]]
        lines.append(f"{event['user_id']}~{event['item_id']}~{name}~{moment}~1.000,50")
    log = tmp_path / "log.csv"
    log.write_text("\n".join(["Export of May", "kunde~item_id~was~wann~betrag", *lines]), "utf-8")
    columns = {"user_id": "kunde", "event": "was", "timestamp": "wann", "value": "betrag"}
    files = {
        "reading": parse_reading(
            decimals=["value=comma"], dates=["day-first"], delimiters=["interactions=~"], skip_lines=["interactions=1"]
        ),
        "mappings": Mappings(interactions=LogMapping(columns=columns, events={"kauf": "purchase", "ansicht": "view"})),
    }
    bundle = tmp_path / "bundle"
    export_quickly(tiny_shop.catalog, tiny_encoder, bundle, interactions=log, files=files, ranker=HARDLY)
    given = [*TRAIN, "--bundle", str(bundle), "--interactions", str(log)]
    result = CliRunner().invoke(app, [*given, "--out", str(tmp_path / "new")])
    assert result.exit_code == 0, result.output
    old, new = (json.loads((root / "manifest.json").read_text())["inputs"] for root in (bundle, tmp_path / "new"))
    assert new["interactions"]["kept"] == old["interactions"]["kept"] == len(lines)
    assert new["reading"] == old["reading"]
    other = CliRunner().invoke(app, [*given, "--skip-lines", "3", "--out", str(tmp_path / "other")])
    assert other.exit_code == 2
    assert "[interactions.columns] user_id = 'kunde': the file has no such column" in " ".join(other.output.split())


def test_the_command_says_how_well_it_ranks(little_effort, tiny_bundle, tiny_shop, tmp_path):
    given = [*TRAIN, "--bundle", str(tiny_bundle), "--interactions", str(tiny_shop.interactions)]
    result = CliRunner().invoke(app, [*given, "--out", str(tmp_path / "new")])
    assert result.exit_code == 0, result.output
    manifest = json.loads((tmp_path / "new" / "manifest.json").read_text())
    assert f"bundle {manifest['id']}" in result.output
    assert "nDCG@10 on" in result.output
    again = CliRunner().invoke(app, [*given, "--out", str(tmp_path / "new")])
    assert again.exit_code == 2
    assert "error: " in again.output
    missing = CliRunner().invoke(app, [*TRAIN, "--bundle", str(tmp_path / "x"), "--out", "y"])
    assert missing.exit_code == 2
