"""The whole graph in this process: nothing that is asked breaks it, and nobody harms others of a batch."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.candidates.features import FEATURES, SIGNALS
from fuserank_ensemble.candidates.request import decode_requests
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.contract.options import HEADS, MAX_QUERY_BYTES
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.graph.stages import search_stages
from fuserank_ensemble.graph.steps.finalize import Finalize
from fuserank_ensemble.graph.steps.preprocess import Preprocess
from fuserank_ensemble.graph.steps.retrieve import Retrieve
from fuserank_ensemble.retrieval.channel import ChannelUnavailableError
from fuserank_ensemble.serving.triton import execute_isolated
from support.graph_answer import Answer, raw_request
from support.hosts import LoneHost


@pytest.fixture(scope="module")
def graph(tiny_bundle):
    return LocalGraph(Bundle.open(tiny_bundle))


@pytest.fixture(scope="module")
def preprocess(tiny_bundle):
    return Preprocess.open(tiny_bundle, "cpu", LoneHost())


@pytest.mark.parametrize(
    "query", ["🥛", "👩‍🌾 绿茶", "\u202eklim", '"whole milk', "a" * 4_000, "AND (title:* OR ~^", "ｍｉｌｋ\x00"]
)
@pytest.mark.parametrize("user", ["", "u01"])
def test_any_query_is_answered_with_the_whole_catalogue_to_choose_from(graph, query, user):
    answer = Answer(graph.search(query, user, k=60))
    assert len(answer.ids) == 60
    assert "channel:" not in str(answer.status["degraded"])
    assert len(Answer(graph.search(query, user, k=60, filter={"category": "Food"})).ids) == 30


@pytest.mark.parametrize("name", ["dense", "lexical", "trending", "graph"])
def test_a_channel_that_does_not_answer_is_named_in_the_status_and_the_rest_answers(graph, monkeypatch, name):
    search = graph._steps["retrieve"]._retriever._search
    channel = next(each for each in search._channels if each.declaration.name == name)
    monkeypatch.setattr(search, "lists", search.lists.emptied())  # else what it found before would stand in

    def unavailable(questions, depth):
        raise ChannelUnavailableError(f"{name}: does not answer")

    monkeypatch.setattr(channel, "search", unavailable)
    outputs = dict(graph.trace([("goat cheese", "u00", {"k": 5}), ("goat cheese", "", {"k": 5})]))["search"]
    for row in range(2):
        answer = Answer(outputs, row)
        # The three that have both words; without the dense channel nothing else is near them.
        assert len(answer.ids) == (5 if name != "dense" else 3)
        assert answer.status["degraded"] == [f"channel:{name}"]
        assert name not in answer.status["candidates"]


def test_a_question_too_long_for_the_encoder_is_cut_and_says_so(graph):
    answer = Answer(graph.search("milk " * 500))
    assert answer.status["degraded"] == ["query_truncated"]
    assert len(answer.ids) == 10


REFUSED = {
    "nobody asks nothing": (raw_request(), "QUERY, USER_ID: found both empty"),
    "a query of spaces": (raw_request(" \t"), "QUERY, USER_ID: found both empty"),
    "an empty history": (raw_request(options='{"history": []}'), "QUERY, USER_ID: found both empty"),
    "a query of a megabyte": (
        raw_request("x" * 1_000_000),
        f"QUERY: found 1,000,000 bytes; allowed: at most {MAX_QUERY_BYTES:,}",
    ),
    "a user of a megabyte": (raw_request(user="x" * 1_000_000), "USER_ID: found 1,000,000 bytes; allowed: at most 256"),
    "a query that is no text": (raw_request(b"milk \xff"), "QUERY: found byte 0xff at position 5"),
    "a user that is no text": (raw_request(user=b"\xff"), "USER_ID: found byte 0xff at position 0"),
    "k of zero": (raw_request("milk", options='{"k": 0}'), "OPTIONS.k: found 0"),
    "an unknown filter field": (raw_request("milk", options='{"filter": {"brnd": "x"}}'), "did you mean 'brand'?"),
    "an unknown field": (raw_request("milk", options='{"fields": ["titel"]}'), "OPTIONS.fields: found 'titel'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_request_is_refused_by_field_and_the_others_of_its_batch_are_answered(preprocess, name):
    bad, text = REFUSED[name]
    good = [raw_request("goat cheese"), raw_request(user="u00")]
    answers = execute_isolated(preprocess, "preprocess", [good[0], bad, good[1]], ["a", "b", "c"])
    assert isinstance(answers[1], InvalidRequestError)
    assert text in str(answers[1])
    for request, answer in zip(good, answers[::2], strict=True):
        alone = preprocess.execute([request])[0]
        np.testing.assert_array_equal(answer["INPUT_IDS"], alone["INPUT_IDS"])
        assert decode_requests(answer["REQUEST"])[0].query == decode_requests(alone["REQUEST"])[0].query


@pytest.mark.parametrize(
    "options",
    [
        '{"filter": {"price": {"lt": 1' + "0" * 30 + "}}}",
        '{"filter": {"price": [1' + "0" * 30 + "]}}",
        '{"filter": {"price": {"gt": -1' + "0" * 30 + "}}}",
        r'{"filter": {"brand": "\ud800"}}',
        r'{"history": ["\ud800"]}',
        '{"history": ["' + "x" * 5_000 + '"]}',
        '{"context": {"timestamp": -62135596800}}',
        '{"context": {"timestamp": "9999-12-31T23:59:59"}}',
        '{"deadline_ms": 1e-300}',
        '{"objective": {"click": 1e-300}}',
    ],
)
def test_an_extreme_request_is_answered_or_refused_and_never_an_internal_error(preprocess, graph, options):
    answer = execute_isolated(preprocess, "preprocess", [raw_request("milk", "u00", options)], [""])[0]
    if isinstance(answer, InvalidRequestError):
        assert str(answer).encode("utf-8")
    else:
        assert not isinstance(answer, Exception), repr(answer)
        assert Answer(graph.search("milk", "u00", **json.loads(options))).status["returned"] >= 0


def test_rows_of_one_call_are_answered_as_if_each_came_alone(graph):
    rows = [
        ("milk", "", {"k": 3}),
        ("", "u01", {"k": 30, "explain": True}),
        ("绿茶", "u02", {"filter": {"category": "Drinks"}, "k": 60}),
        ("", "u03", {"filter": {"brand": "nobody"}}),
    ]
    outputs = dict(graph.trace(rows))["search"]
    assert outputs["ITEM_ID"].shape == outputs["SCORE"].shape == outputs["ITEM"].shape == (4, 30)
    assert outputs["STATUS"].shape == (4, 1)
    for i, (query, user, options) in enumerate(rows):
        together, alone = Answer(outputs, i), Answer(graph.search(query, user, **options))
        assert together.ids == alone.ids
        np.testing.assert_allclose(together.scores, alone.scores, atol=1e-4)
        assert [item["fields"] for item in together.items] == [item["fields"] for item in alone.items]
    assert (outputs["ITEM_ID"][0, 3:] == b"").all()
    assert (outputs["SCORE"][0, 3:] == 0).all()
    assert Answer(outputs, 3).ids == []


def test_requests_of_one_batch_are_retrieved_as_if_each_came_alone(tiny_bundle, graph):
    retrieve = Retrieve.open(tiny_bundle, "cpu", LoneHost())
    asked = [[("milk", "", {"k": 200})], [("", "u01", {}), ("milk", "u01", {"exclude_seen": True})]]
    inputs = [dict(graph.trace(rows))["retrieve"] for rows in asked]
    together = retrieve.execute(inputs)
    assert [len(each["CANDIDATES"]) for each in together] == [1, 2]
    for mine, answer in zip(inputs, together, strict=True):
        alone = retrieve.execute([mine])[0]
        np.testing.assert_array_equal(answer["CANDIDATES"], alone["CANDIDATES"])
        np.testing.assert_allclose(answer["FEATURES"], alone["FEATURES"], atol=1e-6)
        absent = answer["CANDIDATES"] < 0
        assert np.isnan(answer["FEATURES"][absent]).all()
        assert answer["CANDIDATES"].shape[1] in (32, 64, 128, 256)


def test_every_stage_hands_on_the_tensors_that_the_spec_declares(graph):
    kinds = {"INT64": np.int64, "INT32": np.int32, "FP32": np.float32, "BYTES": np.object_}
    steps = dict(graph.trace([("milk", "u00", {"k": 5}), ("", "u01", {})]))
    for stage in search_stages(graph.bundle.spec):
        for tensor in stage.inputs:
            array = steps[stage.name][tensor.name]
            assert array.dtype == kinds[tensor.dtype], tensor.name
            assert len(array) == 2
            expected = [size for size in tensor.dims if size >= 0]
            assert [s for s, d in zip(array.shape[1:], tensor.dims, strict=True) if d >= 0] == expected, tensor.name


def test_what_the_ranker_holds_equal_stays_in_the_order_of_fusion(tiny_bundle, graph):
    """A ranker that has learned nothing about a request must not shuffle it into the order of item ids."""
    steps = dict(graph.trace([("milk", "u00", {"k": 10})]))
    inputs = dict(steps["finalize"])
    inputs["HEADS"] = np.zeros_like(inputs["HEADS"])
    outputs = Finalize.open(tiny_bundle, "cpu", LoneHost()).execute([inputs])[0]
    fused = [graph.bundle.items.ids[r].decode() for r in inputs["CANDIDATES"][0, :10]]
    assert fused != sorted(fused)
    assert Answer(outputs).ids == fused


def test_the_ranker_gets_as_many_columns_as_it_was_trained_on(graph):
    steps = dict(graph.trace([("milk", "", {})]))
    assert steps["ranker"]["FEATURES"].shape[-1] == len(FEATURES)
    assert steps["finalize"]["HEADS"].shape[-1] == len(HEADS)
    assert steps["finalize"]["CONTRIBUTIONS"].shape[-2:] == (len(SIGNALS), len(HEADS))
