"""The report's figures have fixed names, and its page holds all tables and plots."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("torchmetrics")
from fuserank_evaluation.datasets.cases import recommendation_cases, search_cases
from fuserank_evaluation.datasets.past import PastLog
from fuserank_evaluation.metrics.calibration import Reliability
from fuserank_evaluation.metrics.repetition import measure_repetition
from fuserank_evaluation.ranking import plots
from fuserank_evaluation.ranking.figures import beyond_accuracy, figures, measure_tables, number_table, significance
from fuserank_evaluation.ranking.results import Results
from fuserank_evaluation.reports import report
from support.hand_log import CATALOG, CUT, LOG, TYPES, make_items

SEARCH = search_cases(LOG, TYPES, CUT, 100, seed=1)


class Fixed:
    """Ranks the same for everybody."""

    def __init__(self, name, *rows):
        self.name, self._rows = name, np.asarray(rows, np.int32)

    def rank(self, cases):
        return [self._rows] * len(cases)


@pytest.fixture
def results():
    results = Results()
    methods = [Fixed("ranker", 0, 1, 2, 3), Fixed("rrf", 4, 3), Fixed("lightgbm", 2, 0)]
    recommendation = recommendation_cases(LOG, CUT)
    new = recommendation.new_to_user(make_items())
    sets = (SEARCH, recommendation, new, SEARCH.without_history(), SEARCH.without_query())
    for cases in sets:
        results.add(cases, methods)
    return results


def test_figures_are_named_by_set_measure_and_method(results):
    found = figures(results)
    assert {
        "grocery_search_ndcg_at_10", "grocery_search_hit_at_10", "grocery_search_ndcg_at_10_baseline_rrf",
        "grocery_rec_ndcg_at_10", "grocery_rec_ndcg_at_10_baseline_lightgbm", "grocery_rec_new_ndcg_at_10",
        "new_user_ndcg_at_10", "new_user_ndcg_at_10_baseline_rrf", "grocery_search_cases",
    } <= set(found)  # fmt: skip
    assert found["grocery_search_cases"] == 4
    assert found["grocery_search_hit_at_10"] == 1
    assert found["grocery_search_hit_at_10_baseline_rrf"] == 0.25
    assert found["new_user_ndcg_at_10"] == found["grocery_search_ndcg_at_10"]


def test_the_ranker_is_compared_with_the_best_baseline_and_its_own_halves(results):
    found = significance(results)
    assert found["grocery_search_ndcg_at_10_over_lightgbm_difference"] > 0
    assert found["grocery_search_ndcg_at_10_search_only"] == figures(results)["grocery_search_ndcg_at_10"]
    assert found["grocery_search_ndcg_at_10_over_user_only_permutation"] == 1
    assert not any("_over_rrf" in name for name in found if name.startswith("grocery_search_ndcg"))


def test_tables_and_plots_hold_every_method(results, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "REPORTS", tmp_path)
    past = PastLog.before(LOG, CUT, CATALOG)
    vectors = np.eye(CATALOG, dtype=np.float32)

    class Items:
        text = category = np.arange(CATALOG, dtype=np.int32)

        def __len__(self):
            return CATALOG

    class Catalog:
        items = Items()

    Catalog.vectors = vectors
    cases = results.cases["recommendation"]
    by_method = {
        name: measure_repetition(ranking.ranked, cases) for name, ranking in results.rankings[cases.name].items()
    }
    beyond = beyond_accuracy(results, "recommendation", past, Catalog())
    assert beyond["rrf"][:1] == [2 / CATALOG]
    tables = measure_tables(results) | {
        "Beyond": number_table(("coverage",), {n: row[:1] for n, row in beyond.items()})
    }
    drawn = {
        "bars": plots.plot_bars(results, ("search", "recommendation")),
        "repetition": plots.plot_repetition(by_method),
        "calibration": plots.plot_calibration({"click": Reliability(0.01, np.array([0.0, 0.5]), np.array([0.1, 0.4]))}),
    }
    path = report.merge_report("relevance", "ranking", "b-1", figures(results), {}, drawn, tables)
    assert json.loads(path.read_text("utf-8"))["grocery_rec_cases"] == 2
    page = (tmp_path / "relevance-ranking.md").read_text("utf-8")
    assert page.count("| rrf |") == len(tables) == 6
    assert "| --- | --- |" in page
    assert [image.stat().st_size > 5_000 for image in sorted(tmp_path.glob("*.png"))] == [True] * 3
