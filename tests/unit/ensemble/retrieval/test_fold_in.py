"""Factors of a new item from its first users: who is alike scores it as they do, and others as before."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_ensemble.retrieval.fold_in import FirstUsers, fold_in, prior_precision

DRAW = np.random.default_rng(4)
FACTORS, GROUP = 8, 40
COMMON = np.eye(FACTORS)[0]  # what all users like


def group(direction):
    """Users of one taste: a common part, their group's direction, and something of their own."""
    own = DRAW.normal(scale=0.1, size=(GROUP, FACTORS))
    return (COMMON + np.eye(FACTORS)[direction] + own).astype(np.float32)


TEA, COFFEE = group(1), group(2)
# Items are for one taste or the other, and more or less for everybody.
ITEMS = [0.3 * COMMON + 0.4 * np.eye(FACTORS)[taste] + DRAW.normal(scale=0.1, size=FACTORS) for taste in (1, 2) * 30]
MOMENT = (np.einsum("if,ig->fg", ITEMS, ITEMS) / len(ITEMS)).astype(np.float32)
PRECISION = prior_precision(np.concatenate([TEA, COFFEE]), MOMENT)
PRIOR = (0.4 * np.eye(FACTORS)[2]).astype(np.float32)  # by its text it is for those who like coffee


def first(users, strengths=1.0, scores=0.6):
    count = len(users)
    return FirstUsers(users, np.full(count, strengths, np.float32), np.full(count, scores, np.float32))


def mean_scores(factors):
    """The item's mean score among the other users of either group."""
    return float((TEA[20:] @ factors).mean()), float((COFFEE[20:] @ factors).mean())


def test_the_users_of_one_taste_bring_the_item_to_those_who_share_it():
    tea, coffee = mean_scores(PRIOR)
    assert tea < 0.1 < coffee
    by_count = [mean_scores(fold_in(PRIOR, first(TEA[:count]), PRECISION)) for count in (1, 3, 10, 20)]
    assert np.all(np.diff([tea, *(score for score, _ in by_count)]) > 0)
    assert 0.4 < by_count[-1][0] < 0.6, "most of the way to what else they had"
    # Who does not share it is told of the item a quarter more often at most: all users like something in common.
    assert all(score < 1.26 * coffee for _, score in by_count)


def test_what_was_not_wanted_takes_the_item_away_from_those_alike():
    tea, coffee = mean_scores(PRIOR)
    found = mean_scores(fold_in(PRIOR, first(COFFEE[:15], strengths=-1.0), PRECISION))
    assert found[1] < coffee / 3
    found = mean_scores(fold_in(PRIOR, first(TEA[:15], strengths=-1.0), PRECISION))
    assert found == pytest.approx((tea, coffee), abs=0.05), "they would not have had it anyway"


def test_without_users_it_is_the_prior_and_without_near_items_its_users_alone():
    np.testing.assert_allclose(fold_in(PRIOR, first(TEA[:0]), PRECISION), PRIOR)
    tea, coffee = mean_scores(fold_in(np.zeros(FACTORS, np.float32), first(TEA[:10]), PRECISION))
    assert tea > 3 * max(coffee, 0.05)


def test_users_who_are_all_alike_leave_no_direction_undetermined():
    moment = np.outer(COMMON, COMMON).astype(np.float32)
    users = np.repeat(COMMON[None].astype(np.float32), 3, 0)
    folded = fold_in(np.zeros(FACTORS, np.float32), first(users), prior_precision(users, moment))
    assert np.isfinite(folded).all()
    assert 0.1 < float(COMMON @ folded) < 0.6
