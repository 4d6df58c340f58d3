"""The text tower within the ranker's engine: as its library has it, only where there is a query, and in time."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from fuserank_ensemble.bundle import Bundle, BundleError
from fuserank_ensemble.candidates.request import decode_traces
from fuserank_ensemble.candidates.retriever import Retriever
from fuserank_ensemble.graph.halves import Halves
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.graph.padding import trimmed
from fuserank_ensemble.graph.steps.search import Search
from fuserank_ensemble.serving.triton import strings

torch = pytest.importorskip("torch")
from transformers import AutoModelForSequenceClassification, AutoTokenizer  # noqa: E402

from fuserank_ensemble.graph.session import open_session  # noqa: E402
from fuserank_export.engines.precision import write_fp16  # noqa: E402  they need torch
from fuserank_export.training.model.engine import OUTPUTS, RankerEngine, export_engine, random_inputs  # noqa: E402
from fuserank_export.training.model.ranker import GATES, Ranker  # noqa: E402
from fuserank_export.training.text.tower import PairReader, open_text_tower  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
LONGEST = 64  # positions of the tiny tower
ALL = [*OUTPUTS, "READING"]


@pytest.fixture(scope="module")
def bundle(tower_bundle):
    return Bundle.open(tower_bundle)


@pytest.fixture(scope="module")
def graph(bundle):
    return LocalGraph(bundle)


@pytest.fixture(scope="module")
def opened(tiny_tower):
    return open_text_tower(str(tiny_tower))


@pytest.fixture(scope="module")
def engine(bundle, opened, tmp_path_factory):
    torch.manual_seed(4)
    folder, joined = tmp_path_factory.mktemp("engine"), RankerEngine(Ranker(bundle.spec.embedding_dim), opened.tower)
    export_engine(joined, bundle.spec, folder / "model.onnx")
    write_fp16(folder / "model.onnx", folder / "model.fp16.onnx")
    return folder, joined.eval()


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
        ids, types = np.full((1, 4, length), opened.pad), np.zeros((1, 4, length), np.int64)
        for j, each in enumerate(encoded):
            ids[0, j, : len(each["input_ids"])] = each["input_ids"]
            types[0, j, : len(each["token_type_ids"])] = each["token_type_ids"]
        found = logits(opened.tower, ids, types)
        np.testing.assert_allclose(found[0, :3], expected, atol=1e-5)
        assert np.isnan(found[0, 3])
    assert np.ptp(expected) > 0.01


@pytest.mark.parametrize("length", [0, 1, 7, LONGEST])
@pytest.mark.parametrize("batch", [1, 3])
def test_the_engine_equals_torch_with_and_without_pairs(bundle, engine, batch, length):
    folder, model = engine
    # Of a batch of three the first request has pairs, the others none.
    feeds = random_inputs(bundle.spec, batch, 32, np.random.default_rng(length), length)
    with torch.inference_mode():
        expected = model(*map(torch.from_numpy, feeds.values()))
    for found, mine in zip(open_session(folder / "model.onnx", {}).run(ALL, feeds), expected, strict=True):
        np.testing.assert_allclose(found, mine, atol=1e-4)


def test_what_was_read_before_counts_as_if_it_were_read_now(bundle, engine):
    session = open_session(engine[0] / "model.onnx", {})
    feeds = random_inputs(bundle.spec, 1, 32, np.random.default_rng(5), 7)
    feeds["PAIR_IDS"][0, :, :7] += np.arange(8)[:, None]  # eight pairs that differ
    *scored, reading = session.run(ALL, feeds)
    assert np.ptp(reading) > 1e-3
    known = np.arange(8) % 2 == 0
    again = feeds | {
        "PAIR_OF": np.where(known, -1, feeds["PAIR_OF"]),
        "READ_BEFORE": np.where(known, reading, np.nan).astype(np.float32),
    }
    for found, expected in zip(session.run(ALL, again), (*scored, reading), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    other = session.run(ALL, again | {"READ_BEFORE": again["READ_BEFORE"] + 3})
    assert np.abs(other[0] - scored[0])[0, :8:2].max() > 1e-3
    np.testing.assert_allclose(other[0][0, 1:8:2], scored[0][0, 1:8:2], atol=1e-5)
    never = session.run(ALL, again | {"READ_BEFORE": np.full_like(reading, np.nan)})[2]
    assert np.isnan(never[0]).tolist() == known.tolist()


def test_half_precision_does_not_overflow_whatever_comes(bundle, engine):
    folder, _ = engine
    feeds = random_inputs(bundle.spec, 2, 32, np.random.default_rng(1))
    draw = np.random.default_rng(2)
    feeds["PAIR_IDS"] = draw.integers(0, 40, feeds["PAIR_IDS"].shape)  # padding in the middle of pairs, too
    feeds["FEATURES"][0, :8], feeds["FEATURES"][0, 8:16] = 6e4, -6e4
    feeds["FEATURES"][..., GATES] = 1.0  # these are 0 or 1 by nature
    exact, half = (open_session(folder / f"model{kind}.onnx", {}).run(["HEADS"], feeds)[0] for kind in ("", ".fp16"))
    assert np.isfinite(half).all()
    np.testing.assert_allclose(half, exact, atol=0.05)


def test_the_tower_is_asked_no_more_tokens_than_it_has_positions_for(bundle, opened):
    assert opened.longest == LONGEST
    assert bundle.spec.pair_buckets == (1, 32, 64)
    assert set(bundle.manifest["text_tower_ms"]) == {"1", "32", "64"}
    assert all(cost >= 0 for cost in bundle.manifest["text_tower_ms"].values())


def read_by(graph, *requests):
    steps = dict(graph.steps(list(requests)))
    return steps["ranker"], steps["search"]


def test_a_request_without_a_query_costs_the_tower_one_token_a_pair(graph, bundle):
    inputs, _ = read_by(graph, ("", "u00", {}))
    assert inputs["PAIR_IDS"].shape == (1, 8, 1)
    assert (inputs["PAIR_IDS"] == bundle.spec.pair_pad_token_id).all()
    inputs, _ = read_by(graph, ("milk", "u00", {}), ("", "u00", {}))
    assert inputs["PAIR_IDS"].shape[2] in (32, 64)
    assert (inputs["PAIR_IDS"][1] == bundle.spec.pair_pad_token_id).all()


def test_candidates_of_one_text_share_a_pair(bundle, graph, monkeypatch):
    retrieve = Retriever.retrieve
    texts = []

    def alike(self, *asked):
        found = [replace(each, texts=each.texts // 10 * 10) for each in retrieve(self, *asked)]
        texts.append(found[0].texts[:8])
        return found

    monkeypatch.setattr(Retriever, "retrieve", alike)
    inputs, _ = read_by(graph, ("milk", "u00", {}))
    pairs = inputs["PAIR_OF"].max() + 1
    assert inputs["PAIR_OF"].shape == (1, 8)
    assert pairs == len(set(texts[0])) < 8
    for text, at in zip(texts[0], inputs["PAIR_OF"][0], strict=True):
        ((ids, _),) = bundle.pairs.joined("milk", np.asarray([text]))
        assert inputs["PAIR_IDS"][0, at, : len(ids)].tolist() == ids
    assert (inputs["PAIR_IDS"][0, pairs:] == bundle.spec.pair_pad_token_id).all()


def test_a_request_without_a_query_has_no_pairs(graph):
    inputs, _ = read_by(graph, ("", "u00", {}))
    assert (inputs["PAIR_OF"] == -1).all()


def test_the_engine_answers_alike_without_the_padding(bundle, engine, graph):
    folder, _ = engine
    session = open_session(folder / "model.onnx", {})
    inputs, _ = read_by(graph, ("milk", "u00", {}), ("dish soap", "u01", {}))
    shorter = trimmed(inputs, bundle.spec.pair_pad_token_id)
    assert shorter["PAIR_IDS"].size < inputs["PAIR_IDS"].size
    for found, expected in zip(session.run(None, shorter), session.run(None, inputs), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("query", ["milk", "绿茶"])
def test_the_engine_answers_alike_by_halves(bundle, engine, graph, query):
    folder, _ = engine
    session = open_session(folder / "model.onnx", {})
    inputs, _ = read_by(graph, (query, "u00", {}))
    whole = trimmed(inputs, bundle.spec.pair_pad_token_id)
    halves = Halves.of(whole)
    first, second = (dict(zip(ALL, session.run(ALL, part), strict=True)) for part in halves.parts)
    found = halves.whole((first, second))
    for name, expected in zip(ALL, session.run(ALL, whole), strict=True):
        np.testing.assert_allclose(found[name], expected, atol=1e-5)


def test_a_lone_request_is_shared_out_where_the_tower_takes_long(bundle, graph, monkeypatch):
    whole = dict(graph.steps([("milk", "u00", {})]))["search"]
    for ms, shares in ((0.0, 1), (1e3, 2)):
        slow = dict.fromkeys(bundle.manifest["text_tower_ms"], ms)
        search, ran = Search(replace(bundle, manifest=bundle.manifest | {"text_tower_ms": slow})), []
        ranker = search._ranker._ranker
        run = ranker.run
        monkeypatch.setattr(ranker, "run", lambda batch, run=run, ran=ran: ran.append(batch) or run(batch))
        rows = {"QUERY": "milk", "USER_ID": "u00", "OPTIONS": "{}"}
        request = {name: strings([[text.encode()]]) for name, text in rows.items()}
        (found,) = search.execute([request])
        assert len(ran) == shares
        assert found["ITEM_ID"].tolist() == whole["ITEM_ID"].tolist()
        np.testing.assert_allclose(found["SCORE"], whole["SCORE"], atol=1e-4)
        ran.clear()
        others = [request | {"QUERY": strings([[text.encode()]])} for text in ("goat milk", "绿茶")]
        assert len(search.execute(others)) == 2
        assert sum(len(batch["FEATURES"]) for batch in ran) == 2


def asked(query, user="u00"):
    rows = {"QUERY": query, "USER_ID": user, "OPTIONS": "{}"}
    return {name: strings([[text.encode()]]) for name, text in rows.items()}


def test_each_pair_is_read_once_whoever_asks(bundle, graph, monkeypatch):
    search, read = Search(bundle), []
    ranker = search._ranker._ranker
    run = ranker.run
    monkeypatch.setattr(ranker, "run", lambda batch: read.append(int((batch["PAIR_OF"] >= 0).sum())) or run(batch))
    looked = search.caches["reading"]
    for query, user in [("milk", "u00"), ("milk", "u00"), ("绿茶", "u01"), ("milk", "u01"), ("", "u00"), ("milk", "")]:
        expected = dict(graph.steps([(query, user, {})]))["search"]
        (found,) = search.execute([asked(query, user)])
        assert found["ITEM_ID"].tolist() == expected["ITEM_ID"].tolist()
        np.testing.assert_allclose(found["SCORE"], expected["SCORE"], atol=1e-4)
    assert read[0] > 0
    assert read[1] == 0
    assert looked().hits >= read[0]


def test_pairs_of_a_batch_keep_to_their_own_requests(bundle, graph):
    search = Search(bundle)
    search.execute([asked("milk")])
    batch = [("绿茶", "u01"), ("milk", "u00"), ("", "u00"), ("milk", "u01"), ("dish soap", "")]
    for (query, user), found in zip(batch, search.execute([asked(*each) for each in batch]), strict=True):
        expected = dict(graph.steps([(query, user, {})]))["search"]
        assert found["ITEM_ID"].tolist() == expected["ITEM_ID"].tolist()
        np.testing.assert_allclose(found["SCORE"], expected["SCORE"], atol=1e-4)


def test_a_case_holds_the_readings_that_the_engine_makes_when_it_serves(graph, bundle, opened):
    reader = PairReader.open(opened, bundle.root / "index" / "pairs", bundle.spec)
    queries = ["goat milk", "绿茶"]
    inputs, _ = read_by(graph, *((query, "u01", {}) for query in queries))
    texts = [bundle.items.text[rows[:8]] for rows in inputs_of(graph, queries)]
    served = np.take_along_axis(
        logits(opened.tower, inputs["PAIR_IDS"], inputs["PAIR_TYPES"]), inputs["PAIR_OF"], axis=1
    )
    for mine, expected in zip(reader(queries, texts), served, strict=True):
        np.testing.assert_allclose(mine, expected, atol=1e-4)


def inputs_of(graph, queries):
    return dict(graph.steps([(query, "u01", {}) for query in queries]))["finalize"]["CANDIDATES"]


@pytest.mark.parametrize(("query", "user"), [("milk", ""), ("", "u01"), ("milk", "u01")])
def test_what_the_tower_read_is_a_signal_and_all_signals_add_up_to_the_score(graph, query, user):
    outputs = graph.search(query, user, explain=True, k=20)
    for score, item in zip(outputs["SCORE"][0], outputs["ITEM"][0], strict=True):
        signals = {signal["name"]: signal for signal in json.loads(item)["signals"]}
        assert "reading" in signals
        assert sum(signal["contribution"] for signal in signals.values()) == pytest.approx(score, abs=1e-3)


def test_a_deadline_too_short_for_the_tower_leaves_it_out_and_says_so(tower_bundle, bundle):
    slow = {length: 1e9 if int(length) > 1 else 0.0 for length in bundle.manifest["text_tower_ms"]}
    graph = LocalGraph(replace(bundle, manifest=bundle.manifest | {"text_tower_ms": slow}))
    steps = dict(graph.steps([("milk", "u00", {"deadline_ms": 50_000}), ("milk", "u00", {}), ("", "u00", {})]))
    late, whole, without = (trace.degraded for trace in decode_traces(steps["finalize"]["RETRIEVAL"]))
    assert (late, whole, without) == (["text_tower"], [], [])
    ids = steps["ranker"]["PAIR_IDS"]
    assert (ids[0] == bundle.spec.pair_pad_token_id).all()
    assert (ids[1] != bundle.spec.pair_pad_token_id).any()
    alone, answer = read_by(graph, ("milk", "u00", {"deadline_ms": 50_000}))
    assert alone["PAIR_IDS"].shape[2] == 1
    assert json.loads(answer["STATUS"][0, 0])["degraded"] == ["text_tower"]
    passed = json.loads(graph.search("milk", "u00", deadline_ms=0.001)["STATUS"][0, 0])["degraded"]
    assert {"ranker_depth", "text_tower", "deadline_passed"} == set(passed)


@pytest.mark.parametrize("name", ["index/pairs/tokens.npy", "index/pairs/tokenizer.json", "index/pairs/layout.json"])
def test_a_bundle_with_another_towers_file_is_refused_by_name(tower_bundle, tmp_path, name):
    copied = tmp_path / "bundle"
    shutil.copytree(tower_bundle, copied)
    path = copied / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(BundleError) as error:
        Bundle.open(copied, verify=("index/",))
    assert str(error.value).startswith(f"{path}: sha256 ")
