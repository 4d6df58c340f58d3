"""Films are split by query, the tower is trained once, and every order is measured on held-out queries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("lightgbm")
from fuserank_ensemble.bundle import Bundle
from fuserank_evaluation.datasets.bundle_encoder import BundleEncoder
from fuserank_evaluation.datasets.films import FilmShop
from fuserank_evaluation.ranking.films.joining import gap_to_best, logit_features
from fuserank_evaluation.ranking.films.orders import FIGURE, JOINED, MEANINGS, evaluate_orders
from fuserank_evaluation.ranking.films.queries import TOWER_FIT, FilmSettings
from fuserank_evaluation.ranking.films.run import comparison_rows
from fuserank_export.training.fitting.settings import FitSettings
from support.film_files import write_film_files

pytestmark = pytest.mark.usefixtures("one_thread")


def test_every_order_is_measured_on_held_out_queries(tiny_bundle, tiny_encoder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # embedded texts are kept in build/eval
    write_film_files(tmp_path)
    encoder = BundleEncoder(Bundle.open(tiny_bundle, verify=()))
    (tmp_path / "index").mkdir()
    films = FilmShop.open(encoder, tmp_path, tmp_path / "index")
    tower = replace(TOWER_FIT, encoder=str(tiny_encoder), layers=1, max_length=32)
    settings = FilmSettings(30, 12, tower=tower, ranker=FitSettings(epochs=1))
    steps = []

    def evaluate():
        steps.clear()
        return evaluate_orders(films, encoder, settings, tmp_path / "cache", lambda step, *_: steps.append(step))

    orders = evaluate()
    assert set(orders.figures) == set(MEANINGS)
    assert orders.figures["movies_held_out_queries"] == len(orders.queries) == 12
    assert all(len(values) == 12 for values in orders.values.values())
    assert all(0 <= values.min() <= values.max() <= 1 for values in orders.values.values())
    assert orders.figures[FIGURE] == pytest.approx(orders.values[JOINED].mean(), abs=1e-4)
    assert [row[0] for row in comparison_rows(orders)] == ["against", "rrf", "lightgbm", "tower"]
    assert "films: training the text tower" in steps
    again = evaluate()
    assert "films: training the text tower" not in steps
    assert again.figures[FIGURE] == orders.figures[FIGURE]


def test_values_are_compared_with_the_best_of_their_list():
    values = np.asarray([[1.0, np.nan, np.nan], [3.0, 2.0, np.nan]], np.float32)
    np.testing.assert_array_equal(gap_to_best(values), [[-2.0, np.nan, np.nan], [0.0, 0.0, np.nan]])


def test_a_logit_is_described_by_its_place_in_the_list():
    features = logit_features(np.asarray([1.0, -2.0, 3.0], np.float32))
    np.testing.assert_array_equal(features, [[1, 1, -2, 3, 3, 2], [-2, 2, -5, 0, 0, 2], [3, 0, 0, 5, 5, 2]])
    assert logit_features(np.empty(0, np.float32)).shape == (0, 6)
