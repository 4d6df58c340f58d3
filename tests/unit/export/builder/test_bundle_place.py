"""A bundle stands whole at its place or not at all, and an export that was ended early is gone on with."""

from __future__ import annotations

import json
import os
import re

import numpy as np
import pytest
from transformers.trainer_utils import get_last_checkpoint

import fuserank_export.builder.bundle
import fuserank_export.builder.train
import fuserank_export.training.fitting.fit
from fuserank_ensemble.bundle import Bundle
from fuserank_export.encoder.onnx_encoder import OnnxEncoder
from fuserank_export.repository.place import partial_bundle
from fuserank_export.sources import InputError
from support.tiny_shop import write_csv


def ids(graph, query="", user="", **options):
    return [item.decode() for item in graph.search(query, user, **options)["ITEM_ID"][0]]


def left_over(folder):
    """Folders that an export must not leave beside its bundle."""
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


@pytest.fixture
def quick(monkeypatch):
    """Writes next to nothing into a bundle: these tests are about where it is put."""

    def build(work, **options):
        (work.folder / "manifest.json").write_text("new")
        return {}

    monkeypatch.setattr(fuserank_export.builder.bundle, "_build", build)


def place(out, taken_by):
    if taken_by == "file":
        out.write_text("old")
    elif taken_by == "folder":
        (out / "deep").mkdir(parents=True)
        (out / "deep" / "old").write_text("old")
    elif taken_by == "link":
        (out.parent / "elsewhere").mkdir()
        (out.parent / "elsewhere" / "old").write_text("old")
        out.symlink_to(out.parent / "elsewhere")


@pytest.mark.parametrize("taken_by", ["folder", "file", "link"])
def test_what_is_at_out_is_not_touched_without_force(quick, export_shop, one_item, tmp_path, taken_by):
    place(tmp_path / "bundle", taken_by)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="exists already; choose a new folder, or replace it with --force"):
        export_shop(one_item)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("taken_by", ["nothing", "folder", "file", "link"])
def test_force_replaces_what_is_at_out_and_leaves_nothing_of_it(quick, export_shop, one_item, tmp_path, taken_by):
    out = tmp_path / "bundle"
    place(out, taken_by)
    export_shop(one_item, force=True)
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [("manifest.json", "new")]
    assert left_over(tmp_path) == []
    if taken_by == "link":
        assert (tmp_path / "elsewhere" / "old").read_text() == "old"


@pytest.mark.parametrize(
    ("step", "error", "left"),
    [
        ("builder.read.read_catalog", KeyboardInterrupt, []),
        ("builder.embed.write_engines", KeyboardInterrupt, []),
        ("repository.place.move_into_place", RuntimeError, [".bundle.resume"]),
    ],
)
def test_an_interrupted_export_leaves_the_old_bundle_and_what_another_goes_on_from(
    export_shop, one_item, tmp_path, monkeypatch, step, error, left
):
    old = tmp_path / "bundle"
    place(old, "folder")

    def stop(*args, **kwargs):
        raise error("stopped")

    monkeypatch.setattr(f"fuserank_export.{step}", stop)
    with pytest.raises(error, match="stopped"):
        export_shop(one_item, force=True)
    assert (old / "deep" / "old").read_text() == "old"
    assert left_over(tmp_path) == left


def test_what_a_killed_export_left_is_removed_and_what_another_writes_stays(quick, export_shop, one_item, tmp_path):
    for name in (".bundle.partial-1", f".bundle.partial-{os.getpid()}", ".bundle.partial-ab", ".other.partial-1"):
        (tmp_path / name / "deep").mkdir(parents=True)
    (tmp_path / ".bundle.partial-ab.lock").touch()
    first = partial_bundle(tmp_path / "bundle", force=False)
    running = first.__enter__()
    assert left_over(tmp_path) == [running.name, f"{running.name}.lock", ".other.partial-1"]
    export_shop(one_item)
    (running / "late").touch()
    with pytest.raises(InputError, match="bundle: exists already; choose a new folder"):
        first.__exit__(None, None, None)
    # The one that was first stays, since others may read from it.
    assert [path.name for path in (tmp_path / "bundle").iterdir()] == ["manifest.json"]
    assert left_over(tmp_path) == [".other.partial-1"]


@pytest.fixture
def killed(export_shop, one_item, monkeypatch):
    """Kills an export of `one_item` after its training; returns the checkpoints that trainings then go on from."""
    checkpoints = []

    def last_checkpoint(folder):
        checkpoints.append(get_last_checkpoint(folder))
        return checkpoints[-1]

    monkeypatch.setattr(fuserank_export.training.fitting.fit, "get_last_checkpoint", last_checkpoint)
    with monkeypatch.context() as kill:
        kill.setattr(fuserank_export.builder.train, "write_ranker", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            export_shop(one_item)
    assert checkpoints == [None]
    checkpoints.clear()
    return checkpoints


def test_an_export_that_was_killed_goes_on_with_the_rankers_last_epoch(
    killed, export_shop, one_item, tmp_path, monkeypatch
):
    embed = OnnxEncoder.embed
    # Another number of threads adds in another order.
    monkeypatch.setattr(
        OnnxEncoder, "embed", lambda *args, **options: np.nextafter(embed(*args, **options), np.float32(1))
    )
    assert Bundle.open(export_shop(one_item)).id
    assert killed[0] is not None
    assert left_over(tmp_path) == []


def test_an_export_does_not_go_on_with_what_was_learned_of_another_catalogue(killed, export_shop, tmp_path):
    other = write_csv(tmp_path / "other.csv", [{"item_id": "only", "title": "手工 wooden table"}])
    assert Bundle.open(export_shop(other)).id
    assert killed == [None]
    assert left_over(tmp_path) == []


def test_kept_vectors_are_read_by_an_export_to_another_place(export_shop, one_item, tmp_path):
    computed = []
    for name in ("first", "second"):
        bundle = Bundle.open(export_shop(one_item, name, vector_cache=tmp_path / "kept"))
        computed.append(bundle.manifest["embedding"]["computed"])
    assert computed == [1, 0]
    assert [path.suffix for path in (tmp_path / "kept").iterdir()] == [".vectors"]
    assert left_over(tmp_path) == []


def index_of(bundle):
    """What every file of the index holds; tantivy draws its segments' names at random."""
    drawn = re.compile(rb"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}")
    contents = {}
    for path in sorted(path for path in (bundle.root / "index").rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.name in (".managed.json", "meta.json"):
            content = drawn.sub(b"segment", content)
        if path.name == ".managed.json":
            content = b"\n".join(sorted(json.dumps(name).encode() for name in json.loads(content)))
        name = drawn.sub(b"segment", str(path.relative_to(bundle.root)).encode())
        assert name not in contents
        contents[name] = content
    return contents


def test_two_exports_of_one_shop_are_two_bundles_with_the_same_index(export_shop, one_item):
    first, second = (index_of(Bundle.open(export_shop(one_item, name))) for name in ("first", "second"))
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
