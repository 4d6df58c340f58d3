"""A collection holds every item once, is never written over, and does not stay behind half full."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_ensemble.catalog.filters import Column, Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_export.milvus import collection
from fuserank_export.milvus.collection import MilvusLoadError, collection_name, drop_collection, fill_collection
from fuserank_export.sources import InputError

pytest.importorskip("pymilvus", reason="pymilvus is an optional extra")
pytest.importorskip("milvus_lite", reason="milvus-lite is for tests")
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException

VECTORS = np.eye(3, 8, dtype=np.float16)


def items(count, words=("x",)):
    columns = {"brand": Column("keyword", np.zeros(count, np.int32), list(words))}
    ids = np.asarray([f"i{i}".encode() for i in range(count)], "S8")
    return Items(ids, (np.arange(count) % 3).astype(np.int32), Columns(count, columns))


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    return str(tmp_path_factory.mktemp("milvus") / "shop.db")


def test_an_existing_collection_is_refused_by_name(uri):
    counted = []
    fill_collection(uri, "", "one", items(1), VECTORS)
    fill_collection(uri, "", "seven", items(7), VECTORS, batch=3, advanced=counted.append)
    assert counted == [3, 3, 1]
    with pytest.raises(InputError, match="collection one exists already"):
        fill_collection(uri, "", "one", items(2), VECTORS)


def test_a_collection_that_lost_items_is_dropped(uri, monkeypatch):
    monkeypatch.setattr(collection, "_insert", lambda *arguments: None)
    with pytest.raises(MilvusLoadError, match="holds 0 items, 2 were sent"):
        fill_collection(uri, "", "lost", items(2), VECTORS)
    monkeypatch.undo()
    assert fill_collection(uri, "", "lost", items(2), VECTORS)["entities"] == 2


def test_why_a_collection_is_not_filled_is_told_even_where_it_cannot_be_dropped(uri, monkeypatch):
    def refuse(*arguments, **options):
        raise MilvusException(message="no node answers")

    monkeypatch.setattr(collection, "_insert", lambda *arguments: None)
    monkeypatch.setattr(MilvusClient, "drop_collection", refuse)
    with pytest.raises(MilvusLoadError, match="holds 0 items, 2 were sent"):
        fill_collection(uri, "", "stuck", items(2), VECTORS)
    assert "stuck at" in drop_collection(uri, "", "stuck")


def test_what_does_not_fit_is_refused_before_anything_is_written(uri):
    with pytest.raises(InputError, match="catalogue is empty"):
        fill_collection(uri, "", "none", items(0), VECTORS)
    with pytest.raises(InputError, match="brand: found a value of 100000 bytes"):
        fill_collection(uri, "", "long", items(2, ["x" * 100_000]), VECTORS)


def test_a_bundles_id_becomes_a_name_milvus_allows():
    assert collection_name("b-20240601-ab12") == "fuserank_b_20240601_ab12"
