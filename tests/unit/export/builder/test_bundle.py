"""Any shop becomes a whole bundle or none at all, from the command line as from code."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from transformers.trainer_utils import get_last_checkpoint
from typer.testing import CliRunner

import fuserank_export.builder.bundle
import fuserank_export.builder.train
import fuserank_export.training.fitting.fit
from fuserank_ensemble.bundle import Bundle, sha256
from fuserank_ensemble.candidates.features import FEATURES
from fuserank_ensemble.contract.options import HEADS
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.retrieval.channels.registry import CHANNEL_WEIGHTS
from fuserank_export.builder.seal import LIBRARIES
from fuserank_export.cli import app
from fuserank_export.encoder.engines import TOLERANCE_FP32
from fuserank_export.encoder.onnx_encoder import OnnxEncoder
from fuserank_export.repository.place import partial_bundle
from fuserank_export.sources import InputError
from support.exporting import export_quickly
from support.tiny_shop import write_csv


@pytest.fixture
def export_shop(tiny_encoder, tmp_path):
    """Exports a catalogue, without a log unless one is named."""

    def exported(catalog, name="bundle", **settings):
        return export_quickly(catalog, tiny_encoder, tmp_path / name, **settings)

    return exported


@pytest.fixture
def run():
    """Runs the command line; the log level that it sets is put back."""
    level = logging.getLogger().level
    yield lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "1000"})
    logging.getLogger().setLevel(level)


@pytest.fixture
def one_item(tmp_path):
    return write_csv(tmp_path / "one.csv", [{"item_id": "only", "title": "手工 wooden chair"}])


def ids(graph, query="", user="", **options):
    return [item.decode() for item in graph.search(query, user, **options)["ITEM_ID"][0]]


def left_over(folder):
    """Folders that an export must not leave beside its bundle."""
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_the_manifest_says_what_was_put_in_what_came_out_and_how_good_it_is(tiny_bundle, tiny_shop):
    manifest = json.loads((tiny_bundle / "manifest.json").read_text("utf-8"))
    assert manifest["counts"] == {"items": 60, "texts": 60, "users": 12, "events": 1_440, "purchases": 720}
    assert manifest["features"] == [feature.name for feature in FEATURES]
    assert {"item_id", "title", "category", "brand", "price", "in_stock", "shelf"} <= set(manifest["fields"])
    assert manifest["inputs"]["catalog"]["file"] == str(tiny_shop.catalog)
    assert manifest["inputs"]["interactions"]["kept"] == 1_440
    assert manifest["encoder"]["fp32"]["max_abs_diff"] <= TOLERANCE_FP32
    assert set(manifest["encoder"]) == {"fp32", "fp16", "int8"}
    assert manifest["ranker"]["source"] == "log"
    assert set(manifest["ranker"]["ndcg_at_10"]) == {"query", "user", "both", "discover"}
    assert manifest["ranker"]["engines"]["model.onnx"]["max_abs_diff"] <= 1e-4
    assert set(manifest["search"]) >= {"events", "graph", "dense", "lexical", "fusion"}
    assert manifest["search"]["dense"]["kind"] == "flat"
    for kind, tuned in manifest["search"]["fusion"].items():
        assert tuned["after"] >= tuned["before"], kind
        # What the defaults ask is asked still: see `fuserank_export.learning.fusion`.
        assert set(manifest["spec"]["channel_weights"][kind]) >= set(CHANNEL_WEIGHTS[kind])
    assert set(manifest["versions"]) == set(LIBRARIES)
    assert "not installed" not in manifest["versions"].values()
    assert set(manifest["spec"]["objective"]) == set(HEADS)
    assert {"id", "format", "created", "embedding", "ranker_ms", "export_seconds", "log_end"} <= set(manifest)


def test_every_file_of_a_bundle_stands_in_its_manifest_with_its_hash(tiny_bundle):
    files = json.loads((tiny_bundle / "manifest.json").read_text("utf-8"))["files"]
    paths = {str(path.relative_to(tiny_bundle)): path for path in tiny_bundle.rglob("*") if path.is_file()}
    assert sorted(files) == sorted(paths.keys() - {"manifest.json"})
    assert all(sha256(paths[name]) == digest for name, digest in files.items())


def test_a_bundle_opens_and_its_index_matches_the_shops_files(tiny_bundle, tiny_shop):
    bundle = Bundle.open(tiny_bundle)
    assert [item.decode() for item in bundle.items.ids] == sorted(tiny_shop.items)
    assert bundle.vectors.dtype == np.float16
    assert bundle.vectors.shape == (60, 32)
    np.testing.assert_allclose(np.linalg.norm(bundle.vectors.astype(np.float32), axis=1), 1.0, atol=2e-3)
    assert bundle.items.columns.kinds == {
        "category": "category",
        "brand": "keyword",
        "price": "number",
        "in_stock": "bool",
        "created_at": "number",
        "shelf": "keyword",
    }
    record = json.loads(bundle.records.raw(bundle.items.row("i06")))
    assert record["title"] == tiny_shop.items["i06"]["title"]
    assert "brand" in record
    assert "brand" not in json.loads(bundle.records.raw(bundle.items.row("i07")))
    # Half of the events are purchases, the others views.
    views = bundle.event_table.kinds["view"].strength
    np.testing.assert_allclose(bundle.popularity.counts.sum(), 720 * (1 + views), rtol=1e-5)
    assert {name.split("=")[0] for name in bundle.popularity.contexts.position} == {"store", "hour", "weekday"}
    interactions, catalog = bundle.learned("cpu"), bundle.catalog("cpu")
    assert len(interactions.factors[0]) == len(interactions.graph[0].items) == 60
    assert (catalog.lexical.items, catalog.vectors.shape) == (60, (60, 32))
    favourite = bundle.histories.get("u00")
    assert favourite is not None
    np.testing.assert_allclose(favourite.counts.sum(), 60 * (1 + views), rtol=1e-5)


def test_nothing_is_left_beside_a_finished_bundle(tiny_bundle):
    assert left_over(tiny_bundle.parent) == []


def test_a_shop_on_its_first_day_needs_no_log(export_shop, tiny_shop):
    out = export_shop(tiny_shop.catalog)
    bundle = Bundle.open(out)
    assert bundle.manifest["ranker"]["source"] == "catalog"
    assert "too little log (0 events)" in bundle.manifest["ranker"]["note"]
    assert bundle.spec.objective == {"relevance": 1.0, "click": 0.0, "purchase": 0.0}
    assert bundle.spec.clock == "wall"
    graph = LocalGraph(bundle)
    assert len(ids(graph, "oat drink")) == len(ids(graph, user="anybody")) == 10
    assert set(ids(graph, "绿茶", filter={"category": "Drinks"}, k=99)) == tiny_shop.ids(category="Drinks > 茶")


def test_on_the_first_day_a_few_events_already_order_recommendations_by_popularity(export_shop, tiny_shop, tmp_path):
    """The manifest's note: what is too little to learn from keeps the order of fusion."""
    events = [
        {"user_id": f"v{n}", "item_id": item, "event": "view", "timestamp": "2024-05-01T12:00:00"}
        # Five and more: with fewer they would also count as new.
        for item, count in (("i33", 9), ("i11", 7), ("i52", 5))
        for n in range(count)
    ]
    out = export_shop(tiny_shop.catalog, interactions=write_csv(tmp_path / "few.csv", events))
    bundle = Bundle.open(out)
    assert bundle.manifest["ranker"]["source"] == "catalog"
    assert ids(LocalGraph(bundle), user="new", k=3) == ["i33", "i11", "i52"]


@pytest.mark.parametrize("count", [2, 5])
def test_a_tiny_catalogue_still_ranks_a_search_by_its_text(export_shop, tmp_path, count):
    titles = ["zebra", "whole milk", "soy drink", "绿茶", "dish soap"][:count]
    rows = [{"item_id": f"x{n}", "title": title} for n, title in enumerate(titles)]
    graph = LocalGraph(Bundle.open(export_shop(write_csv(tmp_path / "few.csv", rows))))
    for n, title in enumerate(titles):
        item_ids = ids(graph, title)
        assert sorted(item_ids) == [row["item_id"] for row in rows]
        assert item_ids[0] == f"x{n}", f"{title!r} finds {titles[int(item_ids[0][1])]!r} first"


def test_a_catalogue_of_one_item_is_exported_and_served(export_shop, one_item):
    graph = LocalGraph(Bundle.open(export_shop(one_item)))
    assert ids(graph, "chair") == ids(graph, user="anybody") == ids(graph, "椅", "anybody", k=200) == ["only"]
    assert ids(graph, user="anybody", history=["only"], exclude_seen=True) == []


def test_items_of_one_text_share_one_vector_and_are_all_found(export_shop, tmp_path):
    rows = [{"item_id": f"x{n}", "title": "whole milk" if n < 4 else "green tea"} for n in range(6)]
    bundle = Bundle.open(export_shop(write_csv(tmp_path / "same.csv", rows)))
    assert bundle.manifest["counts"]["texts"] == len(bundle.vectors) == 2
    assert sorted(ids(LocalGraph(bundle), "whole milk")) == [row["item_id"] for row in rows]


def test_precision_int8_is_what_the_cpu_serves(export_shop, one_item):
    out = export_shop(one_item, precision="int8")
    repository = out / "model_repository" / "encoder"
    assert 'default_model_filename: "model.int8.onnx"' in (repository / "config.pbtxt").read_text()
    assert 'default_model_filename: "model.fp16.onnx"' in (repository / "configs" / "ensemble_cuda.pbtxt").read_text()
    assert (repository / "1" / "model.int8.onnx").is_file()


def test_every_engine_that_a_configuration_names_for_onnx_runtime_is_there_and_sound(tiny_bundle):
    for stage in ("encoder", "ranker"):
        model = tiny_bundle / "model_repository" / stage
        for configuration in (model / "config.pbtxt", model / "configs" / "ensemble_cuda.pbtxt"):
            name = configuration.read_text().split('default_model_filename: "')[1].split('"')[0]
            onnx.checker.check_model(str(model / "1" / name))


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
    for name in (".bundle.partial-1", f".bundle.partial-{os.getpid()}", ".other.partial-1"):
        (tmp_path / name / "deep").mkdir(parents=True)
    with partial_bundle(tmp_path / "bundle", force=False) as running:
        assert left_over(tmp_path) == [running.name, ".other.partial-1"]
        moved = running.rename(tmp_path / ".bundle.partial-1")  # as if another process wrote it
        export_shop(one_item)
        assert moved.is_dir()
        moved.rename(running)
        shutil.rmtree(tmp_path / "bundle")
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


def test_the_command_line_exports_a_shop_and_says_what_it_made(run, tiny_shop, tiny_encoder, tmp_path):
    out = tmp_path / "new folder" / "my shop"
    result = run(
        "bundle", "--catalog", tiny_shop.catalog, "--interactions", tiny_shop.interactions, "--encoder", tiny_encoder,
        "--out", out, "--clock", "wall", "--query-template", "q: {query}", "--quality", "quick", "--epochs", "1",
        "--mixed-precision",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    bundle = Bundle.open(out)
    assert f"bundle {bundle.id} at {out}: 60 items, 60 texts, 12 users, 1,440 events" in result.output
    assert bundle.spec.clock == "wall"
    assert bundle.spec.query_template == "q: {query}"
    assert {round(entry["epoch"]) for entry in bundle.manifest["ranker"]["losses"]} == {1}
    again = run("bundle", "--catalog", tiny_shop.catalog, "--encoder", tiny_encoder, "--out", out)
    assert again.exit_code == 2
    assert "exists already" in again.output
    assert Bundle.open(out).id == bundle.id


def test_the_command_line_needs_no_log(run, one_item, tiny_encoder, tmp_path):
    result = run("bundle", "--catalog", one_item, "--encoder", tiny_encoder, "--out", tmp_path / "b")
    assert result.exit_code == 0, result.output
    assert "1 items, 1 texts, 0 users, 0 events" in result.output
    assert "too little log (0 events)" in result.output


def test_the_command_line_takes_judged_queries(run, tiny_shop, tiny_encoder, tmp_path):
    queries, judgements = tmp_path / "queries.tsv", tmp_path / "judgements.tsv"
    texts = sorted({word for row in tiny_shop.items.values() for word in row["title"].split()})
    queries.write_text("".join(f"q{i}\t{word}\n" for i, word in enumerate(texts)), "utf-8")
    judged = [(i, item, word in row["title"]) for i, word in enumerate(texts) for item, row in tiny_shop.items.items()]
    judgements.write_text("".join(f"q{i} 0 {item} {int(right)}\n" for i, item, right in judged), "utf-8")
    out = tmp_path / "judged"
    result = run(
        "bundle", "--catalog", tiny_shop.catalog, "--encoder", tiny_encoder, "--out", out,
        "--queries", queries, "--judgements", judgements, "--quality", "quick", "--epochs", "1", "--candidates", "32",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert f"{judgements}: {len(judged):,} rows read" in result.output
    bundle = Bundle.open(out)
    assert bundle.spec.candidates == 32
    ranker = bundle.manifest["ranker"]
    assert ranker["source"] == "judgements"
    # A fifth of the queries is held out, for whoever wants to measure.
    assert ranker["judged_queries"] == ranker["cases"] + ranker["validation_cases"] == len(texts) * 8 // 10


BAD_ARGUMENTS = {
    "a catalogue that is not there": ({"--catalog": "/nowhere/items.csv"}, "/nowhere/items.csv"),
    "a log that is not there": ({"--interactions": "/nowhere/events.csv"}, "/nowhere/events.csv"),
    "an encoder that is not there": ({"--encoder": "/nowhere/encoder"}, "no such folder"),
    "a template with an unknown field": ({"--text-template": "{titel}"}, "did you mean 'title'?"),
    "a template with an open brace": ({"--text-template": "{title"}, "template"),
    "a template that formats a text as a number": ({"--text-template": "{price:.2f} | {title}"}, "template"),
    "a template without a field's name": ({"--text-template": "{}"}, "template"),
    "a query template without the query": ({"--query-template": "query: "}, "{query}"),
    "an unknown precision": ({"--precision": "fp8"}, "fp8"),
    "a number of candidates that is no bucket": ({"--candidates": "100"}, "allowed: one of (32, 64, 128, 256)"),
    "queries without judgements": ({"--queries": "queries.tsv"}, "allowed: both or neither"),
    "a share above one": ({"--max-bad-rows": "1.5"}, "--max-bad-rows"),
}


@pytest.mark.parametrize("name", BAD_ARGUMENTS)
def test_a_mistake_on_the_command_line_ends_with_one_line_and_nothing_written(
    run, tiny_shop, tiny_encoder, tmp_path, name
):
    changed, text = BAD_ARGUMENTS[name]
    out = tmp_path / "b"
    values = {"--catalog": tiny_shop.catalog, "--encoder": tiny_encoder, "--out": out} | changed
    result = run("bundle", *[part for pair in values.items() for part in pair])
    assert result.exit_code == 2, repr(result.exception)
    assert isinstance(result.exception, SystemExit)
    assert text in result.output
    assert "Traceback" not in result.output
    assert not out.exists()
    assert left_over(tmp_path) == []


def test_help_shows_an_example_of_each_command(run):
    for command in ("bundle", "complete-journey", "repository"):
        assert f"Example: fuserank export {command} --" in " ".join(run(command, "--help").output.split())


def test_the_repository_command_writes_what_is_checked_in(run, tmp_path):
    assert run("repository", "--out", tmp_path).exit_code == 0
    checked_in = Path(__file__).parents[4] / "model_repository"
    for path in tmp_path.rglob("*.pbtxt"):
        assert path.read_bytes() == (checked_in / path.relative_to(tmp_path)).read_bytes()
