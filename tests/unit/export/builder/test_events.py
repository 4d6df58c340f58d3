"""From kinds of events to answers: what was hidden never comes back, what was disliked or returned stands back."""

from __future__ import annotations

import json
import random

import pytest

from fuserank_ensemble.bundle import MANIFEST, Bundle
from fuserank_ensemble.graph.local import LocalGraph
from support.exporting import HARDLY, export_quickly, rank_all_kinds
from support.keys import TEST_KEY
from support.tiny_shop import write_csv

START, DAY = 1_650_000_000, 86_400
BOOKS = {kind: [f"{kind}{number}" for number in range(12)] for kind in ("crime", "poems")}


@pytest.fixture(scope="module")
def bundle(tiny_encoder, tmp_path_factory):
    """Readers of crime, all of whom look at `crime11` and none of whom buys it; what carts hold is bought."""
    folder = tmp_path_factory.mktemp("books")
    draw = random.Random(5)
    items = [{"item_id": book, "title": f"{book} volume", "category": kind} for kind in BOOKS for book in BOOKS[kind]]
    events = []

    def happen(user, book, event, day):
        moment = START + int(day * DAY)
        events.append({"user_id": user, "item_id": book, "event": event, "timestamp": moment})

    for number in range(30):
        for day in range(0, 100, 20):
            book = draw.choice(BOOKS["crime"][:10])
            happen(f"r{number}", book, "cart", day)
            happen(f"r{number}", book, "purchase", day + 0.01)
            for hour in range(3):
                happen(f"r{number}", "crime11", "view", day + 0.1 + hour / 24)
    for book in BOOKS["crime"][:4]:
        happen("tidy", book, "purchase", 80)
    happen("tidy", "crime0", "hide", 90)
    happen("tidy", "crime1", "dislike", 90)
    happen("tidy", "crime2", "return", 90)
    happen("tidy", "crime0", "purchase", 95)
    for book in [*BOOKS["crime"], *BOOKS["poems"][:9]]:
        happen("hermit", book, "hide", 70)
    catalog, log = write_csv(folder / "items.csv", items), write_csv(folder / "events.csv", events)
    out = export_quickly(catalog, tiny_encoder, folder / "bundle", interactions=log, ranker=HARDLY)
    return rank_all_kinds(out, ())  # fusion orders: what kinds of events do, they do before the ranker


@pytest.fixture(scope="module")
def graph(bundle):
    return LocalGraph(Bundle.open(bundle))


def answers(graph, query="", user="", **options):
    return [item.decode() for item in graph.search(query, user, **options)["ITEM_ID"][0] if item]


def test_the_manifest_says_what_each_kind_counts(bundle):
    events = json.loads((bundle / MANIFEST).read_text("utf-8"))["events"]
    strengths = {name: kind["strength"] for name, kind in events["kinds"].items()}
    assert events["taking"] == "purchase"
    assert strengths["purchase"] == 1
    assert 0.5 < strengths["cart"] < 1
    assert 0 < strengths["view"] < 0.05
    assert strengths["hide"] == -1


def test_what_everybody_looks_at_and_nobody_buys_is_not_popular(graph):
    popularity = graph.bundle.popularity
    viewed, bought = (graph.bundle.items.row(book) for book in ("crime11", "crime5"))
    assert popularity.events[viewed] > 10 * popularity.events[bought]
    assert popularity.counts[viewed] < popularity.counts[bought]
    assert "crime11" not in answers(graph, user="somebody new", k=8)


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("", {}),
        ("", {"exclude_seen": True}),
        ("", {"history": ["crime0", "crime3"]}),
        ("crime0 volume", {}),
        ("crime", {}),
    ],
)
def test_what_a_user_hid_never_comes_back_even_if_bought_later(graph, query, options):
    assert "crime0" not in answers(graph, query, "tidy", k=24, **options)
    if not options.get("exclude_seen"):
        assert "crime0" in answers(graph, query, "r1", k=24)


def test_what_was_disliked_or_returned_is_not_recommended_and_is_still_found(graph):
    for options in ({}, {"exclude_seen": True}):
        assert not {"crime1", "crime2"} & set(answers(graph, user="tidy", k=24, **options))
    assert answers(graph, "crime1 volume", "r1", k=24)[0] == "crime1"
    found = answers(graph, "crime1 volume", "tidy", k=24)
    assert "crime1" in found


def test_a_returned_item_is_no_part_of_the_history(graph):
    bundle = graph.bundle
    had = {bundle.items.ids[row].decode() for row in bundle.histories.get(TEST_KEY.user_name("tidy")).rows}
    assert had == {"crime0", "crime3"}


@pytest.mark.parametrize(("query", "least"), [("", 3), ("poems", 1)])
def test_where_fewer_are_left_than_asked_for_the_reply_is_shorter(graph, query, least):
    found = answers(graph, query, "hermit", k=10)
    assert least <= len(found) <= 3
    assert set(found) <= set(BOOKS["poems"][9:])


def test_pins_of_the_shop_do_not_bring_back_what_was_hidden(graph):
    rules = [{"pin": 1, "item_ids": ["crime0"]}]
    assert answers(graph, user="r1", rules=rules)[0] == "crime0"
    assert "crime0" not in answers(graph, user="tidy", rules=rules)


def test_similar_leaves_out_what_its_user_hid(graph):
    def similar(**options):
        return [item.decode() for item in graph.similar("crime3", k=23, **options)["ITEM_ID"][0] if item]

    assert "crime0" in similar()
    assert "crime0" in similar(user="somebody new")
    assert "crime0" not in similar(user="tidy")
