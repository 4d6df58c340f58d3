"""A bundle whose vectors lie in Milvus: it answers as the local one does, and from the other channels without it."""

from __future__ import annotations

import io
import json
import socket

import pytest
from rich.console import Console

from fuserank_ensemble.bundle import MANIFEST, Bundle
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.retrieval.milvus.dense import connect
from fuserank_ensemble.state.entries import ItemChange, ItemDelete
from fuserank_ensemble.state.settings import State, StateSettings
from fuserank_export.builder import seal as sealing
from fuserank_export.builder.bundle import export_bundle
from fuserank_export.builder.options import EncoderOptions, InputFiles, OutputOptions, VectorStoreOptions
from fuserank_export.progress import Progress
from fuserank_export.refresh import refresh as refreshing
from fuserank_export.refresh.gate import GateReport
from fuserank_export.refresh.refresh import RefusedError, refresh_bundle
from fuserank_export.repository.place import lock_file
from fuserank_export.sources import InputError
from support.exporting import HARDLY, export_quickly, silent

pytest.importorskip("milvus_lite", reason="the embedded Milvus is not installed")
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException


@pytest.fixture(scope="module")
def bundle(tiny_shop, tiny_encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("milvus")
    return export_quickly(
        tiny_shop.catalog,
        tiny_encoder,
        folder / "bundle",
        interactions=tiny_shop.interactions,
        ranker=HARDLY,
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


def collections(folder):
    client = connect(str(folder / "vectors.db"), "", 60.0)
    try:
        return set(client.list_collections())
    finally:
        client.close()


def refresh(bundle, folder, progress=None):
    """The next bundle, of a log that knows a new item and a deletion."""
    state = State.open(StateSettings(f"sqlite:{folder / 'log.sqlite'}"))
    state.log.append(
        [
            ItemChange(event_id="new", item_id="n1", fields={"title": "goat cheese round", "category": "Food > Dairy"}),
            ItemDelete(event_id="gone", item_id="i00"),
        ]
    )
    try:
        return refresh_bundle(Bundle.open(bundle), state, OutputOptions(folder=folder / "next"), progress or silent())
    finally:
        state.log.close()


def test_a_refresh_fills_a_collection_of_its_own_and_drops_that_of_one_that_was_killed(bundle, tmp_path):
    """Last night's had another place; one that goes on, and its collection, stay."""
    client = connect(str(bundle.parent / "vectors.db"), "", 10)
    for night in ("killed", "running"):
        left = tmp_path / f".{night}.partial-1"
        left.mkdir()
        (left / MANIFEST).write_text(json.dumps({"id": night}))
        client.create_collection(f"fuserank_{night}", dimension=4)
    client.close()
    with (tmp_path / ".running.partial-1.lock").open("w") as lock:
        assert lock_file(lock.fileno())
        filled = refresh(bundle, tmp_path)["milvus"]
    assert "fuserank_killed" not in collections(bundle.parent)
    assert "fuserank_running" in collections(bundle.parent)
    assert [path.name for path in tmp_path.glob(".*.partial-1")] == [".running.partial-1"]
    before = json.loads((bundle / MANIFEST).read_text("utf-8"))["milvus"]
    assert (filled["entities"], filled["uri"], filled["index"]) == (60, before["uri"], before["index"])
    assert filled["collection"] != before["collection"]
    assert {filled["collection"], before["collection"]} <= collections(bundle.parent)
    outputs = LocalGraph(Bundle.open(tmp_path / "next")).search(
        "goat cheese", k=60, filter={"category": "Food > Dairy"}
    )
    assert status(outputs)["candidates"]["dense"] == 15, "one came and one went"
    assert "n1" in ids(outputs)


def test_the_collection_of_a_bundle_that_is_refused_is_dropped(bundle, tmp_path, monkeypatch):
    known = collections(bundle.parent)
    worse = GateReport(90, 0.5, 0.1, 0.8, 0.2, 1.0, ("it ranks worse",))
    monkeypatch.setattr(refreshing, "check_refreshed", lambda *arguments: worse)
    with pytest.raises(RefusedError, match="it ranks worse"):
        refresh(bundle, tmp_path)
    assert collections(bundle.parent) == known


def test_a_refused_bundle_is_not_sent_to_milvus(bundle, tmp_path, monkeypatch):
    worse = GateReport(90, 0.5, 0.1, 0.8, 0.2, 1.0, ("it ranks worse",))
    monkeypatch.setattr(refreshing, "check_refreshed", lambda *arguments: worse)
    monkeypatch.setattr(refreshing, "fill_vector_store", lambda *arguments: 1 / 0)
    with pytest.raises(RefusedError, match="it ranks worse"):
        refresh(bundle, tmp_path)


def test_a_refresh_that_fails_after_milvus_was_filled_leaves_no_collection(bundle, tmp_path, monkeypatch):
    known = collections(bundle.parent)
    monkeypatch.setattr(refreshing, "seal", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        refresh(bundle, tmp_path)
    assert collections(bundle.parent) == known


def test_a_collection_that_cannot_be_dropped_is_told_and_hides_no_other_error(bundle, tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise MilvusException(message="no node answers")

    monkeypatch.setattr(MilvusClient, "drop_collection", refuse)
    monkeypatch.setattr(refreshing, "seal", lambda *arguments: 1 / 0)
    terminal = io.StringIO()
    with pytest.raises(ZeroDivisionError):
        refresh(bundle, tmp_path, Progress(Console(file=terminal, width=1_000)))
    assert "could not be dropped: " in terminal.getvalue()
    assert "no node answers" in terminal.getvalue()


def test_an_export_that_fails_after_milvus_was_filled_leaves_no_collection(
    tiny_shop, tiny_encoder, tmp_path, monkeypatch
):
    monkeypatch.setattr(sealing, "seal", lambda *arguments: 1 / 0)
    store = VectorStoreOptions(milvus=str(tmp_path / "vectors.db"))
    with pytest.raises(ZeroDivisionError):
        export_quickly(tiny_shop.catalog, tiny_encoder, tmp_path / "bundle", vectors=store)
    assert collections(tmp_path) == set()
    assert not list(tmp_path.glob("bundle*"))


@pytest.mark.parametrize("last", [False, True])
def test_the_collection_of_an_export_that_was_killed_is_dropped_by_the_next(tiny_shop, tmp_path, last):
    """Killed while it fills the collection, or behind its last manifest; another's collection stays."""
    store = VectorStoreOptions(milvus=str(tmp_path / "vectors.db"))
    client = connect(store.milvus, "", 10)
    for name in ("fuserank_b_1", "fuserank_b_2"):
        client.create_collection(name, dimension=4)
    client.close()
    left = tmp_path / ".bundle.partial-1"
    left.mkdir()
    manifest = {"id": "b-0", "milvus": {"collection": "fuserank_b_1"}} if last else {"id": "b-1"}
    (left / MANIFEST).write_text(json.dumps(manifest))
    terminal = io.StringIO()
    with pytest.raises(Exception, match="no-encoder"):
        export_bundle(
            inputs=InputFiles(catalog=tiny_shop.catalog),
            encoder=EncoderOptions(source=str(tmp_path / "no-encoder")),
            out=OutputOptions(folder=tmp_path / "bundle"),
            vectors=store,
            progress=Progress(Console(file=terminal, width=1_000)),
        )
    assert collections(tmp_path) == {"fuserank_b_2"}
    assert not left.exists()
    assert "the collection fuserank_b_1 at " in terminal.getvalue()


def test_a_milvus_that_is_not_there_is_an_error_that_names_it(tiny_shop, tiny_encoder, tmp_path):
    store = VectorStoreOptions(milvus=str(tmp_path / "no" / "vectors.db"))
    with pytest.raises(InputError, match=r"--milvus .*vectors\.db: "):
        export_quickly(tiny_shop.catalog, tiny_encoder, tmp_path / "bundle", vectors=store)
    assert not (tmp_path / "bundle").exists()
