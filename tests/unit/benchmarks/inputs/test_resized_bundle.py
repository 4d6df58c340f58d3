"""A catalogue of another size has distinct ids and texts, and keeps the households' habits."""

import json

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from fuserank_benchmarks.inputs.resized_bundle import (
    add_noise,
    draw_items,
    resized_items,
    resized_log,
    write_resized_bundle,
)
from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_export.progress import Progress
from fuserank_export.sources import Interactions
from fuserank_export.sources.report import RowReport

ITEMS = pd.DataFrame({"item_id": ["10", "11", "9"], "title": ["oat milk", "rye bread loaf", "white rice"]})


def log():
    user, item = np.array([0, 0, 1, 1], np.int32), np.array([0, 0, 0, 2], np.int32)
    moments, paid = np.arange(4, dtype=np.int64), np.ones(4, np.float32)
    none = np.full(4, -1, np.int32)
    kinds = np.zeros(4, np.uint8)
    return Interactions(user, item, kinds, moments, paid, none, ["a", "b"], [], RowReport("log"))


def test_a_smaller_shop_draws_each_item_at_most_once():
    origin, copy = draw_items(100, 10, np.random.default_rng(1))
    assert len(set(origin.tolist())) == 10
    assert not copy.any()


def test_a_larger_shop_has_every_item_and_ids_and_titles_of_its_own():
    origin, copy = draw_items(3, 8, np.random.default_rng(1))
    frame = resized_items(ITEMS, origin, copy, np.random.default_rng(1))
    assert frame["item_id"].is_unique
    assert list(frame["item_id"]) == sorted(frame["item_id"], key=str.encode)
    assert {"10", "11", "9"} <= set(frame["item_id"])
    assert frame["title"].nunique() == 8


def test_a_household_always_buys_the_same_copy():
    origin, copy = draw_items(3, 6, np.random.default_rng(1))
    rows = np.array([5, 4, 3, 2, 1, 0])
    resized = resized_log(log(), origin, copy, rows)
    assert resized.item.tolist()[0] == resized.item.tolist()[1]  # user 0 bought item 0 twice
    positions = [int(np.flatnonzero(rows == row)[0]) for row in resized.item]
    assert origin[positions].tolist() == [0, 0, 0, 2]


def test_events_of_items_missing_from_a_smaller_shop_are_left_out():
    resized = resized_log(log(), np.array([2]), np.array([0]), np.array([0]))
    assert (resized.user.tolist(), resized.item.tolist(), resized.timestamp.tolist()) == ([1], [0], [3])


def test_only_copies_get_noise_of_the_stated_size():
    vectors = np.random.default_rng(1).standard_normal((200, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    is_copy = np.arange(200) >= 100
    changed = vectors.astype(np.float16)
    add_noise(changed, is_copy, np.random.default_rng(2))
    changed = changed.astype(np.float32)
    assert np.array_equal(changed[:100], vectors[:100].astype(np.float16).astype(np.float32))
    assert (changed[100:] * vectors[100:]).sum(1).mean() == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize("wanted", [12, 90])
def test_a_resized_bundle_answers(wanted, tiny_shop, tiny_bundle, tmp_path):
    shop = tmp_path / "shop"
    shop.mkdir()
    for name, path in {"catalog": tiny_shop.catalog, "interactions": tiny_shop.interactions}.items():
        pd.read_csv(path, dtype={"item_id": str, "user_id": str}).to_parquet(shop / f"{name}.parquet")
    quiet = Progress(Console(quiet=True))
    manifest = write_resized_bundle(tiny_bundle, shop, wanted, tmp_path / "resized", quiet)
    bundle = Bundle.open(tmp_path / "resized")
    assert manifest["counts"]["items"] == len(bundle.items) == wanted
    title = json.loads(bundle.records.raw(0))["title"]
    listed = LocalGraph(bundle).search(title, k=5)["ITEM_ID"][0]
    assert bytes(bundle.items.ids[0]) in listed.tolist()
