"""Any shop becomes a whole bundle: what is in it, and that it answers."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest

from fuserank_ensemble.bundle import Bundle, sha256
from fuserank_ensemble.candidates.features import FEATURES
from fuserank_ensemble.contract.options import HEADS
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.retrieval.channels.registry import CHANNEL_WEIGHTS
from fuserank_export.builder.seal import LIBRARIES
from fuserank_export.encoder.engines import TOLERANCE_FP32
from support.keys import TEST_KEY
from support.tiny_shop import write_csv


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
    assert (manifest["spec"]["search_on_gpu"], manifest["spec"]["host_cores"]) == (False, 4)
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
    favourite = bundle.histories.get(TEST_KEY.user_name("u00"))
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
