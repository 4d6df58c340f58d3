"""Off-policy estimates in a simulated shop of which every click's probability is known."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from fuserank_ensemble.ranking.exploration import draw_exploration
from fuserank_evaluation.offpolicy.estimators import LoggedPlaces, estimate_target
from fuserank_evaluation.offpolicy.reward_model import Shown, predict_rewards

ITEMS, PLACES, SLOTS, RATE = 12, 5, (2, 4), 0.4
SCORES = np.linspace(3, 0, ITEMS).astype(np.float32)
ATTRACTION = np.asarray([0.5, 0.3, 0.2, 0.15, 0.1, 0.6, 0.05, 0.4, 0.05, 0.2, 0.05, 0.1])  # of an item that is seen
SEEN = 1 / np.log2(2 + np.arange(PLACES))  # share of people who look at a place
TARGET = np.asarray([0, 1, 5, 2, 3])  # brings in a newcomer that people like
LIKED = np.asarray([1.5, 0.1])  # how much the items of two queries attract
TRUTH = float(LIKED.mean() * (ATTRACTION[TARGET] * SEEN).sum())


@cache
def possible_lists():
    """Every list that the product's own exploration may draw: its items, its propensities, and how likely it is."""
    uncertain = np.arange(ITEMS) >= PLACES
    drawn = {}
    for seed in range(1_500):
        one = draw_exploration(np.arange(ITEMS), PLACES, SCORES, uncertain, SLOTS, RATE, seed)
        slots = [one.propensities[slot] if one.explored[slot] else 1 - RATE for slot in SLOTS]
        drawn[tuple(one.order)] = (one.order, one.propensities, np.prod(slots))
    items, propensities, chances = (np.stack(column) for column in zip(*drawn.values(), strict=True))
    assert chances.sum() == pytest.approx(1)
    return items, propensities, chances / chances.sum()


def simulate(lists, seed, target=TARGET, people=200):
    """Lists drawn by exploration, clicked as the simulated shop clicks."""
    draw = np.random.default_rng(seed)
    possible, of_possible, chances = possible_lists()
    drawn = draw.choice(len(chances), lists, p=chances)
    items, propensities = possible[drawn].ravel(), of_possible[drawn].ravel()
    place = np.tile(np.arange(PLACES), lists)
    query = np.repeat(draw.integers(2, size=lists), PLACES)
    clicked = draw.random(len(items)) < LIKED[query] * ATTRACTION[items] * SEEN[place]
    subject = np.repeat(draw.integers(people, size=lists), PLACES)
    shown = Shown(
        [f"{of}/{item}" for of, item in zip(query, items, strict=True)], place + 1, np.ones(len(items), np.bool_)
    )
    other = replace(shown, items=[f"{of}/{item}" for of, item in zip(query, target[place], strict=True)])
    logged_model, target_model = predict_rewards(shown, clicked, subject, [shown, other])
    return LoggedPlaces(
        subject, np.repeat(np.arange(lists), PLACES), place + 1, clicked.astype(float), propensities,
        items == target[place], logged_model, target_model,
    )  # fmt: skip


@pytest.fixture(scope="module")
def outcomes():
    return [estimate_target(simulate(700, seed), least_sample=50) for seed in range(16)]


def test_the_intervals_hold_the_truth(outcomes):
    assert not any(outcome.refusal for outcome in outcomes)
    for name in ("snips", "doubly_robust"):
        estimates = [getattr(outcome, name) for outcome in outcomes]
        holding = sum(estimate.low <= TRUTH <= estimate.high for estimate in estimates)
        assert holding >= 13, name  # of 16 at 95 %; fewer are 1 of 150 by chance
        assert np.mean([estimate.value for estimate in estimates]) == pytest.approx(TRUTH, abs=0.04), name


def test_what_was_logged_is_no_estimate_of_the_target(outcomes):
    assert max(outcome.logged.high for outcome in outcomes) < TRUTH
    assert min(outcome.gain.value for outcome in outcomes) > 0
    assert np.mean([o.gain.value for o in outcomes]) == pytest.approx(
        TRUTH - np.mean([o.logged.value for o in outcomes]), abs=0.04
    )


def test_a_reward_model_narrows_the_interval(outcomes):
    widths = {
        name: np.mean([getattr(o, name).high - getattr(o, name).low for o in outcomes])
        for name in ("snips", "doubly_robust")
    }
    assert widths["doubly_robust"] < widths["snips"]


def test_a_wrong_reward_model_leaves_the_estimate_right():
    logged = simulate(3_000, 99)
    wrong = replace(logged, logged_model=np.full(len(logged.place), 0.9), target_model=np.full(len(logged.place), 0.9))
    estimate = estimate_target(wrong).doubly_robust
    assert estimate.low <= TRUTH <= estimate.high


def test_what_the_log_could_not_show_is_not_estimated():
    outcome = estimate_target(simulate(700, 1, target=np.asarray([3, 0, 5, 1, 2])))
    assert outcome.snips is outcome.doubly_robust is outcome.gain is None
    assert outcome.support == 0
    assert outcome.refusal.startswith("at place 1 the log may show 0% of what the target shows; allowed: 90% or more")


def test_too_few_lists_are_not_estimated():
    outcome = estimate_target(simulate(120, 1))
    assert outcome.effective_sample < 100
    assert outcome.refusal.startswith("the effective sample size is ")
    assert outcome.doubly_robust is None


def test_many_lists_of_few_people_say_less_than_those_of_many():
    """Who clicks much clicks in each of their lists; the interval of a few people is the wider one."""
    draw = np.random.default_rng(3)
    lists = 2_000
    keen = draw.random(40) < 0.5
    by_person = np.repeat(np.arange(40), lists // 40)
    reward = keen[by_person].astype(float)
    ones = np.ones(lists)
    few = LoggedPlaces(by_person, np.arange(lists), ones.astype(int), reward, ones, ones > 0, 0 * ones, 0 * ones)
    many = replace(few, subject=np.arange(lists))
    narrow, wide = (estimate_target(logged).snips for logged in (many, few))
    assert narrow.value == wide.value == reward.mean()
    assert (wide.high - wide.low) == pytest.approx(np.sqrt(lists / 40) * (narrow.high - narrow.low), rel=0.1)
