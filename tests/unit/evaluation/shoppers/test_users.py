"""Judged searches asked by users drawn at random: on films with histories, and on Amazon's shop with purchases."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pandas as pd
import pytest

from fuserank_evaluation.datasets.esci import EsciQueries
from fuserank_evaluation.datasets.judged import JudgedQueries
from fuserank_evaluation.datasets.made_log import MadeLog, MadeUsers
from fuserank_evaluation.shoppers import amazon_users, films
from fuserank_evaluation.shoppers.amazon_users import draw_strangers, title_groups
from fuserank_evaluation.shoppers.personal import MEASURES, personal_figures
from support.exporting import QUICKLY, silent
from support.film_files import write_film_files
from support.grocery_shop import WordProduct

LITTLE = MadeUsers(count=30, least=10, most=20, days=100, event="rating")


class DistractedProduct(WordProduct):
    """For these users, what was found stands second."""

    def __init__(self, users):
        super().__init__()
        self.distracting = users

    def answer(self, query, user="", **options):
        rows = super().answer(query, user, **options)
        return rows[[1, 0, *range(2, len(rows))]] if user in self.distracting else rows


def test_what_a_user_costs_is_a_share_of_the_figure_without():
    judged = JudgedQueries({"a": "milk", "b": "towels"}, {"a": {"milk": 1}, "b": {"towels": 1}})
    product = DistractedProduct({"h1", "h2"})
    figures = personal_figures(product, judged, {"a": ["h1"], "b": ["h2"]})
    assert list(figures) == list(MEASURES)
    assert figures["ndcg_at_10_without_user"] == 1
    assert figures["ndcg_at_10_with_user"] == figures["user_over_without"] == pytest.approx(1 / np.log2(3), abs=1e-4)
    assert [(query, user) for query, user, _ in product.asked] == [
        ("milk", ""), ("milk", "h1"), ("towels", ""), ("towels", "h2"),
    ]  # fmt: skip


def test_films_have_a_category_and_tastes_are_genres_and_decades_with_films_enough(tmp_path, monkeypatch):
    monkeypatch.setattr(films, "LEAST_GROUP", 2)
    rows = [
        {"id": str(i), "title": f"film {i}", "year": year, "genres": genres, "director": "Somebody",
         "actors": ["A", "B"], "overview": "long ago", "votes": votes}
        for i, (year, genres, votes) in enumerate(
            [(1999, ["drama", "War"], 7), (1990, ["Drama"], None), (2001, ["War"], 3), (None, [], 1)]
        )
    ]  # fmt: skip
    path = tmp_path / "films.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)
    read = films.read_films(path)
    assert read[0] == {
        "item_id": "0", "title": "film 0 (1999)", "brand": "Somebody", "category": "Drama", "description":
        "A. B. long ago", "genres": ["Drama", "War"], "year": 1999, "votes": 7,
    }  # fmt: skip
    assert read[3] == {
        "item_id": "3", "title": "film 3", "brand": "Somebody", "description": "A. B. long ago", "votes": 1,
    }  # fmt: skip
    groups = {name: rows.tolist() for name, rows in films.taste_groups(read).items()}
    assert groups == {"Drama": [0, 1], "War": [0, 2], "1990s": [0, 1]}


@pytest.mark.usefixtures("one_thread")
def test_films_are_exported_with_a_log_and_asked_by_its_users(tiny_encoder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(films, "LEAST_GROUP", 10)
    write_film_files(tmp_path)
    product = films.open_shop(tmp_path, str(tiny_encoder), silent(), LITTLE, QUICKLY)
    assert len(product.users) == LITTLE.count
    judged = films.judged_queries(tmp_path, 10)
    figures = films.figures(product, judged)
    assert set(figures) == {f"films_{name}" for name in MEASURES}
    assert all(value > 0 for value in figures.values())
    assert films.figures(product, judged) == figures


def test_a_taste_is_a_word_of_neither_too_few_nor_too_many_titles(monkeypatch):
    monkeypatch.setattr(amazon_users, "LEAST_GROUP", 2)
    monkeypatch.setattr(amazon_users, "MOST_GROUP", 3)
    groups = title_groups(["Red Lamp", "lamp, blue", "LAMP of red", "a lamp", "x red"])
    assert {word: rows.tolist() for word, rows in groups.items()} == {"red": [0, 2, 4]}


def test_each_query_is_asked_by_as_many_users_and_all_count_alike():
    judged = JudgedQueries({"a": "milk"}, {"a": {"milk": 1}})
    figures = personal_figures(DistractedProduct({"h2"}), judged, {"a": ["h1", "h2"]})
    assert figures["user_over_without"] == pytest.approx((1 + 1 / np.log2(3)) / 2, abs=1e-4)


def test_whoever_asks_had_nothing_that_answers_the_query_and_does_not_like_its_words(monkeypatch):
    monkeypatch.setattr(amazon_users, "STRANGERS", 1)
    events = pd.DataFrame(
        [("had", "a"), ("likes", "b"), ("stranger", "b"), ("close", "c")], columns=["user_id", "item_id"]
    )
    log = MadeLog(events, {"had": ("x",), "likes": ("red",), "stranger": ("x", "y"), "close": ("z",)})
    queries = EsciQueries(["q"], ["Red lamp"], {"q": {"a": 3, "c": 2, "b": 0}})
    asked = [draw_strangers(log, queries, seed)["q"] for seed in range(40)]
    assert {user for (user,) in asked} == {"stranger", "close"}
