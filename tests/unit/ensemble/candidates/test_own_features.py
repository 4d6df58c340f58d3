"""A shop's own columns become features that say what the catalogue says, and nothing where it says nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fuserank_ensemble.candidates.features import FEATURES, SIGNALS, FeatureLayout
from fuserank_ensemble.candidates.own_features import OwnItemFeatures, read_number
from fuserank_ensemble.catalog.filters import Column, Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.retrieval.own_features import OwnFeature
from fuserank_ensemble.spec import GraphSpec, SpecError

COUNT = 4
SEASON = Column("keyword", np.asarray([0, 1, 1, -1], np.int32), ["summer", "winter"])
COLUMNS = {
    "rating": Column("number", np.asarray([4.5, np.nan, 3.0, 5.0])),
    "reviews": Column("number", np.asarray([0.0, 1.0, 99.0, np.nan])),
    "organic": Column("bool", np.asarray([1, 0, -1, 1], np.int32)),
    "season": SEASON,
    "tags": Column("keywords", np.asarray([0, 1, 0], np.int32), ["new", "vegan"], np.asarray([0, 0, 2], np.int32)),
    "weight": Column("keyword", np.asarray([0, 1, 2, -1], np.int32), ["12.5", "3", "n/a"]),
}
ITEMS = Items(np.asarray([b"a", b"b", b"c", b"d"]), np.arange(COUNT, dtype=np.int32), Columns(COUNT, COLUMNS))


def own(source, form, value="", name=None):
    return OwnFeature(name or f"shop.{source}", "shop", source, source, form, value)


def history(*rows):
    return History.from_rows(rows, 1_000.0) if rows else History.empty()


def column(feature, seen=(), rows=range(COUNT)):
    computed = OwnItemFeatures(ITEMS, [feature])(np.asarray(list(rows), np.int32), history(*seen))
    assert computed.dtype == np.float32
    assert computed.shape == (len(list(rows)), 1)
    return computed[:, 0]


@pytest.mark.parametrize(
    ("feature", "expected"),
    [
        (own("rating", "number"), [4.5, np.nan, 3.0, 5.0]),
        (own("reviews", "log"), [0.0, math.log(2), math.log(100), np.nan]),
        (own("organic", "flag"), [1, 0, np.nan, 1]),
        (own("season", "value", "winter"), [0, 1, 1, np.nan]),
        (own("season", "value", "spring"), [0, 0, 0, np.nan]),
        (own("tags", "value", "new"), [1, np.nan, 1, np.nan]),
        (own("tags", "value", "vegan"), [1, np.nan, 0, np.nan]),
        (own("weight", "number"), [12.5, 3, np.nan, np.nan]),
        (own("gone", "number"), [np.nan] * COUNT),
        # A group's, though the catalogue has a column of that name.
        (own("season", "lift"), [np.nan] * COUNT),
    ],
    ids=lambda value: f"{value.source}-{value.form}-{value.value}" if isinstance(value, OwnFeature) else "",
)
def test_a_column_says_of_each_item_what_the_catalogue_says_and_nothing_of_what_is_missing(feature, expected):
    np.testing.assert_allclose(column(feature), expected, rtol=1e-6)
    np.testing.assert_allclose(column(feature, rows=[2, 0]), np.asarray(expected)[[2, 0]], rtol=1e-6)


def test_the_share_of_a_users_events_is_that_of_the_items_value():
    share = own("season", "share")
    np.testing.assert_allclose(column(share, [1, 2, 2, 0]), [0.25, 0.75, 0.75, np.nan])
    # What is known of nothing counts in no share: of an item without a season, and of somebody without events.
    np.testing.assert_allclose(column(share, [3, 0]), [1, 0, 0, np.nan])
    assert np.isnan(column(share, [3])).all()
    assert np.isnan(column(share)).all()


def test_numbers_are_read_as_the_sources_read_them():
    assert [read_number(text) for text in ("1.5", "-2", "1e3")] == [1.5, -2.0, 1000.0]
    assert all(math.isnan(read_number(text)) for text in ("", "n/a", "1_000", "inf", "nan"))


def test_a_shops_own_columns_stand_behind_those_of_every_shop_and_its_signals_before_the_towers():
    assert FeatureLayout().features == FEATURES
    assert FeatureLayout().signals == SIGNALS
    layout = FeatureLayout((own("rating", "number"), own("organic", "flag")))
    assert layout.features[: len(FEATURES)] == FEATURES
    assert layout.signals == (*SIGNALS[:-2], "shop", "reading", "sequence")
    assert layout.columns("shop") == [len(FEATURES), len(FEATURES) + 1]
    assert layout.columns("reading") == [len(FEATURES) + 2]
    assert layout.own_signals == ("shop",)
    # The columns of a layout with fewer signals are those of every shop and its own.
    assert layout.positions(FeatureLayout()) == list(range(len(FEATURES)))
    assert layout.positions(layout) == list(range(len(FEATURES) + 2))


def test_a_spec_keeps_them_and_refuses_what_no_ranker_can_read():
    spec = GraphSpec(own_features=(own("season", "value", "winter"), own("rating", "number")))
    assert GraphSpec.from_dict(spec.to_dict()) == spec
    with pytest.raises(SpecError, match=r"own_features: found .*; allowed: each name once"):
        GraphSpec(own_features=(own("rating", "number"), own("rating", "log")))
    with pytest.raises(SpecError, match=r"own_features: found signals .*price.*; allowed"):
        GraphSpec(own_features=(OwnFeature("x", "price", "x", "x", "number"),))
    with pytest.raises(SpecError, match="spec"):
        GraphSpec.from_dict({"own_features": [{"name": "x", "signal": "shop", "meaning": "", "source": "x"}]})
