"""A shadow has a column's values at other items, users or events, and everything else is as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fuserank_ensemble.candidates.own_features import OwnItemFeatures
from fuserank_ensemble.catalog.filters import Column, Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.interactions.segments import ALWAYS, SegmentColumn, UserSegments
from fuserank_ensemble.retrieval.own_features import OwnFeature
from fuserank_ensemble.spec import GraphSpec
from fuserank_export.index.shadows import add_shadows, is_shadow
from support.habits import LOG

COUNT = 40
RATING = np.where(np.arange(COUNT) % 4, np.arange(COUNT), np.nan)
ITEMS = Items(
    np.asarray([b"%02d" % i for i in range(COUNT)]),
    np.arange(COUNT, dtype=np.int32),
    Columns(
        COUNT,
        {
            "rating": Column("number", RATING),
            "size": Column("number", np.ones(COUNT)),
            "season": Column("keyword", (np.arange(COUNT) % 3 - 1).astype(np.int32), ["summer", "winter"]),
            "tags": Column("keywords", np.tile([0, 1], 20).astype(np.int32), ["a", "b"], np.repeat(np.arange(20), 2)),
        },
    ),
)
OWN = (
    OwnFeature("shop.rating", "shop", "", "rating", "number"),
    OwnFeature("shop.season=summer", "shop", "", "season", "value", "summer"),
    OwnFeature("shop.tags=a", "shop", "", "tags", "value", "a"),
    OwnFeature("segment.tier", "segment", "", "user.tier", "lift"),
    OwnFeature("context.device", "context", "", "device", "lift"),
)
USERS = 20
SEGMENTS = UserSegments(
    np.asarray([b"u%02d" % user for user in range(USERS)]),
    np.full(USERS, ALWAYS),
    {"tier": SegmentColumn(np.arange(USERS + 1), np.arange(USERS, dtype=np.int32), [f"t{i:02}" for i in range(USERS)])},
)
DEVICE = np.arange(len(LOG), dtype=np.int32) % 3 - 1
WHOLE = replace(LOG, segments=SEGMENTS, places={"device": (DEVICE, ["app", "web"]), "store": (DEVICE, ["x", "y"])})


@pytest.fixture(scope="module")
def shadowed():
    return add_shadows(ITEMS, WHOLE, OWN, seed=1)


def test_every_feature_has_one_shadow_and_a_spec_takes_them(shadowed):
    features = shadowed[2]
    assert [feature.name for feature in features if not is_shadow(feature)] == [feature.name for feature in OWN]
    assert [feature.source for feature in features] == [
        *("rating", "season", "tags", "rating~", "season~", "tags~"),
        *("user.tier", "user.tier~", "device", "device~"),
    ]
    assert GraphSpec(own_features=features).own_features == features


def test_items_have_the_values_of_others_and_those_without_stay_without(shadowed):
    columns = shadowed[0].columns.by_name
    assert set(columns) == {*ITEMS.columns.by_name, "rating~", "season~", "tags~"}
    assert columns["rating"] is ITEMS.columns.by_name["rating"]
    dealt = columns["rating~"].values
    np.testing.assert_array_equal(np.isnan(dealt), np.isnan(RATING))
    assert sorted(dealt[~np.isnan(dealt)]) == sorted(RATING[~np.isnan(RATING)])
    assert (dealt != RATING).sum() > COUNT / 2
    season, before = columns["season~"].values, ITEMS.columns.by_name["season"].values
    np.testing.assert_array_equal(season < 0, before < 0)
    assert not np.array_equal(season, before)
    rows = np.arange(COUNT, dtype=np.int32)
    tags = OwnItemFeatures(shadowed[0], [replace(OWN[2], source="tags~")])(rows, History.empty())[:, 0]
    np.testing.assert_array_equal(np.isnan(tags), rows >= 20)
    assert np.all(np.diff(columns["tags~"].owners) >= 0)


def test_users_have_the_rows_of_others_and_events_other_devices(shadowed):
    log = shadowed[1]
    pairs = [log.segments.values(f"u{user:02}", 0.0) for user in range(USERS)]
    assert [known["tier"] for known in pairs] == [[f"t{user:02}"] for user in range(USERS)]
    assert sorted(known["tier~"][0] for known in pairs) == sorted(f"t{user:02}" for user in range(USERS))
    assert sum(known["tier"] != known["tier~"] for known in pairs) > USERS / 2
    assert set(log.places) == {"device", "device~", "store"}
    np.testing.assert_array_equal(log.places["device~"][0] < 0, DEVICE < 0)
    assert (log.places["device~"][0] != DEVICE).mean() > 0.2
    np.testing.assert_array_equal(log.places["device"][0], DEVICE)


def test_a_shop_without_columns_of_its_own_stays_as_it_is():
    items, log, features = add_shadows(ITEMS, WHOLE, (), seed=1)
    assert set(items.columns.by_name) == set(ITEMS.columns.by_name)
    assert set(log.places) == {"device", "store"}
    assert log.segments is SEGMENTS
    assert features == ()
