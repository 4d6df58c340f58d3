"""What a facet counts is what a filter on its value leaves, whatever the field and whatever the items."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank_ensemble.catalog.facets import FacetCounter
from fuserank_ensemble.catalog.filters import Column, Columns, parse
from fuserank_ensemble.contract.page import Facet

ITEMS = 40
PATHS = ["Food", "Food > Dairy", "Food > Dairy > Milk", "Food > Dairy Free", "Home", "Home > Paper"]


def make_columns(seed):
    draw = np.random.default_rng(seed)
    owners = np.sort(draw.integers(0, ITEMS, 60)).astype(np.int32)
    listed = np.sort(draw.integers(0, ITEMS, 15)).astype(np.int32)
    price = np.round(draw.uniform(0, 9, ITEMS), 1)
    price[draw.random(ITEMS) < 0.2] = np.nan
    return Columns(
        ITEMS,
        {
            "brand": Column("keyword", draw.integers(-1, 4, ITEMS).astype(np.int32), ["Acme", "Best", "Cosy", "Dear"]),
            "tags": Column("keywords", draw.integers(0, 3, 60).astype(np.int32), ["new", "red", "vegan"], owners),
            "in_stock": Column("bool", draw.integers(-1, 2, ITEMS).astype(np.int8)),
            "price": Column("number", price),
            "category": Column("category", draw.integers(-1, 6, ITEMS).astype(np.int32), PATHS),
            "categories": Column("keywords", draw.integers(0, 6, 15).astype(np.int32), PATHS, listed),
        },
    )


def conditions(values):
    """Each value or range of a facet as a filter's condition, with its count."""
    for value in values:
        if "value" in value:
            yield value["value"], value["count"]
        else:
            bounds = {"from": "gte", "to": "lt"}
            yield {bounds[name]: value[name] for name in bounds if name in value}, value["count"]
        yield from conditions(value.get("children", ()))


def groups_of(seed):
    return np.random.default_rng(seed + 1).integers(-1, 9, ITEMS).astype(np.int32)


@given(
    st.integers(0, 50),
    st.sampled_from(["brand", "tags", "in_stock", "price", "category"]),
    st.lists(st.integers(0, ITEMS - 1), unique=True),
    st.booleans(),
)
def test_a_filter_on_a_value_leaves_as_many_as_its_count(seed, field, chosen, grouped):
    columns, rows = make_columns(seed), np.asarray(chosen, np.int32)
    groups = groups_of(seed) if grouped else None
    values = FacetCounter().count(columns, Facet(field, limit=None if field == "price" else 100), rows, groups)
    for wanted, count in conditions(values):
        left = rows[parse({field: wanted}, columns.kinds)(columns)[rows]]
        if groups is not None:
            left = {(groups[row], -1 if groups[row] >= 0 else row) for row in left.tolist()}
        assert len(left) == count, wanted


@given(st.integers(0, 50), st.integers(2, 20))
def test_ranges_hold_every_item_with_a_number_once_and_none_is_empty(seed, ranges):
    columns, rows = make_columns(seed), np.arange(ITEMS, dtype=np.int32)
    values = FacetCounter().count(columns, Facet("price", ranges=ranges), rows)
    assert sum(value["count"] for value in values) == np.count_nonzero(~np.isnan(columns.by_name["price"].values))
    assert all(value["count"] for value in values)
    assert len(values) <= ranges
    assert [value["to"] for value in values[:-1]] == [value["from"] for value in values[1:]]


def test_bounds_that_were_asked_for_stay_as_they_are():
    columns, rows = make_columns(3), np.arange(ITEMS, dtype=np.int32)
    values = FacetCounter().count(columns, Facet("price", ranges=[2.0, 50.0]), rows)
    assert [(value.get("from"), value.get("to")) for value in values] == [(None, 2.0), (2.0, 50.0), (50.0, None)]
    assert values[-1]["count"] == 0


def test_the_most_frequent_come_first_and_what_is_selected_stays():
    column = Column("keyword", np.asarray([0, 1, 1, 2, 2, 2, -1], np.int32), ["a", "b", "c", "d"])
    counter, rows = FacetCounter(), np.arange(7, dtype=np.int32)
    columns = Columns(7, {"brand": column})
    assert counter.count(columns, Facet("brand", limit=2), rows) == [
        {"value": "c", "count": 3},
        {"value": "b", "count": 2},
    ]
    selected = counter.count(columns, Facet("brand", limit=1), rows, selected=["a", "d"])
    assert [(value["value"], value["count"]) for value in selected] == [("c", 3), ("a", 1), ("d", 0)]


def test_a_category_counts_what_is_below_it_and_stands_below_its_own():
    columns, rows = make_columns(7), np.arange(ITEMS, dtype=np.int32)
    tree = FacetCounter().count(columns, Facet("category"), rows, selected=["Home>Garden"])
    top = {node["value"]: node for node in tree}
    assert set(top) == {"Food", "Home"}
    below = {node["value"]: node for node in top["Food"]["children"]}
    assert set(below) == {"Food > Dairy", "Food > Dairy Free"}
    assert below["Food > Dairy"]["children"][0]["value"] == "Food > Dairy > Milk"
    assert {"value": "Home > Garden", "count": 0, "children": []} in top["Home"]["children"]


def test_a_changed_column_is_counted_anew():
    counter, rows = FacetCounter(), np.arange(2, dtype=np.int32)
    before = Columns(2, {"price": Column("number", np.asarray([1.0, 1.0]))})
    after = Columns(2, {"price": Column("number", np.asarray([1.0, 9.0]))})
    bounds = Facet("price", ranges=[5.0])
    assert [value["count"] for value in counter.count(before, bounds, rows)] == [2, 0]
    assert [value["count"] for value in counter.count(after, bounds, rows)] == [1, 1]


@pytest.mark.parametrize("field", ["brand", "tags", "price", "category", "in_stock"])
def test_no_items_have_no_values(field):
    assert FacetCounter().count(make_columns(1), Facet(field), np.empty(0, np.int32)) == []
