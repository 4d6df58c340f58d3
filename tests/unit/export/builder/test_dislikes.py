"""From low ratings to recommendations: who rated a genre badly, and nothing else, is recommended none of it."""

from __future__ import annotations

import random

import pytest

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.local import LocalGraph
from support.exporting import export_quickly
from support.tiny_shop import write_csv

START = 1_650_000_000


@pytest.fixture(scope="module")
def graph(tiny_encoder, tmp_path_factory):
    """Twenty readers, half of whom love crime and half poetry; `critic` only ever rated crime, with one star."""
    folder = tmp_path_factory.mktemp("books")
    draw = random.Random(5)
    books = {kind: [f"{kind}{number}" for number in range(20)] for kind in ("crime", "poems")}
    items = [{"item_id": book, "title": f"{book} volume", "category": kind} for kind in books for book in books[kind]]
    events = []

    def rate(user, book, stars):
        moment = START + 3_600 * len(events)
        events.append({"user_id": user, "item_id": book, "event": "rating", "timestamp": moment, "value": stars})

    for number in range(20):
        loved, hated = (("crime", "poems"), ("poems", "crime"))[number % 2]
        for book in draw.sample(books[loved], 9):
            rate(f"r{number}", book, draw.choice((4, 5)))
        for book in draw.sample(books[hated], 5):
            rate(f"r{number}", book, 1)
    for book in books["crime"][:8]:
        rate("critic", book, 1)
    catalog, log = write_csv(folder / "items.csv", items), write_csv(folder / "events.csv", events)
    return LocalGraph(Bundle.open(export_quickly(catalog, tiny_encoder, folder / "bundle", interactions=log)))


def kinds(graph, query="", user="", **options):
    return [item.decode().rstrip("0123456789") for item in graph.search(query, user, **options)["ITEM_ID"][0] if item]


@pytest.mark.parametrize("options", [{}, {"exclude_seen": True}])
def test_a_genre_that_was_rated_badly_alone_is_not_recommended(graph, options):
    assert kinds(graph, user="critic", k=10, **options) == ["poems"] * 10
    for number in range(20):
        assert set(kinds(graph, user=f"r{number}", k=10, **options)) == {("crime", "poems")[number % 2]}


def test_a_search_finds_what_was_rated_badly(graph):
    assert kinds(graph, "crime3 volume", "critic", k=1) == ["crime"]


def test_what_a_filter_asks_for_is_recommended_but_for_what_was_rated_badly(graph):
    found = graph.search("", "critic", k=10, filter={"category": "crime"})["ITEM_ID"][0]
    assert {item.decode() for item in found if item} <= {f"crime{number}" for number in range(8, 20)}
    assert sum(bool(item) for item in found) == 10
