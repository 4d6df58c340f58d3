"""Films are split by query, the tower is trained once, and every order is measured on queries that nothing saw."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from fuserank_ensemble.bundle import Bundle
from fuserank_evaluation.datasets import films
from fuserank_evaluation.ranking import films as movies
from fuserank_evaluation.retrieval import run as eval_retrieval
from fuserank_export.training.fitting.settings import FitSettings

pytestmark = pytest.mark.usefixtures("one_thread")
FILMS, QUERIES = 90, 60
WORDS = ("milk", "cheese", "yogurt", "butter", "soap", "towels", "spread", "cream", "drink", "bulb")


@pytest.fixture
def data(tmp_path):
    """Films called by two words; a query is two words, right are the films that have both, one is not in the corpus."""
    draw = np.random.default_rng(5)
    with gzip.open(tmp_path / "movies-corpus.jsonl.gz", "wt", encoding="utf-8") as out:
        for number in range(FILMS):
            film = {
                "id": str(number), "title": f"{WORDS[number % 10]} {WORDS[number // 10]}", "year": 1990 + number % 30,
                "genres": ["Drama"], "actors": ["whole"], "characters": ["plain (voice)"], "overview": "acme zenith",
                "director": "fresh", "tags": [], "votes": number, "popularity": 1.5, "rating": 5.0,
            }  # fmt: skip
            out.write(json.dumps(film) + "\n")
    with gzip.open(tmp_path / "movies-judgments.tsv.gz", "wt", encoding="utf-8") as out:
        out.write("query_id\tquery\tdoc_id\tgrade\n")
        for number in range(QUERIES):
            right = int(draw.integers(FILMS))
            query = f"{WORDS[right // 10]} {WORDS[right % 10]}"
            rows = {str(right): 1, str((right + 1) % FILMS): 0, "gone": int(number == 0)}
            for item, grade in rows.items():
                out.write(f"q{number:02}\t{query}\t{item}\t{grade}\n")
    return tmp_path


@pytest.fixture
def small(monkeypatch, tiny_encoder):
    monkeypatch.setattr(movies, "TAUGHT", 30)
    monkeypatch.setattr(movies, "JOINED", 12)
    monkeypatch.setattr(movies, "FIT", replace(movies.FIT, encoder=str(tiny_encoder), layers=1, max_length=32))
    monkeypatch.setattr(movies, "RANKER_FIT", FitSettings(epochs=1))


def test_every_order_is_measured_on_held_out_queries_and_the_tower_is_trained_once(
    data, small, tiny_bundle, tmp_path, monkeypatch
):
    evaluation = eval_retrieval.Evaluation(Bundle.open(tiny_bundle, verify=()), Console(quiet=True))
    monkeypatch.chdir(tmp_path)  # embedded texts are kept in build/eval
    steps = []

    def run(folder):
        (tmp_path / folder).mkdir()
        return movies.movies(evaluation, data, tmp_path / folder, tmp_path / "cache", lambda *at: steps.append(at[0]))

    figures, reordered = run("first")
    assert set(figures) == set(movies.MEANINGS)
    assert figures["movies_held_out_queries"] == len(reordered.queries) == 12
    assert all(len(values) == 12 for values in reordered.values.values())
    assert all(0 <= values.min() <= values.max() <= 1 for values in reordered.values.values())
    assert figures[movies.FIGURE] == pytest.approx(reordered.values["tower and features"].mean(), abs=1e-4)
    assert "films: training the text tower" in steps
    steps.clear()
    again, _ = run("second")
    assert "films: training the text tower" not in steps
    assert again[movies.FIGURE] == figures[movies.FIGURE]


def test_a_film_that_the_corpus_lacks_is_right_nowhere_but_in_the_measure(data, tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evaluation = eval_retrieval.Evaluation(Bundle.open(tiny_bundle, verify=()), Console(quiet=True))
    (tmp_path / "index").mkdir()
    shop = films.Films.open(evaluation, data, tmp_path / "index")
    first = next(query for query in shop.labelled() if query.text == "q00")
    assert len(first.relevant) == 1
    assert sum(grade > 0 for grade in shop.judged.grades["q00"].values()) == 2
    assert "plain" in shop.texts[0]
    assert "voice" not in shop.texts[0]


def test_values_are_put_beside_the_lists_best_where_there_is_one():
    values = np.asarray([[1.0, np.nan, np.nan], [3.0, 2.0, np.nan]], np.float32)
    (relative,) = movies._relative(values)
    np.testing.assert_array_equal(relative, [[-2.0, np.nan, np.nan], [0.0, 0.0, np.nan]])


def test_a_query_is_like_training_where_it_shares_more_than_half_of_the_words():
    training = ["toy story 3", "the meg"]
    asked = ["Toy Story 3 trailer", "toy story", "toy soldiers 3", "the meg", "brave"]
    assert films.unlike_training(asked, training).tolist() == [False, False, True, False, True]
