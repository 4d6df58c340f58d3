"""Exploration's propensities are exact: lists drawn many times over occur as often as they say, and IPS is unbiased."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from fuserank_ensemble.contract.controls import Explore
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.ranking.exploration import (
    PRIOR_IMPRESSIONS,
    THOMPSON_UNIFORM,
    Clicks,
    check,
    draw_exploration,
    expected_clicks,
    selection_probabilities,
    thompson_probabilities,
)

SCORES = np.asarray([3.0, 2.5, 2.0, 1.5, 1.0, 0.5, 0.0, -0.5, -1.0, -1.5], np.float32)
RANKED = np.arange(10)
# Of those beyond the first five, 6 is well known.
UNCERTAIN = np.asarray([False, True, False, False, False, True, False, True, True, True])
PLACES, SLOTS, RATE = 5, [1, 4], 0.3
DRAWS = 20_000


@pytest.fixture(scope="module")
def lists():
    return [draw_exploration(RANKED, PLACES, SCORES, UNCERTAIN, SLOTS, RATE, seed) for seed in range(DRAWS)]


def test_items_stand_at_their_places_as_often_as_their_propensities_say(lists):
    counts: Counter[tuple[int, int]] = Counter()
    told: dict[tuple[int, int], float] = {}
    for each in lists:
        for place, (item, propensity) in enumerate(zip(each.order.tolist(), each.propensities.tolist(), strict=True)):
            counts[place, item] += 1
            # One number for an item at a place, whatever else the list holds.
            assert told.setdefault((place, item), propensity) == propensity
    assert len(told) == 12
    for place in range(PLACES):
        mine = {key: p for key, p in told.items() if key[0] == place}
        assert sum(mine.values()) == pytest.approx(1.0)
        statistic = sum((counts[key] - DRAWS * p) ** 2 / (DRAWS * p) for key, p in mine.items())
        print(f"place {place}: chi-square {statistic:.1f}, {len(mine) - 1} degrees of freedom, {DRAWS:,} lists")
        assert statistic <= (chi2.ppf(0.9995, len(mine) - 1) if len(mine) > 1 else 0)


def test_a_log_weighted_by_propensity_recovers_what_a_place_is_worth(lists):
    """The value of showing an item at a place, for every item that could: the naive mean of the log is far off."""
    clicks = np.random.default_rng(1)
    value = np.linspace(0.9, 0.1, 10)
    slot = SLOTS[0]
    shown = np.asarray([each.order[slot] for each in lists])
    propensity = np.asarray([each.propensities[slot] for each in lists])
    clicked = clicks.random(DRAWS) < value[shown]
    possible = sorted(set(shown.tolist()))
    weighted = float((clicked / propensity).mean())
    truth = float(value[possible].sum())
    error = float((clicked / propensity).std() / np.sqrt(DRAWS))
    naive = clicked.mean() * len(possible)
    print(f"sum of values {truth:.3f}, by IPS {weighted:.3f} ± {error:.3f}, unweighted {naive:.3f}")
    assert abs(weighted - truth) < 4 * error
    assert abs(naive - truth) > 10 * error
    for item in possible:
        one = np.where(shown == item, clicked / propensity, 0.0)
        assert abs(one.mean() - value[item]) < 4.5 * one.std() / np.sqrt(DRAWS)


def test_one_seed_draws_one_list_and_another_seed_another():
    def of(seed):
        return draw_exploration(RANKED, PLACES, SCORES, UNCERTAIN, SLOTS, 0.5, seed).order.tolist()

    assert of(7) == of(7)
    assert len({tuple(of(seed)) for seed in range(40)}) > 4


def test_only_uncertain_items_come_in_only_at_slots_and_the_ranking_keeps_its_order(lists):
    for each in lists[:500]:
        assert set(np.flatnonzero(each.explored).tolist()) <= set(SLOTS)
        assert set(each.order[each.explored].tolist()) <= {5, 7, 8, 9}
        rest = each.order[~each.explored].tolist()
        assert rest == list(range(len(rest)))
        assert (each.slots, each.pool) == ((1, 4), 4)


@given(
    st.integers(0, 12), st.integers(0, 12), st.sets(st.integers(0, 11), min_size=1), st.floats(0, 1),
    st.integers(0, 2**53 - 1), st.lists(st.booleans(), min_size=12, max_size=12),
)  # fmt: skip
@settings(max_examples=300)
def test_a_list_is_whole_and_its_propensities_are_probabilities(count, places, slots, rate, seed, uncertain):
    places = min(places, count)
    found = draw_exploration(np.arange(count), places, SCORES[:1].repeat(count), np.asarray(uncertain[:count], bool),
                  sorted(slots), rate, seed)  # fmt: skip
    assert len(set(found.order.tolist())) == places
    assert ((found.propensities > 0) & (found.propensities <= 1)).all()
    assert len(found.slots) <= found.pool


def test_no_item_of_a_pool_is_shown_less_often_than_half_of_evenly():
    q = selection_probabilities(np.asarray([50.0, 0.0, -50.0, -50.0], np.float32))
    assert q.sum() == pytest.approx(1.0)
    assert q.min() >= 1 / 8
    assert q[0] > 0.4 > q[1] > q[2]
    assert selection_probabilities(np.zeros(4, np.float32)).tolist() == [0.25] * 4


@pytest.mark.parametrize(
    ("explore", "said"),
    [
        (Explore(slots=[0]), r"OPTIONS.explore.slots\[0\]: found 0; allowed: different places from 1 to k \(10\)"),
        (Explore(slots=[3, 11]), r"OPTIONS.explore.slots\[1\]: found 11; allowed"),
        (Explore(slots=[3, 4, 3]), r"OPTIONS.explore.slots\[2\]: found 3 twice; allowed"),
        (Explore(rate=float("nan")), "OPTIONS.explore.rate: found NaN; allowed: a probability from 0 to 1"),
    ],
)
def test_what_cannot_be_explored_is_refused_by_name(explore, said):
    with pytest.raises(InvalidRequestError, match=said):
        check(explore, 10)


def known(impressions, clicks, expected=None):
    shown = np.asarray(impressions, np.float32)
    return Clicks(shown, np.asarray(clicks, np.float32), np.full(len(shown), 0.1) if expected is None else expected)


def test_thompson_sampling_chooses_as_often_as_a_sample_of_the_posterior_is_largest():
    seen = known([0, 10, 100, 400, 30], [0, 2, 5, 60, 0], np.asarray([0.1, 0.1, 0.02, 0.1, 0.3]))
    draw = np.random.default_rng(2)
    alpha = PRIOR_IMPRESSIONS * seen.expected + seen.clicks
    beta = PRIOR_IMPRESSIONS * (1 - seen.expected) + seen.impressions - seen.clicks
    largest = draw.beta(alpha, beta, (200_000, 5)).argmax(1)
    sampled = np.bincount(largest, minlength=5) / len(largest)
    q = thompson_probabilities(seen)
    assert q.sum() == pytest.approx(1)
    assert (q - THOMPSON_UNIFORM / 5) / (1 - THOMPSON_UNIFORM) == pytest.approx(sampled, abs=0.01)


def test_what_was_shown_in_vain_is_shown_less_and_what_is_clicked_more():
    even = thompson_probabilities(known([0, 0, 0], [0, 0, 0]))
    assert even == pytest.approx(1 / 3)
    tried = thompson_probabilities(known([200, 200, 0], [2, 40, 0]))
    assert tried[1] > tried[2] > tried[0]
    assert tried[0] >= THOMPSON_UNIFORM / 3
    # Clicks that are more than what was shown, as of an item that is linked elsewhere, break nothing.
    assert thompson_probabilities(known([1, 0], [50, 0]))[0] > 0.9


@given(st.lists(st.tuples(st.integers(0, 10**6), st.floats(0, 1), st.floats(1e-6, 0.999)), min_size=1, max_size=20))
@settings(max_examples=100)
def test_whatever_is_known_the_choice_is_a_distribution(items):
    impressions, share, expected = (np.asarray(column) for column in zip(*items, strict=True))
    q = thompson_probabilities(known(impressions, np.floor(impressions * share), expected))
    assert q.sum() == pytest.approx(1)
    assert q.min() >= THOMPSON_UNIFORM / len(q) * 0.999


def test_a_list_explored_by_thompson_sampling_names_its_propensity():
    seen = known(np.full(10, 100), np.arange(10))
    group = np.asarray([5, 8])  # what the first slot may choose from
    q = dict(zip(group.tolist(), thompson_probabilities(seen.of(group)).tolist(), strict=True))
    drawn = [draw_exploration(RANKED, PLACES, SCORES, UNCERTAIN, SLOTS, 1.0, seed, seen) for seed in range(2_000)]
    first = Counter(int(each.order[1]) for each in drawn)
    for item, probability in q.items():
        (propensity,) = {each.propensities[1] for each in drawn if each.order[1] == item}
        assert propensity == pytest.approx(probability)
        assert first[item] / len(drawn) == pytest.approx(probability, abs=0.05)


def test_the_ranker_says_which_and_the_log_how_much_is_clicked():
    logits = np.asarray([0.0, 1.0, -1.0, 9.0], np.float32)
    unknown, often = expected_clicks(logits, 0, 0), expected_clicks(logits, 10_000, 3_000)
    assert unknown.argsort().tolist() == often.argsort().tolist() == [2, 0, 1, 3]
    assert (often > unknown).all()
    alike = expected_clicks(np.zeros(3, np.float32), 10_000, 3_000)
    assert alike == pytest.approx(0.3, abs=0.001)
