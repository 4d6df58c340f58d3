"""Films keep all grades for the measure, and only those of known films for training."""

from __future__ import annotations

import pytest

pytest.importorskip("pandas")
from fuserank_ensemble.bundle import Bundle
from fuserank_evaluation.datasets.bundle_encoder import BundleEncoder
from fuserank_evaluation.datasets.films import FilmShop, unlike_training
from support.film_files import write_film_files


def test_a_film_missing_from_the_corpus_is_graded_but_never_a_label(tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # embedded texts are kept in build/eval
    write_film_files(tmp_path)
    (tmp_path / "index").mkdir()
    films = FilmShop.open(BundleEncoder(Bundle.open(tiny_bundle, verify=())), tmp_path, tmp_path / "index")
    first = next(query for query in films.labelled_queries() if query.text == "q00")
    assert len(first.relevant) == 1
    assert sum(grade > 0 for grade in films.judged.grades["q00"].values()) == 2
    assert "plain" in films.tower_texts[0]
    assert "voice" not in films.tower_texts[0]


def test_a_query_is_like_training_where_it_shares_most_of_its_words():
    training = ["toy story 3", "the meg"]
    held_out = ["Toy Story 3 trailer", "toy story", "toy soldiers 3", "the meg", "brave"]
    assert unlike_training(held_out, training).tolist() == [False, False, True, False, True]
