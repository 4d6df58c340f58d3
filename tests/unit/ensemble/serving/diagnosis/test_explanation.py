"""An item is followed through the graph: shown, ranked behind, cut, not found, or not allowed, and why."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import typer
from typer.testing import CliRunner

pytest.importorskip("onnxruntime")
from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.serving.diagnosis.explain import explain
from fuserank_ensemble.serving.diagnosis.explanation import explain_item
from support.busy_machine import PATIENCE
from support.live_shop import Shop

QUERY, USER = "whole milk", "u03"


@pytest.fixture(scope="module")
def bundle(tiny_bundle):
    return Bundle.open(tiny_bundle, verify=())


@pytest.fixture(scope="module")
def graph(bundle):
    return LocalGraph(bundle)


def narrow(bundle, **spec):
    """A graph of the same bundle that finds or ranks less."""
    return LocalGraph(replace(bundle, spec=replace(bundle.spec, **spec)))


def answered(graph, query=QUERY, user=USER, **options):
    return [item.decode() for item in graph.search(query, user, **options)["ITEM_ID"][0] if item]


def test_an_item_that_is_shown_has_its_place_and_contributions_that_add_up(graph):
    shown = answered(graph)
    for place in (1, 4):
        found = explain_item(graph, shown[place - 1], QUERY, USER, {})
        assert (found.outcome, found.place) == ("shown", place)
        assert found.sentence == f"place {place} of 10, ordered by the ranker"
        assert sum(signal["contribution"] for signal in found.signals) == pytest.approx(found.score, abs=1e-3)
        assert found.fields["title"]


def test_a_later_page_counts_from_the_first_place_of_all(graph):
    shown = answered(graph, offset=10, k=5)
    found = explain_item(graph, shown[2], QUERY, USER, {"offset": 10, "k": 5})
    assert (found.outcome, found.place, found.sentence) == ("shown", 13, "place 13 of 15, ordered by the ranker")
    assert explain_item(graph, shown[0], QUERY, USER, {"offset": 900, "k": 100}).outcome != "shown"


def test_channels_say_where_they_list_it(graph):
    found = explain_item(graph, answered(graph)[0], QUERY, USER, {})
    by_name = {one.channel: one for one in found.channels}
    assert by_name["lexical"].rank is not None
    assert by_name["lexical"].note == ""
    unlisted = [one for one in found.channels if one.rank is None]
    assert all(one.note for one in unlisted)
    assert found.fused is not None
    assert found.fused <= found.found


def test_an_item_behind_the_places_asked_for_stands_beside_the_last_shown(graph):
    shown = answered(graph)
    found = explain_item(graph, shown[6], QUERY, USER, {"k": 3})
    assert (found.outcome, found.place) == ("ranked", 7)
    assert (found.beside["item"], found.beside["place"]) == (shown[2], 3)
    assert found.beside["score"] >= found.score
    assert sum(signal["contribution"] for signal in found.beside["signals"]) == pytest.approx(
        found.beside["score"], abs=1e-3
    )


def test_an_item_that_is_cut_says_how_many_are_ranked(bundle):
    graph = narrow(bundle, candidates=32)
    ranked = set(answered(graph, k=32))
    lost = [item.decode() for item in bundle.items.ids.tolist() if item.decode() not in ranked]
    outcomes = [explain_item(graph, item, QUERY, USER, {}) for item in lost[:2]]
    for found in outcomes:
        assert found.outcome == "cut"
        assert found.fused > found.candidates == 32
        assert f"place {found.fused} of" in found.sentence


@pytest.mark.parametrize("with_state", [False, True])
def test_an_item_that_nothing_lists_says_where_longer_lists_have_it(bundle, with_state, tmp_path):
    graph = narrow(bundle, channel_depth=1, dense_texts=1)
    if with_state:
        graph = Shop(graph.bundle, tmp_path / "log").graph
    found = explain_item(graph, "i03", QUERY, "", {})
    assert found.outcome == "not found"
    assert found.place is None
    deeper = {one.channel: one.deeper for one in found.channels if one.deeper}
    assert deeper["dense"] > 1
    assert f"dense as number {deeper['dense']}" in found.sentence


def test_a_filter_names_the_condition_and_the_value(graph, tiny_shop):
    item = next(item for item, row in tiny_shop.items.items() if row["brand"] == "Acme" and row["in_stock"] == "true")
    found = explain_item(graph, item, QUERY, USER, {"filter": {"brand": "Zenith", "in_stock": True}})
    assert found.outcome == "filtered"
    assert "brand is 'Acme', the filter wants \"Zenith\"" in found.sentence
    assert "in_stock" not in found.sentence


def test_what_the_user_had_is_left_out_where_new_items_are_asked_for(graph, tiny_shop):
    found = explain_item(graph, tiny_shop.favourites[USER][0], "", USER, {"exclude_seen": True})
    assert found.outcome == "had"


def test_an_item_of_no_bundle_is_unknown(graph):
    assert explain_item(graph, "nothing", QUERY, USER, {}).outcome == "unknown"


def test_what_was_hidden_and_deleted_since_the_bundle_is_said(bundle, tmp_path):
    shop = Shop(bundle, tmp_path)
    shop.delete("i04")
    position = shop.record({"user_id": USER, "item_id": "i00", "event": "hide"})["position"]
    shop.graph.live.wait_for(position, PATIENCE)
    assert explain_item(shop.graph, "i00", QUERY, USER, {}).outcome == "hidden"
    assert explain_item(shop.graph, "i00", QUERY, "u01", {}).outcome in ("shown", "ranked")
    assert explain_item(shop.graph, "i04", QUERY, "u01", {}).outcome == "deleted"
    shop.graph.live.tail.stop()


def test_the_command_prints_the_same_for_a_reader_and_for_a_program(graph, tiny_bundle):
    app = typer.Typer()
    app.command()(explain)
    item = answered(graph, k=8)[7]
    words = [QUERY, "--item", item, "--user", USER, "--bundle", str(tiny_bundle), "--options", '{"k": 5}']
    printed = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert printed.exit_code == 0
    for text in ("ranked: place 8, ordered by the ranker", "lexical", "place 5", "in all"):
        assert text in printed.output
    as_json = json.loads(CliRunner().invoke(app, [*words, "--json"]).output)
    assert (as_json["outcome"], as_json["place"]) == ("ranked", 8)


@pytest.mark.parametrize(("words", "code"), [(["--options", "[1]"], 2), (["--options", '{"k": 0}'], 2)])
def test_a_bad_request_is_refused_in_one_line(tiny_bundle, words, code):
    app = typer.Typer()
    app.command()(explain)
    printed = CliRunner().invoke(app, [QUERY, "--item", "i00", "--bundle", str(tiny_bundle), *words])
    assert printed.exit_code == code
    assert printed.output.count("\n") == 1
