"""Measures against figures worked out by hand; tests of significance on planted and on absent differences."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.stats import wilcoxon

pytest.importorskip("ir_measures")
pytest.importorskip("torchmetrics")
from fuserank_evaluation.datasets.cases import recommendation_cases
from fuserank_evaluation.datasets.judged import JudgedQueries
from fuserank_evaluation.metrics.calibration import Probabilities, measure_reliability
from fuserank_evaluation.metrics.measures import (
    MEANINGS,
    MEASURES,
    coverage,
    diversity,
    measure,
    measure_all,
    measure_judged,
    miscalibration,
    novelty,
)
from fuserank_evaluation.metrics.repetition import measure_repetition
from fuserank_evaluation.metrics.significance import compare, half_width
from fuserank_evaluation.ranking.results import Results, mean_and_deviation
from support.hand_log import CUT, LOG, make_log


def rows(*items):
    return np.asarray(items, np.int32)


def test_the_measures_of_a_list_are_as_worked_out_by_hand():
    ranked = [rows(7, 3, 9, 4)]
    found = {name: values[0] for name, values in measure_all(ranked, [rows(3, 4, 5)]).items()}
    gain = 1 / np.log2(3) + 1 / np.log2(5)
    ideal = 1 + 1 / np.log2(3) + 1 / np.log2(4)
    assert found == pytest.approx(
        {
            "ndcg_at_10": gain / ideal,
            "hit_at_10": 1,
            "recall_at_10": 2 / 3,
            "recall_at_50": 2 / 3,
            "recall_at_100": 2 / 3,
            "precision_at_10": 2 / 10,  # of ten places, as TREC counts, not of the four taken
            "f1_at_10": 2 * (2 / 4) * (2 / 3) / (2 / 4 + 2 / 3),
            "mrr": 1 / 2,
            "map": (1 / 2 + 2 / 4) / 3,
        }
    )
    assert set(found) == set(MEANINGS)


def test_measures_at_ten_are_cut_after_the_tenth_item():
    ranked = [rows(*range(10), 42), rows(*range(9), 42)]
    found = measure_all(ranked, [rows(42)] * 2)
    for name in ("ndcg_at_10", "hit_at_10", "recall_at_10", "precision_at_10", "f1_at_10"):
        assert (found[name] > 0).tolist() == [False, True], name
    assert found["recall_at_50"].tolist() == [1, 1]
    assert found["mrr"] == pytest.approx([1 / 11, 1 / 10])


def test_a_case_without_a_list_scores_zero_and_is_not_dropped():
    found = measure_all([rows(), rows(1)], [rows(1)] * 2)
    assert all(values.tolist()[0] == 0 for values in found.values())
    assert found["ndcg_at_10"].mean() == 0.5


def test_judged_queries_are_measured_in_their_order_by_grade():
    judged = JudgedQueries({"q2": "tea", "q1": "milk"}, {"q1": {"a": 1}, "q2": {"b": 3, "c": 0}})
    values = measure_judged(judged, [["c", "b"], []], MEASURES)
    assert values["mrr"].tolist() == [0.5, 0]
    assert values["ndcg_at_10"] == pytest.approx([1 / np.log2(3), 0])


@pytest.mark.parametrize(
    ("ranked", "relevant", "reason"), [([1], [], "no relevant item"), ([1, 2, 1], [1], "an item twice")]
)
def test_cases_that_cannot_be_measured_are_named(ranked, relevant, reason):
    with pytest.raises(ValueError, match=reason):
        measure([rows(*ranked)], [rows(*relevant)], MEASURES)


def test_coverage_is_the_share_of_the_catalogue_in_any_list():
    assert coverage([rows(0, 1), rows(1, 2), rows(*range(10), 11)], 20) == 10 / 20


def test_novelty_is_self_information_in_bits():
    counts = np.asarray([4, 2, 1, 1, 0], np.float32)
    found = novelty([rows(0, 1), rows(4), rows()], counts)
    assert found[:2] == pytest.approx([(1 + 2) / 2, 3])
    assert np.isnan(found[2])


def test_diversity_is_the_mean_distance_of_texts():
    vectors = np.asarray([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    text = rows(0, 1, 2, 0)  # items 0 and 3 have the same text
    found = diversity([rows(0, 1), rows(0, 3), rows(0, 1, 2), rows(1)], vectors, text)
    assert found[:3] == pytest.approx([1, 0, (1 + 0.4 + 0.2) / 3], abs=1e-6)
    assert np.isnan(found[3])


def test_a_list_in_the_proportions_of_the_history_has_no_miscalibration():
    category = rows(0, 1, 0, 1, -1)
    [history] = recommendation_cases(make_log([(0, 0, 1), (0, 0, 2), (0, 0, 3), (0, 1, 3), (0, 2, 11)]), CUT).seen
    found = miscalibration([rows(0, 2, 1), rows(0, 1), rows(3), rows()], [history] * 4, category)
    p = np.array([0.75, 0.25])
    q = np.array([2 / 3, 1 / 3]) * 0.99 + p * 0.01
    assert found[0] == pytest.approx((p * np.log(p / q)).sum())
    assert 0 < found[0] < found[1] < found[2]
    assert np.isnan(found[3])
    exact = miscalibration([rows(0, 2, 1, 5)], [history], rows(0, 1, 0, 1, -1, 0))
    assert exact[0] == pytest.approx(0, abs=1e-12)


def test_repetition_and_exploration_are_measured_apart():
    cases = recommendation_cases(LOG, CUT)  # household 0 had 0, 1, 2 and buys 0, 3, 4; household 1 had 0, 3, buys 1
    found = measure_repetition([rows(0, 1, 3, 2), rows(2, 3)], cases)
    assert (found.repeat_cases, found.explore_cases) == (1, 2)
    assert (found.repeat_recall, found.repeat_hit) == (1, 1)
    assert (found.explore_recall, found.explore_hit) == (0.25, 0.5)
    assert found.repeat_share == pytest.approx((3 / 4 + 1 / 2) / 2)


def test_a_clear_difference_is_significant_and_in_its_interval():
    draw = np.random.default_rng(5)
    base = draw.random(400)
    better = base + 0.1 + 0.2 * draw.normal(size=400)
    found = compare(better, base, seed=1)
    assert found.significant
    assert found.low < found.difference < found.high
    assert found.low > 0
    assert found.difference == pytest.approx((better - base).mean())
    other = compare(base, better, seed=1)
    assert (other.difference, other.low) == pytest.approx((-found.difference, -found.high))


def test_noise_is_not_significant():
    draw = np.random.default_rng(6)
    base = draw.random(400)
    assert not compare(base + 0.2 * draw.normal(size=400), base, seed=1).significant


def test_equal_values_differ_by_nothing():
    found = compare(np.ones(5), np.ones(5), seed=1)
    assert (found.difference, found.low, found.high, found.permutation) == (0, 0, 0, 1)
    assert not found.significant


@pytest.mark.parametrize(("cases", "steps"), [(2, 2), (7, 3), (9, 100), (14, 3)])
def test_the_p_of_signed_ranks_is_that_of_scipy_with_ties_and_without(cases, steps):
    difference = np.random.default_rng(cases).integers(-steps, steps, cases) / steps
    expected = wilcoxon(difference, zero_method="pratt").pvalue
    assert compare(difference, np.zeros(cases), seed=1).wilcoxon == pytest.approx(expected)


def test_few_cases_with_ties_are_compared_in_a_fraction_of_a_second_of_cpu():
    difference = np.random.default_rng(0).integers(-3, 4, 13) / 4.0
    started = time.process_time()  # whatever else the machine does; scipy's own way took two seconds
    compare(difference, np.zeros(13), seed=1)
    assert time.process_time() - started < 0.8


@pytest.mark.parametrize("lengths", [(3, 4), (1, 1)])
def test_values_of_different_cases_are_refused(lengths):
    with pytest.raises(ValueError, match="the same cases"):
        compare(*(np.zeros(length) for length in lengths), seed=1)


def test_the_interval_of_a_mean_is_of_students_t():
    # Standard error 1/sqrt(3) with 2 degrees of freedom: t is 4.303.
    assert half_width(np.asarray([1.0, 2.0, 3.0])) == pytest.approx(4.30265 / np.sqrt(3), rel=1e-5)
    assert half_width(np.asarray([1.0])) == 0


def test_honest_probabilities_have_no_calibration_error_and_inflated_ones_do():
    draw = np.random.default_rng(7)
    chance = draw.random((300, 100)).astype(np.float32)
    relevant = [rows(*np.flatnonzero(draw.random(100) < case)) for case in chance]
    honest = [Probabilities(np.arange(100, dtype=np.int32), {"click": case}) for case in chance]
    inflated = [Probabilities(case.rows, {"purchase": np.sqrt(case.by_head["click"])}) for case in honest]
    assert measure_reliability(honest, relevant).keys() == {"click"}
    assert measure_reliability(honest, relevant)["click"].error < 0.02
    # The mean of sqrt(x) - x over the unit interval is 1/6.
    assert measure_reliability(inflated, relevant)["purchase"].error == pytest.approx(1 / 6, abs=0.02)


class Fixed:
    def __init__(self, name, ranked):
        self.name, self._ranked = name, ranked

    def rank(self, cases):
        return self._ranked


def test_methods_are_measured_on_the_same_cases_and_those_without_lists_left_out():
    cases = recommendation_cases(LOG, CUT)
    results = Results()
    results.add(cases, [Fixed("ranker", [rows(0), rows(1)]), Fixed("good", [rows(0), rows(2)]), Fixed("mute", None)])
    results.add(cases, [Fixed("bad", [rows(2), rows(2)])])
    assert set(results.rankings[cases.name]) == {"ranker", "good", "bad"}
    assert results.best_baseline(cases.name, "ranker") == "good"
    assert results.rankings[cases.name]["good"].mean("hit_at_10") == 0.5


def test_windows_are_summarized_as_mean_and_deviation():
    found = mean_and_deviation([{"a": 1.0, "b": 5.0}, {"a": 3.0}])
    assert found == {"a": pytest.approx((2, np.sqrt(2))), "b": (5.0, 0.0)}
