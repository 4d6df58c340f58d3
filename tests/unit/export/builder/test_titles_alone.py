"""A shop of titles alone and no log: similar items by their texts, recommendations too, and packages of one product."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.local import LocalGraph
from support.exporting import export_quickly
from support.tiny_shop import write_csv

THINGS = ("salted butter", "dish soap", "green tea", "light bulb")
SIZES = ("250 g", "500 g", "1 kg", "pack of 6")


@pytest.fixture(scope="module")
def graph(tiny_encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("titles")
    rows = [
        {"item_id": f"{thing[:4]}{number}", "title": f"{thing} {size}"}
        for thing in THINGS
        for number, size in enumerate(SIZES)
    ]
    bundle = export_quickly(write_csv(folder / "items.csv", rows), tiny_encoder, folder / "bundle")
    return LocalGraph(Bundle.open(bundle))


def returned(outputs):
    return [item.decode() for item in outputs["ITEM_ID"][0] if item]


def counts(outputs):
    return json.loads(outputs["STATUS"][0, 0])["candidates"]


@pytest.mark.parametrize("item", ["gree0", "ligh2"])
def test_similar_items_are_in_the_order_of_their_cosines(graph, item):
    outputs = graph.similar(item, k=15)
    assert len(returned(outputs)) == 15
    scores = outputs["SCORE"][0]
    assert (np.diff(scores) <= 2e-3).all()
    assert counts(outputs)["graph"] == 0


def test_a_history_brings_the_nearest_texts_and_no_list_of_everything(graph):
    outputs = graph.search("", history=["gree0"], k=16)
    assert counts(outputs)["trending"] == counts(outputs)["graph"] == 0
    items, vectors = graph.bundle.items, graph.bundle.vectors.astype(np.float32)
    own = items.row("gree0")
    cosines = [float(vectors[items.text[items.row(item)]] @ vectors[items.text[own]]) for item in returned(outputs)]
    assert cosines == sorted(cosines, reverse=True)


def test_a_stranger_is_shown_a_full_page_though_nothing_is_known(graph):
    assert len(set(returned(graph.search("", "nobody", k=10)))) == 10


def test_new_to_a_user_is_a_new_product_and_no_other_package(graph):
    new = returned(graph.search("", history=["gree0", "dish1"], exclude_seen=True, k=16))
    assert sorted(new) == sorted(f"{thing[:4]}{number}" for thing in ("salt", "ligh") for number in range(4))
    searched = returned(graph.search("green tea", history=["gree0"], exclude_seen=True, k=16))
    assert searched
    assert not any(item.startswith("gree") for item in searched)


def test_another_package_is_similar_all_the_same(graph):
    assert "gree1" in returned(graph.similar("gree0", k=15))
