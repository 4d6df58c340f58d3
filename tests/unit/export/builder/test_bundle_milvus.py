"""A bundle whose vectors lie in Milvus: it answers as the local one does, and from the other channels without it."""

from __future__ import annotations

import json
import socket

import pytest

from fuserank_ensemble.bundle import MANIFEST, Bundle
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_export.builder.options import VectorStoreOptions
from fuserank_export.sources import InputError
from support.exporting import export_quickly

pytest.importorskip("milvus_lite", reason="the embedded Milvus is not installed")


@pytest.fixture(scope="module")
def bundle(tiny_shop, tiny_encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("milvus")
    return export_quickly(
        tiny_shop.catalog,
        tiny_encoder,
        folder / "bundle",
        interactions=tiny_shop.interactions,
        vectors=VectorStoreOptions(milvus=str(folder / "vectors.db")),
        text_template="{title} | {category}",
    )


def ids(outputs):
    return [item.decode() for item in outputs["ITEM_ID"][0] if item]


def status(outputs):
    return json.loads(outputs["STATUS"][0, 0])


def test_the_manifest_says_where_the_vectors_are(bundle):
    filled = json.loads((bundle / MANIFEST).read_text("utf-8"))["milvus"]
    assert filled["entities"] == 60
    assert filled["collection"].startswith("fuserank_b_")


def test_it_finds_what_a_filter_keeps_with_and_without_a_user(bundle, tiny_shop):
    graph = LocalGraph(Bundle.open(bundle))
    for user in ("", "u03"):
        outputs = graph.search("goat cheese", user, k=60, filter={"category": "Food > Dairy"})
        assert set(ids(outputs)) == tiny_shop.ids(category="Food > Dairy")
        assert status(outputs)["candidates"]["dense"] == 15
        assert status(outputs)["degraded"] == []


def test_while_it_does_not_answer_the_other_channels_do_and_the_reply_says_so(bundle, tiny_shop, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        monkeypatch.setenv("FUSERANK_MILVUS_URI", f"http://127.0.0.1:{taken.getsockname()[1]}")
        outputs = LocalGraph(Bundle.open(bundle)).search("goat cheese", "u03")
    assert status(outputs)["degraded"] == ["channel:dense"]
    assert set(ids(outputs)) == {item for item, row in tiny_shop.items.items() if "goat cheese" in row["title"]}


def test_a_milvus_that_is_not_there_is_an_error_that_names_it(tiny_shop, tiny_encoder, tmp_path):
    store = VectorStoreOptions(milvus=str(tmp_path / "no" / "vectors.db"))
    with pytest.raises(InputError, match=r"--milvus .*vectors\.db: "):
        export_quickly(tiny_shop.catalog, tiny_encoder, tmp_path / "bundle", vectors=store)
    assert not (tmp_path / "bundle").exists()
