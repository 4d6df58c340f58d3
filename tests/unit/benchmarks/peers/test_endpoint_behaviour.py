"""The hybrid peer's features, worked out by hand on a log of six events."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_benchmarks.peers.endpoint.behaviour import DAY, FEATURES, GROUPS, Behaviour, Columns, Log
from fuserank_benchmarks.peers.endpoint.hits import Hits

NOW = 100 * DAY
# Items: 0 and 1 of category 0, 2 of category 1, 3 of category 1 without a price; 0 and 1 have one text.
CODES = {"category": [0, 0, 1, 1], "department": [0, 0, 0, 0], "brand": [0, 1, 1, 1], "text": [0, 0, 1, 2]}
EVENTS = [(0, 0, 10), (0, 0, 90), (0, 2, 95), (1, 0, 96), (1, 1, 97), (0, 3, 101)]  # user, item, day


@pytest.fixture(scope="module")
def behaviour():
    user, item, day = (np.asarray(column, np.int64) for column in zip(*EVENTS, strict=True))
    codes = {name: np.asarray(values, np.int64) for name, values in CODES.items()}
    columns = Columns(codes, np.asarray([2.0, 4.0, 8.0, np.nan], np.float32))
    return Behaviour(Log({"ann": 0, "bob": 1}, user, item, day * DAY), columns, NOW)


def of(behaviour, user, rows=(0, 1, 2, 3)):
    count = len(rows)
    hits = Hits(np.asarray(rows, np.int32), *(np.zeros(count, np.float32) for _ in range(3)))
    return dict(zip(FEATURES, behaviour.features(user, hits).T, strict=True))


def test_habits_count_what_lies_before_the_moment(behaviour):
    features = of(behaviour, "ann")
    assert features["times_bought"].tolist() == [2, 0, 1, 0]  # the event of day 101 lies behind
    np.testing.assert_array_equal(features["days_since_bought"], [10, np.nan, 5, np.nan])
    assert features["user_category_count"].tolist() == [2, 2, 1, 1]
    assert features["user_text_count"].tolist() == [2, 2, 1, 0]
    np.testing.assert_allclose(features["user_brand_share"], [2 / 3, 1 / 3, 1 / 3, 1 / 3])


def test_popularity_and_prices_are_those_of_the_shop_and_of_the_user(behaviour):
    features = of(behaviour, "ann")
    assert features["popularity"].tolist() == [3, 1, 1, 0]
    assert features["recent_popularity"].tolist() == [2, 1, 1, 0]
    assert features["buyers"].tolist() == [2, 1, 1, 0]
    np.testing.assert_allclose(features["price_over_category"], [2 / 3, 4 / 3, 1, np.nan])
    np.testing.assert_allclose(features["price_over_user_category"], [1, 2, 1, np.nan])


@pytest.mark.parametrize("user", ["", "nobody"])
def test_an_unknown_user_has_no_habits_and_no_error(behaviour, user):
    features = of(behaviour, user)
    habits = ("times_bought", "user_events", *(f"user_{group}_count" for group in GROUPS))
    assert all(not features[name].any() for name in habits)
    assert np.isnan(features["days_since_bought"]).all()


def test_no_candidates_have_no_features(behaviour):
    assert all(len(values) == 0 for values in of(behaviour, "ann", ()).values())
