"""The whole graph in this process, on a tiny shop: what a caller asks for comes out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.candidates.features import SIGNALS
from fuserank_ensemble.candidates.request import decode_requests
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.graph.steps.preprocess import Preprocess
from support.graph_answer import Answer, raw_request
from support.tiny_shop import LOG_END

ONE_SEEN = '{"history": ["i01"]}'
MILK = "whole milk small. Food, Dairy"  # the text of i00, as the bundle's template lays it out


@pytest.fixture(scope="module")
def graph(tiny_bundle):
    return LocalGraph(Bundle.open(tiny_bundle))


@pytest.fixture
def ask(graph):
    def ask(query="", user="", **options):
        return Answer(graph.search(query, user, **options))

    return ask


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
        answer = stage.execute([raw_request("milk", "u00", options)])[0]
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
