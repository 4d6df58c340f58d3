from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import ttest_ind

from fuserank_evaluation.experiments.statistics import (
    ALPHA,
    Difference,
    Ratio,
    mismatch_p,
    sequential_p,
    sequential_quantile,
)


def looks(experiments, people, effect, seed):
    """Conversions of two arms after every hundredth person of each: differences, errors and people, `[runs, looks]`."""
    draw = np.random.default_rng(seed)
    at = np.arange(100, people + 1, 100)
    means, variances = [], []
    for rate in (0.1, 0.1 + effect):
        bought = draw.random((experiments, people)) < rate
        mean = bought.cumsum(1)[:, at - 1] / at
        means.append(mean)
        variances.append(mean * (1 - mean) / at)
    return means[1] - means[0], np.sqrt(variances[0] + variances[1]), 2 * at


def sequential_alarms(differences, errors, people):
    return np.asarray([
        any(sequential_p(*look) < ALPHA for look in zip(run, spread, people, strict=True))
        for run, spread in zip(differences, errors, strict=True)
    ])  # fmt: skip


def test_looking_often_raises_no_more_false_alarms_than_looking_once():
    differences, errors, people = looks(400, 3_000, 0.0, seed=1)
    alarms = sequential_alarms(differences, errors, people)
    naive = (np.abs(differences) > 1.96 * errors).any(1)
    assert alarms.mean() <= ALPHA
    assert naive.mean() > 3 * ALPHA  # what the test is for


def test_a_difference_is_found_long_before_the_end():
    differences, errors, people = looks(100, 3_000, 0.05, seed=2)
    assert sequential_alarms(differences, errors, people).mean() > 0.9


def test_the_interval_and_the_p_agree():
    for people in (60, 2_000, 100_000):
        edge = sequential_quantile(people, ALPHA)
        assert sequential_p(edge, 1.0, people) == pytest.approx(ALPHA)
        assert edge > 2.7  # a single look has 1.96
    assert sequential_p(0.0, 0.0, 100) == 1.0
    assert sequential_p(0.1, 0.0, 100) == 0.0


def test_a_mean_by_person_has_the_error_of_a_t_test():
    draw = np.random.default_rng(3)
    first, second = draw.exponential(size=200), draw.exponential(1.2, 300)
    arms = [Ratio.of(values, np.ones(len(values))) for values in (second, first)]
    difference = Difference.of(*arms)
    low, high = ttest_ind(second, first, equal_var=False).confidence_interval()
    assert (difference.low, difference.high) == pytest.approx((low, high), rel=0.01, abs=0.003)
    assert difference.sequential_low < difference.low
    assert difference.high < difference.sequential_high


def test_a_ratio_counts_people_not_impressions():
    """Half of the people click on all of their hundred impressions: that is as uncertain as one impression each."""
    clicks = np.repeat([1.0, 0.0], 50)
    alike = Ratio.of(clicks, np.ones(100))
    many = Ratio.of(100 * clicks, np.full(100, 100.0))
    assert many.value == alike.value == 0.5
    assert many.error == pytest.approx(alike.error)
    # Who clicks is also shown more: the delta method knows that both sums move together.
    shown = np.where(clicks > 0, 30.0, 10.0)
    draw = np.random.default_rng(4)
    resampled = [(clicks[chosen] * 3).sum() / shown[chosen].sum() for chosen in draw.integers(100, size=(4_000, 100))]
    assert Ratio.of(3 * clicks, shown).error == pytest.approx(np.std(resampled), rel=0.1)


def test_too_few_people_are_not_compared():
    few, many = Ratio.of(np.ones(29), np.ones(29)), Ratio.of(np.ones(99), np.ones(99))
    assert Difference.of(few, many) is None
    assert Difference.of(Ratio.of(np.zeros(99), np.zeros(99)), many) is None
    assert math.isnan(Ratio.of(np.zeros(9), np.zeros(9)).value)
    assert Ratio.of(np.ones(1), np.ones(1)).error == math.inf


def test_a_missing_tenth_of_an_arm_is_seen():
    assert mismatch_p([10_000, 9_900], [0.5, 0.5]) > 0.1
    assert mismatch_p([10_000, 9_000], [0.5, 0.5]) < 1e-6
    assert mismatch_p([1_000, 9_000], [0.05, 0.45]) > 0.9
    assert mismatch_p([0, 0], [0.5, 0.5]) == 1.0
