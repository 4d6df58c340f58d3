"""A group's lift of an item is what it has of it over what all have, shrunk towards none where little is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fuserank_ensemble.candidates.group_lifts import PRIOR, GroupLifts
from fuserank_ensemble.catalog.filters import Column, Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.retrieval.own_features import OwnFeature

NOW = 1_000_000
CATEGORY = Column("category", np.asarray([0, 0, 1, -1], np.int32), ["Food", "Home"])
ITEMS = Items(np.asarray([b"a", b"b", b"c", b"d"]), np.arange(4, dtype=np.int32), Columns(4, {"category": CATEGORY}))
OWN = [
    OwnFeature("segment.tier", "segment", "", "user.tier", "lift"),
    OwnFeature("segment.tier.category", "segment", "", "user.tier", "category_lift"),
]
# Twelve events now, so that none has aged: six of `a` by gold users, and two of each item by others.
ROWS = np.asarray([0] * 6 + [1, 1, 2, 2, 3, 3], np.int32)
GOLD = np.arange(6)


def popularity(gold=GOLD):
    users, times = np.arange(len(ROWS), dtype=np.int32), np.full(len(ROWS), NOW, np.int64)
    groups = {"user.tier": (gold, np.zeros(len(gold), np.int32), ["gold", "silver"])}
    return Popularity.from_log(users, ROWS, times, 4, NOW, groups=groups)


def lifts(groups, known=None):
    out = np.full((4, len(OWN)), np.nan, np.float32)
    GroupLifts(ITEMS, known or popularity(), OWN).fill(out, np.arange(4, dtype=np.int32), groups)
    return out


def test_a_lift_is_observed_over_expected_events_shrunk_by_the_prior():
    found = lifts({"user.tier": ["gold"]})
    # Six of twelve events are the group's: half of what all have is expected.
    of_items = [math.log((6 + PRIOR) / (3 + PRIOR)), *[math.log(PRIOR / (1 + PRIOR))] * 3]
    np.testing.assert_allclose(found[:, 0], of_items, rtol=1e-5)
    food, home = math.log((6 + PRIOR) / (4 + PRIOR)), math.log(PRIOR / (1 + PRIOR))
    np.testing.assert_allclose(found[:, 1], [food, food, home, np.nan], rtol=1e-5)


@pytest.mark.parametrize(
    "groups", [{}, {"user.tier": []}, {"user.tier": ["silver"]}, {"user.tier": ["bronze"]}, {"user.x": ["gold"]}]
)
def test_of_no_group_an_unknown_one_and_one_without_events_nothing_is_known(groups):
    assert np.isnan(lifts(groups)).all()


def test_of_several_groups_the_mean_counts_and_those_without_events_do_not():
    both = popularity()
    groups = {"user.tier": (np.arange(12), np.repeat([0, 1], 6).astype(np.int32), ["gold", "silver"])}
    both = Popularity.from_log(np.arange(12, dtype=np.int32), ROWS, np.full(12, NOW, np.int64), 4, NOW, groups=groups)
    gold, silver = (lifts({"user.tier": [name]}, both) for name in ("gold", "silver"))
    np.testing.assert_allclose(lifts({"user.tier": ["gold", "silver"]}, both), (gold + silver) / 2, rtol=1e-5)
    np.testing.assert_allclose(lifts({"user.tier": ["gold", "bronze"]}, both), gold, rtol=1e-5)


def test_groups_travel_with_the_popularity(tmp_path):
    popularity().save(tmp_path / "popularity")
    opened = Popularity.open(tmp_path / "popularity")
    np.testing.assert_allclose(lifts({"user.tier": ["gold"]}, opened), lifts({"user.tier": ["gold"]}), rtol=1e-6)
