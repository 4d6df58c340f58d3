"""A small query encoder is taught at the export, held to the full one, and carried by what is made of the bundle."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.graph.single_process import SingleProcess
from fuserank_ensemble.graph.tensors import string_tensor
from fuserank_ensemble.graph.text_encoder import TextEncoder
from fuserank_export.builder.retrain import open_query_encoder
from fuserank_export.builder.seal import chosen_engines
from fuserank_export.engines.run import EngineSettings, write_engines
from fuserank_export.index.shop import Shop
from fuserank_export.query_encoder import choose, gate
from fuserank_export.query_encoder.choose import KnownQueries, QueryEncoderError, choose_query_encoder
from fuserank_export.refresh.carry import open_text_encoder
from fuserank_export.sources import Interactions
from support.exporting import export_quickly, silent

pytestmark = pytest.mark.usefixtures("one_thread")
QUERY = "goat cheese"


@pytest.fixture(autouse=True)
def few_texts(monkeypatch):
    """Few texts to learn from, and few queries to be held to; the random encoder of the tests is no one to match."""
    monkeypatch.setattr(choose, "TEXTS", 1_000)
    monkeypatch.setattr(choose, "GATE_QUERIES", 30)
    monkeypatch.setattr(gate, "MAX_LOSS", dict.fromkeys(gate.MAX_LOSS, np.inf))
    monkeypatch.setattr(gate, "MIN_OVERLAP", dict.fromkeys(gate.MAX_LOSS, 0.0))


@pytest.fixture(scope="module")
def bundle(tiny_shop, tiny_encoder, tmp_path_factory):
    out = tmp_path_factory.mktemp("distilled") / "shop"
    with pytest.MonkeyPatch.context() as patch:
        few_texts.__wrapped__(patch)
        settings = {"text_template": "{title} | {category}", "query_encoder": "distilled"}
        export_quickly(tiny_shop.catalog, tiny_encoder, out, **settings)
    return Bundle.open(out)


@pytest.fixture
def full(tiny_bundle, tmp_path):
    """A copy of the same shop's bundle without a small query encoder."""
    return Bundle.open(shutil.copytree(tiny_bundle, tmp_path / "full"), verify=())


def choose_for(bundle, setting):
    known = KnownQueries([], Interactions.empty(), bundle.items, Shop.of_bundle(bundle).titles)
    return choose_query_encoder(bundle, setting, open_text_encoder(bundle), known, 3, silent())


def status_of(graph, query=QUERY):
    return json.loads(graph.search(query)["STATUS"][0, 0])


def test_the_manifest_and_every_reply_name_what_embeds_queries(bundle, full):
    report = bundle.manifest["query_encoder"]
    assert (report["asked"], report["chosen"], bundle.spec.query_encoder) == ("distilled", "distilled", "distilled")
    assert {row["asked"] for row in report["gate"]} == {"as served", "by meaning alone"}
    assert status_of(LocalGraph(bundle))["encoder"] == f"query_encoder-{bundle.query_encoder_id[:12]}"
    assert status_of(LocalGraph(full))["encoder"] == f"encoder-{full.encoder_id[:12]}"


def test_a_recommendation_names_no_encoder(full):
    graph = LocalGraph(full)
    answer = graph.search(user=graph.bundle.histories.users[0].decode())
    assert "encoder" not in json.loads(answer["STATUS"][0, 0])


def test_queries_are_embedded_by_the_small_one_alone(bundle):
    called = [name for name, _ in LocalGraph(bundle).trace([(QUERY, "", {})])]
    assert called == ["preprocess", "query_encoder", "retrieve", "ranker", "finalize", "search"]


def test_items_and_all_other_texts_keep_the_full_encoder(bundle, full):
    np.testing.assert_array_equal(bundle.vectors, full.vectors)
    assert bundle.encoder_id == full.encoder_id
    texts = ["salted butter", "绿茶"]
    for kind in ("document", "query"):
        ours, theirs = (LocalGraph(one).embed(texts, kind=kind)["EMBEDDING"] for one in (bundle, full))
        np.testing.assert_array_equal(ours, theirs)


def test_models_beside_search_call_the_full_encoder(bundle):
    graph, called = LocalGraph(bundle), []

    def call(model, inputs, outputs):
        called.append(model)
        return graph.call(model, inputs, outputs)

    TextEncoder(bundle, call).embed(["a new item of the catalogue"])
    assert called == ["encoder"]
    graph._similar._call = call
    graph.similar(text=QUERY)
    assert called == ["encoder", "encoder", "retrieve"]


def test_one_process_answers_as_the_stages_do(bundle):
    request = {
        "QUERY": string_tensor([[QUERY.encode()]]),
        "USER_ID": string_tensor([[b""]]),
        "OPTIONS": string_tensor([[b"{}"]]),
    }
    (answer,) = SingleProcess(bundle).execute([request])
    assert answer["ITEM_ID"].tolist() == LocalGraph(bundle).search(QUERY)["ITEM_ID"].tolist()


def test_auto_keeps_the_full_encoder_where_the_small_one_ranks_worse(full, monkeypatch):
    monkeypatch.setattr(gate, "MIN_OVERLAP", dict.fromkeys(gate.MAX_LOSS, 1.01))
    spec, report = choose_for(full, "auto")
    assert spec == full.spec
    assert (report["asked"], report["chosen"]) == ("auto", "full")
    assert not (full.repository / "query_encoder").exists()
    told = choose.describe_query_encoder(report)
    assert told.startswith("queries keep the full encoder, since a distilled one ranks worse: as served: ")
    assert "of the first ten are kept; allowed: 1.01" in told


def test_one_that_was_asked_for_by_name_is_refused_with_figures(full, monkeypatch):
    monkeypatch.setattr(gate, "MAX_LOSS", dict.fromkeys(gate.MAX_LOSS, -1.0))
    with pytest.raises(QueryEncoderError, match=r"nDCG@10 of 30 queries is 0.*lost.*Take --query-encoder auto"):
        choose_for(full, "distilled")


def test_the_same_seed_makes_the_same_engine(full, tmp_path):
    files = []
    for _ in range(2):
        choose_for(full, "distilled")
        files.append((full.repository / "query_encoder" / "1" / "model.onnx").read_bytes())
    assert files[0] == files[1]


def test_engines_of_another_precision_leave_the_query_encoder_as_it_is(bundle, tmp_path):
    settings = EngineSettings(
        bundle.root, tmp_path / "out", "single_process", "fp32", requests=30, report=tmp_path / "parity.json"
    )
    made = Bundle.open(tmp_path / "out") if write_engines(settings, silent()) else None
    assert made.manifest["engines"]["cpu"]["chosen"]["query_encoder"] == "model.onnx"
    assert made.query_encoder_id == bundle.query_encoder_id
    assert made.spec.query_encoder == "distilled"
    rows = json.loads((tmp_path / "parity.json").read_text())["engines"]
    assert {row["engine"] for row in rows} == {"encoder", "ranker", "encoder and ranker"}


def test_a_ranker_that_is_trained_anew_learns_from_what_embeds_queries(bundle):
    ours = open_query_encoder(bundle).embed_queries([QUERY], bundle.spec)
    inputs = next(dict(tensors) for name, tensors in LocalGraph(bundle).trace([(QUERY, "", {})]) if name == "retrieve")
    np.testing.assert_allclose(ours, inputs["EMBEDDING"], atol=1e-6)
    chosen = chosen_engines(bundle.spec, "model.int8.onnx")["cpu"]["chosen"]
    assert chosen == {"encoder": "model.int8.onnx", "query_encoder": "model.onnx", "ranker": "model.onnx"}
