"""Pages of what matches: counts that hold when clicked, pages that make one list, orders, tiles, and plain refusals."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.spec import RANKED_KINDS
from support.exporting import rank_all_kinds

FEW = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
ASKED = st.sampled_from(
    [("milk", ""), ("whole milk", "u00"), ("goat chese", ""), ("绿茶", ""), ("soft", "u07"), ("", "u03"),
     ("", "nobody"), ("dairy free under $9", ""), ("zzzz", "")]
)  # fmt: skip
FILTERS = st.sampled_from(
    [{}, {"brand": "Acme"}, {"category": "Food"}, {"price": {"gte": 2, "lt": 12}}, {"in_stock": True, "brand": "北山"}]
)
FACETS = ["brand", {"field": "price", "ranges": 4}, "category", "in_stock"]


@pytest.fixture(scope="module")
def graph(tiny_bundle, tmp_path_factory):
    """A ranker for all kinds of request, which compares 16 of at most 32 candidates."""
    copy = rank_all_kinds(shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("pages") / "bundle"), RANKED_KINDS)
    manifest = json.loads((copy / "manifest.json").read_text("utf-8"))
    manifest["spec"] |= {"candidates": 16, "candidate_buckets": [16, 32]}
    (copy / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    bundle = Bundle.open(copy)
    # Three sizes of a kind are one product, whatever the export made of them.
    products = replace(bundle.items, product=np.arange(60, dtype=np.int32) % 20)
    vars(bundle)["items"] = products
    return LocalGraph(bundle)


class Answer:
    def __init__(self, outputs):
        self.ids = [item.decode() for item in outputs["ITEM_ID"][0] if item]
        self.items = [json.loads(item) for item in outputs["ITEM"][0] if item]
        self.scores = outputs["SCORE"][0][: len(self.ids)].tolist()
        self.status = json.loads(outputs["STATUS"][0, 0])

    @property
    def total(self):
        return self.status["total"]["value"]

    def values(self, name):
        return [item["fields"].get(name) for item in self.items]


@pytest.fixture(scope="module")
def ask(graph):
    return lambda query="", user="", **options: Answer(graph.search(query, user, **options))


def refused(graph, query="milk", **options):
    with pytest.raises(InvalidRequestError) as error:
        graph.search(query, **options)
    return str(error.value)


def clicks(field, values):
    for value in values:
        if "value" in value:
            yield {field: value["value"]}, value["count"]
        else:
            bounds = {"from": "gte", "to": "lt"}
            yield {field: {bounds[name]: value[name] for name in bounds if name in value}}, value["count"]
        yield from clicks(field, value.get("children", ()))


@given(ASKED, FILTERS, st.sampled_from([False, True, "brand"]))
@settings(FEW, max_examples=5)
def test_a_click_on_a_facet_leaves_as_many_as_stood_beside_it(ask, asked, condition, collapse):
    first = ask(*asked, filter=condition, facets=FACETS, collapse=collapse)
    assert len(first.ids) == min(10, first.total)
    for name, values in first.status.get("facets", {}).items():
        for click, count in clicks(name, values):
            assert ask(*asked, filter={**condition, **click}, k=1, offset=0, collapse=collapse).total == count, click


@given(ASKED, FILTERS, st.sampled_from([False, True, "brand"]), st.sampled_from(["relevance", "price_asc", "newest"]))
@FEW
def test_pages_make_one_list_of_all_that_matches(ask, asked, condition, collapse, sort):
    options = {"filter": condition, "collapse": collapse, "sort": sort}
    first = ask(*asked, **options, k=8)
    pages, offset = list(first.ids), 8
    while offset < first.total:
        page = ask(*asked, **options, k=8, offset=offset)
        assert page.total == first.total
        pages += page.ids
        offset += 8
    assert len(pages) == len(set(pages)) == first.total
    assert ask(*asked, **options, k=20).ids == pages[:20]
    assert ask(*asked, **options, k=32).ids == pages[:32]
    assert ask(*asked, **options, offset=first.total).ids == []


PINS = [{"pin": 3, "item_ids": ["i41"]}, {"pin": 12, "item_ids": ["i42"]}]


@pytest.mark.parametrize(
    "options", [{"diversity": 0.6}, {"rules": [{"boost": 2, "filter": {"brand": "Acme"}}]}, {"rules": PINS}]
)
def test_pages_that_are_steered_make_one_list(ask, options):
    both = ask("milk", k=20, offset=0, **options).ids
    assert ask("milk", offset=0, **options).ids + ask("milk", offset=10, **options).ids == both
    assert len(set(both)) == len(both)
    if options.get("rules") == PINS:
        assert (both[2], both[11]) == ("i41", "i42")


def test_a_page_starts_as_the_list_of_what_channels_find(ask):
    plain, page = ask("whole milk", k=3), ask("whole milk", k=3, offset=0)
    assert plain.ids == page.ids
    assert "total" not in plain.status


def test_scores_never_rise_on_a_page_and_its_signals_add_up_to_them(ask):
    page = ask("", "u03", k=32, offset=0, explain=True)
    assert page.scores[:10] == sorted(page.scores[:10], reverse=True)
    assert page.scores[10:] == sorted(page.scores[10:], reverse=True)
    for item, score in zip(page.items, page.scores, strict=True):
        assert sum(signal["contribution"] for signal in item["signals"]) == pytest.approx(score, abs=1e-3)


def test_what_matches_has_the_words_or_is_near_in_meaning_and_a_quoted_phrase_leaves_nothing_else(ask, tiny_shop):
    milks = {item for item, row in tiny_shop.items.items() if "whole milk" in row["title"]}
    found = ask("whole milk", k=32, offset=0)
    assert milks <= set(found.ids)
    quoted = ask('"whole milk"', k=32, offset=0)
    assert set(quoted.ids) == milks
    assert quoted.status["total"] == {"value": 3, "relation": "eq"}
    assert set(ask("i07", k=32, offset=0).ids) == {"i07"}


def test_a_word_that_no_item_has_is_said_to_be_passed_over(ask):
    assert "relaxed" not in ask("whole milk", offset=0).status
    answer = ask("whole xqzwv milk", offset=0)
    assert answer.status["relaxed"] == ["words"]
    assert answer.ids


def test_a_filter_is_never_dropped_and_what_is_left_without_it_is_told(ask):
    answer = ask('"whole milk"', filter={"brand": "Nobody", "price": {"gte": 0}}, facets=["brand"])
    assert answer.ids == []
    assert answer.status["total"] == {"value": 0, "relation": "eq"}
    assert answer.status["without"] == {"brand": 2}  # one of the three has no price
    assert {"value": "Nobody", "count": 0} in answer.status["facets"]["brand"]


@pytest.mark.parametrize("query", ["", "soft", "milk"])
def test_orders_by_price_and_those_without_one_last(ask, query):
    for sort, falls in (("price_asc", False), ("price_desc", True)):
        prices = ask(query, "u00", sort=sort, k=32, filter={"category": ["Food", "Household"]}).values("price")
        known = [price for price in prices if price is not None]
        assert known == sorted(known, reverse=falls)
        assert prices[: len(known)] == known
        assert len(known) > 2


def test_the_most_popular_come_first_where_that_is_asked_for(ask, graph):
    events = graph.bundle.popularity.events
    listed = [events[graph.bundle.items.row(item)] for item in ask("", "nobody", sort="popularity", k=32).ids]
    assert listed == sorted(events, reverse=True)[:32]


def test_a_tile_is_one_product_with_its_other_sizes_beneath(ask, graph):
    items = graph.bundle.items
    page = ask("whole milk", k=32, collapse=True)
    products = [int(items.product[items.row(item)]) for item in page.ids]
    assert len(set(products)) == len(products) == page.total
    everything = ask("whole milk", k=32, offset=0)
    for item, row in zip(page.items, products, strict=True):
        beneath = [variant["item_id"] for variant in item.get("variants", [])]
        assert {int(items.product[items.row(variant)]) for variant in beneath} <= {row}
        assert len(beneath) == item.get("variant_count", 0)
        assert all(
            set(variant["fields"]) <= {"title", "brand", "category", "price"} for variant in item.get("variants", [])
        )
    listed = [*page.ids, *(v["item_id"] for item in page.items for v in item.get("variants", []))]
    assert everything.total == len(listed)


def test_what_was_had_matches_no_more_where_it_is_left_out(ask, tiny_shop):
    assert ask("", "u02", offset=0).total == len(tiny_shop.items)
    unseen = ask("", history=["i00"], offset=0, exclude_seen=True, facets=["brand"])
    assert unseen.total == len(tiny_shop.items) - 3  # with the other sizes
    branded = sum(row["brand"] != "" for item, row in tiny_shop.items.items() if item not in ("i00", "i20", "i40"))
    assert sum(value["count"] for value in unseen.status["facets"]["brand"]) == branded


def test_matched_words_are_marked_where_that_is_asked_for(ask):
    item = ask("goat chese", highlight=True, k=1).items[0]
    assert item["highlights"]["title"] == ["", "goat", " ", "cheese", " " + item["fields"]["title"].split()[-1]]
    assert "highlights" not in ask("goat cheese", k=1).items[0]
    assert "highlights" not in ask("", "u01", highlight=True, k=1).items[0]


def test_a_probability_is_the_mean_of_the_heads_as_the_objective_weighs_them(ask):
    answer = ask("milk", "u01", probability=True, explain=True, objective={"click": 1, "purchase": 3})
    for item in answer.items:
        assert item["probability"] == pytest.approx(
            0.25 * item["heads"]["click"] + 0.75 * item["heads"]["purchase"], abs=1e-5
        )
    assert "probability" not in ask("milk").items[0]
    assert "probability" not in ask("", "u01", probability=True, objective={"relevance": 1}).items[0]
    pinned = ask("milk", k=3, probability=True, rules=[{"pin": 1, "item_ids": ["i39"]}])
    assert all(0.0 < item["probability"] < 1.0 for item in pinned.items if item.get("scored", True))


@pytest.mark.parametrize(("query", "user"), [("milk", ""), ("", "u03"), ("soft", "u07")])
def test_no_brand_has_more_than_its_share_of_any_page_and_the_cost_is_told(ask, query, user):
    options = {"exposure": {"brand": {"max_share": 0.34}}, "k": 6, "fields": ["brand"]}
    pages = [ask(query, user, offset=offset, **options) for offset in (0, 6)]
    plain = ask(query, user, offset=0, k=6)
    for page in pages:
        brands = [brand for brand in page.values("brand") if brand is not None]
        if not page.status["exposure"]["unmet"]:
            assert max(map(brands.count, brands), default=0) <= 2
    assert pages[0].status["exposure"]["unmet"] == 0
    assert not set(pages[0].ids) & set(pages[1].ids)
    assert pages[0].status["exposure"]["moved"] == len(set(pages[0].ids) - set(plain.ids))
    cost = np.mean(plain.scores) - np.mean(pages[0].scores)
    assert pages[0].status["exposure"]["cost"] == pytest.approx(cost, abs=1e-5)


def test_a_sponsored_item_has_its_label_and_is_not_shown_below_its_floor(ask):
    last = ask("milk", k=16).ids[-1]
    shown = ask("milk", rules=[{"pin": 2, "item_ids": [last], "label": "Sponsored"}])
    assert (shown.ids[1], shown.items[1]["sponsored"], shown.items[1]["placed"]) == (last, "Sponsored", "pin")
    assert "sponsored" not in shown.items[0]
    assert shown.status["sponsored"]["placed"] == 1
    best = np.mean(ask("milk").scores)
    assert shown.status["sponsored"]["cost"] == pytest.approx(best - np.mean(shown.scores), abs=1e-5)
    refused = ask("milk", rules=[{"pin": 2, "item_ids": [last], "label": "Sponsored", "floor": 0.9}])
    assert refused.ids == ask("milk").ids
    assert refused.status["rules"][0]["below_floor"] == 1
    assert refused.status["sponsored"] == {"placed": 0, "cost": 0.0}
    lowered = ask("milk", rules=[{"pin": 2, "filter": {"brand": "Acme"}, "label": "Ad", "floor": 0.2}])
    assert lowered.items[1]["sponsored"] == "Ad"


def test_a_correction_is_told_whether_or_not_it_counts(ask):
    assert ask("goat chese").status["did_you_mean"] == "goat cheese"
    left = ask("goat chese", understand=["sizes"]).status
    assert left["did_you_mean"] == "goat cheese"
    assert "understood" not in left
    assert "did_you_mean" not in ask("goat cheese").status


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"facets": ["brnd"]}, "did you mean 'brand'?"),
        ({"facets": ["brand", "brand"]}, "each field once"),
        ({"facets": ["title"]}, "which no filter can name"),
        ({"facets": [{"field": "brand", "ranges": 3}]}, "OPTIONS.facets[0].ranges"),
        ({"facets": [{"field": "price", "limit": 3}]}, "they have ranges"),
        ({"facets": [{"field": "price", "ranges": [5, 1]}]}, "rising bounds"),
        ({"facets": [{"field": "price", "ranges": 1}]}, "how many, 2 to 20"),
        ({"facets": [{"name": "price"}]}, "OPTIONS.facets[0].name: found an unknown option"),
        ({"facets": [7]}, "a list of at most 10 fields"),
        ({"facets": ["brand"] * 11}, "11 facets"),
        ({"offset": -1}, "offset + k is at most 1,000"),
        ({"offset": 995}, "offset + k is at most 1,000"),
        ({"offset": 10, "k": 40}, "offset + k up to 32, or an offset from 16"),
        ({"offset": 1, "explore": {}}, "0 with explore"),
        ({"offset": 30, "rules": [{"pin": 1, "filter": {"brand": "Acme"}}]}, "offset + k up to 32"),
        ({"sort": "price"}, "price_asc"),
        ({"sort": "rating"}, "no field rating of numbers"),
        ({"sort": "newest", "diversity": 0.5}, "newest with diversity"),
        ({"collapse": "price"}, "a field of one text an item"),
        ({"collapse": 3}, "true for packages of one product"),
        ({"highlight": "yes"}, "true or false"),
        ({"exposure": {"price": {"max_share": 0.5}}}, "a field of one text"),
        ({"exposure": {"brand": {"max_share": 0}}}, "max_share"),
        ({"exposure": {"brand": {"share": 0.5}}}, '{"max_share": a share above 0, up to 1}'),
        ({"exposure": {"brand": 0.5}}, "OPTIONS.exposure.brand: found 0.5"),
        ({"exposure": {"brand": {"max_share": 0.5}}, "explore": {}}, "one of them alone"),
        ({"rules": [{"boost": 1, "filter": {}, "label": "x"}]}, "it with a pin alone"),
        ({"rules": [{"pin": 1, "filter": {}, "floor": 1}]}, "a share of the candidates from 0 to below 1"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_a_remedy(graph, options, said):
    assert said in refused(graph, **options)
