"""The text tower's engine: it reads as its library does, only where there is a query, and in time."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from fuserank_ensemble.bundle import Bundle, BundleError
from fuserank_ensemble.candidates.request import decode_traces
from fuserank_ensemble.candidates.retriever import Retriever
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.graph.single_process import SingleProcess
from fuserank_ensemble.graph.tensors import string_tensor
from support.keys import TEST_KEY

torch = pytest.importorskip("torch")
from transformers import AutoModelForSequenceClassification, AutoTokenizer  # noqa: E402

from fuserank_ensemble.graph.engine import OnnxEngine, open_session  # noqa: E402
from fuserank_export.engines.precision import write_fp16  # noqa: E402  they need torch
from fuserank_export.training.text.engine import export_text_tower, random_pairs  # noqa: E402
from fuserank_export.training.text.tower import PairScorer, load_text_tower  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
LONGEST = 64  # positions of the tiny tower


@pytest.fixture(scope="module")
def bundle(tower_bundle):
    return Bundle.open(tower_bundle)


@pytest.fixture(scope="module")
def graph(bundle):
    return LocalGraph(bundle)


@pytest.fixture(scope="module")
def opened(tiny_tower):
    return load_text_tower(str(tiny_tower))


@pytest.fixture(scope="module")
def engine(bundle, opened, tmp_path_factory):
    folder = tmp_path_factory.mktemp("engine")
    export_text_tower(opened.tower, bundle.spec, folder / "model.onnx")
    write_fp16(folder / "model.onnx", folder / "model.fp16.onnx")
    return folder


def logits(tower, ids, types):
    with torch.inference_mode():
        return tower(torch.from_numpy(ids), torch.from_numpy(types)).numpy()


def test_a_tower_reads_pairs_as_the_library_does_whatever_the_padding(bundle, opened, tiny_tower):
    tokenizer = AutoTokenizer.from_pretrained(str(tiny_tower))
    model = AutoModelForSequenceClassification.from_pretrained(str(tiny_tower)).eval()
    query, texts = "goat milk", ["whole milk small | Food > Dairy", "绿茶", "dish soap"]
    expected = []
    for text in texts:
        with torch.inference_mode():
            expected.append(
                model(**tokenizer(query, text, return_tensors="pt", return_token_type_ids=True)).logits.item()
            )
    encoded = [tokenizer(query, text, return_token_type_ids=True) for text in texts]
    for length in (24, LONGEST):
        ids, types = np.full((1, 4, length), opened.pad_id), np.zeros((1, 4, length), np.int64)
        for j, each in enumerate(encoded):
            ids[0, j, : len(each["input_ids"])] = each["input_ids"]
            types[0, j, : len(each["token_type_ids"])] = each["token_type_ids"]
        found = logits(opened.tower, ids, types)
        np.testing.assert_allclose(found[0, :3], expected, atol=1e-5)
        assert np.isnan(found[0, 3])
    assert np.ptp(expected) > 0.01


@pytest.mark.parametrize("length", [1, 7, LONGEST])
@pytest.mark.parametrize("count", [1, 8, 20])
def test_the_engine_equals_torch_for_any_number_and_length_of_pairs(bundle, opened, engine, count, length):
    feeds = {name: np.resize(array, (1, count, length)) for name, array in random_pairs(bundle.spec, length).items()}
    feeds["PAIR_IDS"][0, -1] = opened.pad_id
    scores = open_session(engine / "model.onnx", {}).run(["TEXT_SCORES"], feeds)[0]
    np.testing.assert_allclose(scores, logits(opened.tower, *feeds.values()), atol=1e-4)
    assert np.isnan(scores[0]).tolist() == [False] * (count - 1) + [True]


def test_half_precision_does_not_overflow_whatever_comes(bundle, engine):
    ids = np.random.default_rng(2).integers(0, 40, (2, 8, LONGEST))  # padding in the middle of pairs, too
    feeds = {"PAIR_IDS": ids, "PAIR_TYPES": np.zeros_like(ids)}
    exact, half = (
        open_session(engine / f"model{kind}.onnx", {}).run(["TEXT_SCORES"], feeds)[0] for kind in ("", ".fp16")
    )
    assert np.isfinite(half).all()
    np.testing.assert_allclose(half, exact, atol=0.05)


def test_the_tower_is_asked_no_more_tokens_than_it_has_positions_for(bundle, opened):
    assert opened.max_length == LONGEST
    assert bundle.spec.pair_buckets == (32, 64)
    assert set(bundle.manifest["text_tower_ms"]) == {"32", "64"}
    assert all(cost >= 0 for cost in bundle.manifest["text_tower_ms"].values())


def read_by(graph, *requests):
    steps = dict(graph.trace(list(requests)))
    return steps["text_tower"], steps["search"]


def test_a_request_without_a_query_has_no_pairs(graph, bundle):
    inputs, _ = read_by(graph, ("", "u00", {}))
    assert (inputs["PAIR_IDS"] == bundle.spec.pair_pad_token_id).all()
    inputs, _ = read_by(graph, ("milk", "u00", {}), ("", "u00", {}))
    assert (inputs["PAIR_IDS"][0] != bundle.spec.pair_pad_token_id).any()
    assert (inputs["PAIR_IDS"][1] == bundle.spec.pair_pad_token_id).all()


def test_the_first_candidates_have_a_pair_each_and_equal_texts_equal_pairs(bundle, graph, monkeypatch):
    retrieve = Retriever.retrieve
    texts = []

    def alike(self, *asked):
        found = [replace(each, texts=each.texts // 10 * 10) for each in retrieve(self, *asked)]
        texts.append(found[0].texts[:8])
        return found

    monkeypatch.setattr(Retriever, "retrieve", alike)
    inputs, _ = read_by(graph, ("milk", "u00", {}))
    assert len(set(texts[0])) < 8
    for text, ids in zip(texts[0], inputs["PAIR_IDS"][0], strict=True):
        ((expected, _),) = bundle.pairs.join("milk", np.asarray([text]))
        assert ids[: len(expected)].tolist() == expected
        assert (ids[len(expected) :] == bundle.spec.pair_pad_token_id).all()


def test_pairs_are_shared_by_two_threads_where_the_tower_takes_long(bundle, graph, monkeypatch):
    whole = dict(graph.trace([("milk", "u00", {})]))["search"]
    run = OnnxEngine.run
    for ms, shares in ((0.0, 1), (1e3, 2)):
        slow, ran = dict.fromkeys(bundle.manifest["text_tower_ms"], ms), []
        monkeypatch.setattr(
            OnnxEngine, "run", lambda self, batch, ran=ran: ran.append("PAIR_IDS" in batch) or run(self, batch)
        )
        search = SingleProcess(replace(bundle, manifest=bundle.manifest | {"text_tower_ms": slow}), key=TEST_KEY)
        (found,) = search.execute([asked("milk")])
        assert sum(ran) == shares
        assert found["ITEM_ID"].tolist() == whole["ITEM_ID"].tolist()
        np.testing.assert_allclose(found["SCORE"], whole["SCORE"], atol=1e-4)


def asked(query, user="u00"):
    rows = {"QUERY": query, "USER_ID": user, "OPTIONS": "{}"}
    return {name: string_tensor([[text.encode()]]) for name, text in rows.items()}


def test_each_pair_is_read_once_whoever_asks(bundle, graph, monkeypatch):
    read, run = [], OnnxEngine.run

    def count(self, batch):
        read.append(batch["PAIR_IDS"].shape[1] if "PAIR_IDS" in batch else 0)
        return run(self, batch)

    monkeypatch.setattr(OnnxEngine, "run", count)
    search = SingleProcess(bundle, key=TEST_KEY)
    counts, reads_by_request = search.caches["pair_score"], []
    for query, user in [("milk", "u00"), ("milk", "u00"), ("绿茶", "u01"), ("milk", "u01"), ("", "u00"), ("milk", "")]:
        (found,) = search.execute([asked(query, user)])
        reads = sum(read)
        read.clear()
        expected = dict(graph.trace([(query, user, {})]))["search"]
        read.clear()
        reads_by_request.append(reads)
        assert found["ITEM_ID"].tolist() == expected["ITEM_ID"].tolist()
        np.testing.assert_allclose(found["SCORE"], expected["SCORE"], atol=1e-4)
    assert reads_by_request[0] > 0
    assert reads_by_request[1] == 0
    assert counts().hits >= reads_by_request[0]


def test_pairs_of_a_batch_keep_to_their_own_requests(bundle, graph):
    search = SingleProcess(bundle, key=TEST_KEY)
    search.execute([asked("milk")])
    batch = [("绿茶", "u01"), ("milk", "u00"), ("", "u00"), ("milk", "u01"), ("dish soap", "")]
    for (query, user), found in zip(batch, search.execute([asked(*each) for each in batch]), strict=True):
        expected = dict(graph.trace([(query, user, {})]))["search"]
        assert found["ITEM_ID"].tolist() == expected["ITEM_ID"].tolist()
        np.testing.assert_allclose(found["SCORE"], expected["SCORE"], atol=1e-4)


def test_a_case_holds_the_readings_that_the_engine_makes_when_it_serves(graph, bundle, opened):
    reader = PairScorer.open(opened, bundle.root / "index" / "pairs", bundle.spec)
    queries = ["goat milk", "绿茶"]
    inputs, _ = read_by(graph, *((query, "u01", {}) for query in queries))
    texts = [bundle.items.text[rows[:8]] for rows in inputs_of(graph, queries)]
    served = logits(opened.tower, inputs["PAIR_IDS"], inputs["PAIR_TYPES"])
    for mine, expected in zip(reader(queries, texts), served, strict=True):
        np.testing.assert_allclose(mine, expected, atol=1e-4)


def inputs_of(graph, queries):
    return dict(graph.trace([(query, "u01", {}) for query in queries]))["finalize"]["CANDIDATES"]


@pytest.mark.parametrize(("query", "user"), [("milk", ""), ("", "u01"), ("milk", "u01")])
def test_what_the_tower_read_is_a_signal_and_all_signals_add_up_to_the_score(graph, query, user):
    outputs = graph.search(query, user, explain=True, k=20)
    for score, item in zip(outputs["SCORE"][0], outputs["ITEM"][0], strict=True):
        signals = {signal["name"]: signal for signal in json.loads(item)["signals"]}
        assert "reading" in signals
        assert sum(signal["contribution"] for signal in signals.values()) == pytest.approx(score, abs=1e-3)


def test_a_deadline_too_short_for_the_tower_leaves_it_out_and_says_so(tower_bundle, bundle):
    slow = dict.fromkeys(bundle.manifest["text_tower_ms"], 1e9)
    graph = LocalGraph(replace(bundle, manifest=bundle.manifest | {"text_tower_ms": slow}))
    steps = dict(graph.trace([("milk", "u00", {"deadline_ms": 50_000}), ("milk", "u00", {}), ("", "u00", {})]))
    late, whole, without = (trace.degraded for trace in decode_traces(steps["finalize"]["RETRIEVAL"]))
    assert (late, whole, without) == (["text_tower"], [], [])
    ids = steps["text_tower"]["PAIR_IDS"]
    assert (ids[0] == bundle.spec.pair_pad_token_id).all()
    assert (ids[1] != bundle.spec.pair_pad_token_id).any()
    alone, answer = read_by(graph, ("milk", "u00", {"deadline_ms": 50_000}))
    assert (alone["PAIR_IDS"] == bundle.spec.pair_pad_token_id).all()
    assert json.loads(answer["STATUS"][0, 0])["degraded"] == ["text_tower"]
    passed = json.loads(graph.search("milk", "u00", deadline_ms=0.001)["STATUS"][0, 0])["degraded"]
    assert {"ranker_depth", "text_tower", "deadline_passed"} == set(passed)


def test_a_deadline_that_leaves_time_for_half_of_the_pairs_has_half_of_them_read(bundle):
    slow = dict.fromkeys(bundle.manifest["text_tower_ms"], 80_000)
    graph = LocalGraph(replace(bundle, manifest=bundle.manifest | {"text_tower_ms": slow}))
    pad, half = bundle.spec.pair_pad_token_id, bundle.spec.text_candidates // 2
    tensors, answer = read_by(graph, ("milk", "u00", {"deadline_ms": 50_000}))
    assert json.loads(answer["STATUS"][0, 0])["degraded"] == ["text_tower_depth"]
    assert (tensors["PAIR_IDS"] != pad).any(-1).sum() == half
    whole, answer = read_by(graph, ("milk", "u00", {}))
    assert json.loads(answer["STATUS"][0, 0])["degraded"] == []
    np.testing.assert_array_equal(
        tensors["PAIR_IDS"][0, :half], whole["PAIR_IDS"][0, :half, : tensors["PAIR_IDS"].shape[2]]
    )


@pytest.mark.parametrize("name", ["index/pairs/tokens.npy", "index/pairs/tokenizer.json", "index/pairs/layout.json"])
def test_a_bundle_with_another_towers_file_is_refused_by_name(tower_bundle, tmp_path, name):
    copied = tmp_path / "bundle"
    shutil.copytree(tower_bundle, copied)
    path = copied / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(BundleError) as error:
        Bundle.open(copied, verify=("index/",))
    assert str(error.value).startswith(f"{path}: sha256 ")
