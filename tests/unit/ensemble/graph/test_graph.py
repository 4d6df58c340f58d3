"""The whole graph in this process, on a tiny shop: what a caller asks for comes out, and nobody harms others."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

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
from fuserank_ensemble.graph.tensors import string_tensor
from fuserank_ensemble.retrieval.channel import ChannelUnavailableError
from fuserank_ensemble.serving.triton import execute_isolated
from support.hosts import LoneHost
from support.tiny_shop import LOG_END

ONE_SEEN = '{"history": ["i01"]}'
MILK = "whole milk small. Food, Dairy"  # the text of i00, as the bundle's template lays it out


@pytest.fixture(scope="module")
def graph(tiny_bundle):
    return LocalGraph(Bundle.open(tiny_bundle))


@pytest.fixture(scope="module")
def preprocess(tiny_bundle):
    return Preprocess.open(tiny_bundle, "cpu", LoneHost())


class Answer:
    """One row of the graph's outputs."""

    def __init__(self, outputs, row=0):
        returned = [i for i, item in enumerate(outputs["ITEM_ID"][row]) if item]
        self.ids = [outputs["ITEM_ID"][row, i].decode() for i in returned]
        self.scores = outputs["SCORE"][row, returned].tolist()
        self.items = [json.loads(outputs["ITEM"][row, i]) for i in returned]
        self.status = json.loads(outputs["STATUS"][row, 0])
        assert len(set(self.ids)) == len(self.ids) == self.status["returned"]

    def signals(self, item):
        return {signal["name"]: signal for signal in self.items[self.ids.index(item)]["signals"]}


@pytest.fixture
def ask(graph):
    def ask(query="", user="", **options):
        return Answer(graph.search(query, user, **options))

    return ask


def row(query=b"", user=b"", options=b"{}"):
    raw = [x.encode() if isinstance(x, str) else x for x in (query, user, options)]
    return {name: string_tensor([[value]]) for name, value in zip(("QUERY", "USER_ID", "OPTIONS"), raw, strict=True)}


@pytest.mark.parametrize(("query", "user"), [("goat cheese", ""), ("", "u03"), ("绿茶", "u03"), ("", "nobody")])
def test_every_kind_of_request_gets_ten_items_best_first_with_a_status(ask, graph, query, user):
    answer = ask(query, user)
    assert len(answer.ids) == 10
    assert answer.scores == sorted(answer.scores, reverse=True)
    assert answer.status["bundle"] == graph.bundle.id
    assert answer.status["degraded"] == []
    assert answer.status["user_known"] == (user == "u03")
    assert answer.status["candidates"]["fused"] == 60
    kind = ("both" if user else "query") if query else "user"
    weights = graph.bundle.spec.channel_weights[kind]
    assert set(answer.status["candidates"]) - {"fused"} == {name for name, weight in weights.items() if weight > 0}
    for name in ("dense", "lexical"):
        assert (name in answer.status["candidates"]) == bool(query)
    assert min(answer.status["microseconds"].values()) >= 0
    assert set(answer.status["microseconds"]) == {"preprocess", "encoder", "retrieve", "ranker", "finalize", "total"}


def test_an_item_whose_text_is_the_query_is_found_and_explained_as_alike(ask):
    answer = ask(MILK, k=60, explain=True)
    likeness = {item: answer.signals(item)["text"]["value"] for item in answer.ids}
    assert likeness["i00"] == pytest.approx(1.0, abs=2e-3)
    assert max(likeness, key=likeness.__getitem__) == "i00"
    assert answer.signals("i00")["text"]["reason"] == f"100% like “{MILK}”"


def test_full_width_letters_and_odd_spaces_find_the_same(ask):
    plain, wide = ask("acme milk", k=60), ask(" ａｃｍｅ　\tMILK\n", k=60)
    assert plain.ids == wide.ids


@pytest.mark.parametrize("user", ["u00", "u05", "u11"])
def test_a_user_is_offered_what_they_come_back_for(ask, tiny_shop, user):
    assert tiny_shop.favourites[user][0] in ask(user=user, k=5, objective={"purchase": 1}).ids


def test_an_unknown_user_is_answered_as_a_new_one(ask):
    stranger, another = ask(user="never seen"), ask(user="用户" * 40)
    assert stranger.ids == another.ids
    assert not stranger.status["user_known"]


def test_a_history_in_the_request_replaces_the_stored_one(ask, tiny_shop):
    given = ["i07", "i07", "no such item"]
    with_user, without = ask(user="u00", history=given, explain=True), ask(history=given, explain=True)
    assert with_user.ids == without.ids
    assert with_user.scores == without.scores
    assert "i07" in without.ids
    assert without.signals("i07")["history"]["reason"] == "you had it 2 times, last today"
    assert without.status["history_unknown"] == 1
    assert with_user.status["user_known"]
    assert ask(user="u00", history=[]).ids == ask(user="nobody").ids


def test_seen_items_can_be_left_out(ask):
    all_of_them = ask(user="u02", k=60, explain=True)
    seen = {item for item in all_of_them.ids if all_of_them.signals(item)["history"]["value"] is not None}
    assert 0 < len(seen) < 60
    unseen = ask(user="u02", k=60, exclude_seen=True)
    assert set(unseen.ids) == set(all_of_them.ids) - seen
    assert not {"i01", "i02"} & set(ask("milk", history=["i01", "i02"], exclude_seen=True, k=60).ids)


@pytest.mark.parametrize("asked", [{"query": "milk"}, {"user": "u01"}, {"query": "milk", "user": "u01"}])
@pytest.mark.parametrize(
    ("condition", "fits"),
    [
        ({"category": "Food > Dairy"}, lambda item: item["category"] == "Food > Dairy"),
        ({"category": "Drinks"}, lambda item: item["category"].startswith("Drinks > ")),
        ({"brand": "北山", "price": {"lt": 4}}, lambda item: item["brand"] == "北山" and float(item["price"] or 9) < 4),
        ({"in_stock": False}, lambda item: item["in_stock"] == "false"),
        ({"shelf": ["002"]}, lambda item: item["shelf"] == "002"),
        ({"not": {"price": {"gte": 0}}}, lambda item: not item["price"]),
        ({"price": 1.25}, lambda item: item["price"] == "1.25"),
        ({"brand": "nobody"}, lambda item: False),
    ],
)
def test_a_filter_keeps_every_item_that_fits_and_no_other(ask, tiny_shop, asked, condition, fits):
    expected = {item for item, values in tiny_shop.items.items() if fits(values)}
    assert set(ask(**asked, filter=condition, k=60).ids) == expected


def test_a_filter_of_one_request_is_not_used_for_another(ask, tiny_shop):
    only = {"brand": "Acme"}
    first = ask(user="u00", filter=only, exclude_seen=True, k=60)
    second = ask(user="nobody", filter=only, k=60)
    assert set(second.ids) == tiny_shop.ids(brand="Acme") > set(first.ids)


@pytest.mark.parametrize("k", [1, 59, 60, 61, 200])
def test_k_items_come_back_or_the_whole_catalogue(ask, k):
    assert len(ask("milk", "u00", k=k).ids) == min(k, 60)


@pytest.mark.parametrize("asked", [{"query": "milk"}, {"user": "u01"}, {"query": "milk", "user": "u01"}])
def test_contributions_with_the_base_add_up_to_the_score(ask, asked):
    answer = ask(**asked, explain=True, k=60)
    names = {*SIGNALS, "base"} - {"request", "fit"}
    for score, item in zip(answer.scores, answer.items, strict=True):
        assert {s["name"] for s in item["signals"]} == names
        assert sum(s["contribution"] for s in item["signals"]) == pytest.approx(score, abs=1e-5)
        assert sum(s["share"] for s in item["signals"]) == pytest.approx(1.0)
    assert "signals" not in ask(**asked).items[0]


def test_only_the_asked_fields_come_back_and_missing_ones_are_left_out(ask, tiny_shop):
    answer = ask("milk", k=60, fields=["price", "shelf", "in_stock"])
    for item, told in zip(answer.ids, answer.items, strict=True):
        source = tiny_shop.items[item]
        expected = {"shelf": source["shelf"], "in_stock": source["in_stock"] == "true"}
        assert told == {"fields": expected | ({"price": float(source["price"])} if source["price"] else {})}
    assert ask("milk", fields=[]).items[0] == {"fields": {}}
    assert set(ask("milk", k=60).items[0]["fields"]) <= {"title", "brand", "category", "price"}


def test_diversity_brings_other_items_without_losing_any(ask):
    plain, varied = ask("milk", k=60), ask("milk", k=60, diversity=1)
    assert set(plain.ids) == set(varied.ids)
    assert plain.ids[0] == varied.ids[0]
    assert plain.ids != varied.ids


def test_a_history_is_called_bought_only_where_the_log_holds_nothing_but_purchases(tiny_bundle):
    bundle = Bundle.open(tiny_bundle)
    for purchases, options, bought in (
        (1_440, "{}", True),
        (1_439, "{}", False),
        (1_440, '{"history": ["i01"]}', False),
    ):
        counts = bundle.manifest["counts"] | {"purchases": purchases}
        stage = Preprocess(replace(bundle, manifest=bundle.manifest | {"counts": counts}))
        answer = stage.execute([row("milk", "u00", options)])[0]
        assert decode_requests(answer["REQUEST"])[0].bought == bought


def test_an_objective_orders_by_its_head_and_only_proportions_matter(ask):
    one, ten = ask("milk", "u00", objective={"purchase": 1}), ask("milk", "u00", objective={"purchase": 10})
    assert (one.ids, one.scores) == (ten.ids, ten.scores)
    assert one.scores != ask("milk", "u00", objective={"relevance": 1}).scores


def test_a_passed_deadline_is_answered_with_less_and_says_so(ask):
    answer = ask("milk", "u00", deadline_ms=0.001)
    assert {"ranker_depth", "deadline_passed"} <= set(answer.status["degraded"])
    assert len(answer.ids) == 10
    assert answer.status["candidates"]["fused"] == 32
    assert ask("milk", "u00", deadline_ms=60_000).status["degraded"] == []


def test_time_is_the_end_of_an_old_log_unless_the_request_names_another(ask, tiny_shop):
    favourite = tiny_shop.favourites["u00"][0]
    later = (LOG_END + timedelta(days=300)).isoformat()
    values = [
        ask(user="u00", k=60, explain=True, **more).signals(favourite)["history"]["reason"]
        for more in ({}, {"context": {"timestamp": later}})
    ]
    assert values[0] != values[1]
    assert "30" in values[1]


def test_the_place_of_the_request_counts_as_far_as_the_log_knows_it(ask, graph):
    def scores(**context):
        answer = ask(user="nobody", k=60, explain=True, context=context)
        return {item: answer.signals(item)["popularity"]["value"] for item in answer.ids}, answer

    _, plain = scores()
    _, there = scores(store="s1")
    _, unknown = scores(store="北店", region="nowhere")
    assert unknown.ids == plain.ids
    assert unknown.scores == plain.scores
    # A device is no place: where the log has none, it says nothing.
    _, device = scores(device="app")
    assert device.scores == plain.scores
    contexts = graph.bundle.popularity.contexts
    assert {name for name in contexts.position if name.startswith("store=")} == {"store=s0", "store=s1"}
    totals = [contexts.get(f"store={store}")[2] for store in ("s0", "s1")]
    assert sum(totals) == pytest.approx(float(graph.bundle.popularity.trend.sum()), rel=1e-4)
    assert there.scores != plain.scores


@pytest.mark.parametrize(
    "query", ["🥛", "👩‍🌾 绿茶", "\u202eklim", '"whole milk', "a" * 4_000, "AND (title:* OR ~^", "ｍｉｌｋ\x00"]
)
@pytest.mark.parametrize("user", ["", "u01"])
def test_any_query_is_answered_with_the_whole_catalogue_to_choose_from(ask, query, user):
    answer = ask(query, user, k=60)
    assert len(answer.ids) == 60
    assert "channel:" not in str(answer.status["degraded"])
    assert len(ask(query, user, k=60, filter={"category": "Food"}).ids) == 30


@pytest.mark.parametrize("name", ["dense", "lexical", "trending", "graph"])
def test_a_channel_that_does_not_answer_is_named_in_the_status_and_the_rest_answers(graph, monkeypatch, name):
    channel = next(
        each for each in graph._steps["retrieve"]._retriever._search._channels if each.declaration.name == name
    )

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


def test_a_question_too_long_for_the_encoder_is_cut_and_says_so(ask):
    answer = ask("milk " * 500)
    assert answer.status["degraded"] == ["query_truncated"]
    assert len(answer.ids) == 10


REFUSED = {
    "nobody asks nothing": (row(), "QUERY, USER_ID: found both empty"),
    "a query of spaces": (row(" \t"), "QUERY, USER_ID: found both empty"),
    "an empty history": (row(options='{"history": []}'), "QUERY, USER_ID: found both empty"),
    "a query of a megabyte": (
        row("x" * 1_000_000),
        f"QUERY: found 1,000,000 bytes; allowed: at most {MAX_QUERY_BYTES:,}",
    ),
    "a user of a megabyte": (row(user="x" * 1_000_000), "USER_ID: found 1,000,000 bytes; allowed: at most 256"),
    "a query that is no text": (row(b"milk \xff"), "QUERY: found byte 0xff at position 5"),
    "a user that is no text": (row(user=b"\xff"), "USER_ID: found byte 0xff at position 0"),
    "k of zero": (row("milk", options='{"k": 0}'), "OPTIONS.k: found 0"),
    "an unknown filter field": (row("milk", options='{"filter": {"brnd": "x"}}'), "did you mean 'brand'?"),
    "an unknown field": (row("milk", options='{"fields": ["titel"]}'), "OPTIONS.fields: found 'titel'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_request_is_refused_by_field_and_the_others_of_its_batch_are_answered(preprocess, name):
    bad, text = REFUSED[name]
    good = [row("goat cheese"), row(user="u00")]
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
    answer = execute_isolated(preprocess, "preprocess", [row("milk", "u00", options)], [""])[0]
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
