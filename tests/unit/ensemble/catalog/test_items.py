"""A catalogue some of whose prices are not to be known is the same in everything else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fuserank_ensemble.catalog.filters import Column, Columns, parse
from fuserank_ensemble.catalog.items import Items

PRICES = np.asarray([1.0, 3.0, np.nan, 0.0])
CATEGORY = Column("category", np.asarray([0, 1, 0, -1], np.int32), ["X", "Y"])


def items(**columns):
    return Items(np.asarray([b"a", b"b", b"c", b"d"]), np.arange(4, dtype=np.int32), Columns(4, columns))


def test_the_prices_named_are_unknown_and_all_else_is_as_it_was():
    whole = items(price=Column("number", PRICES), category=CATEGORY)
    before = whole.log_price.copy()
    hidden = whole.without_values(["price"], np.asarray([True, False, True, False]))
    np.testing.assert_allclose(hidden.log_price, [np.nan, np.log(4), np.nan, 0])
    assert hidden.ids is whole.ids
    assert hidden.category.tolist() == whole.category.tolist()
    assert hidden.columns.kinds == whole.columns.kinds
    # Neither has the catalogue that it came from forgotten any.
    np.testing.assert_array_equal(whole.log_price, before)
    np.testing.assert_array_equal(whole.columns.by_name["price"].values, PRICES)


def test_a_filter_on_the_price_finds_none_that_is_hidden():
    hidden = items(price=Column("number", PRICES)).without_values(["price"], np.asarray([False, True, False, False]))
    assert parse({"price": {"gte": 0}}, hidden.columns.kinds)(hidden.columns).tolist() == [True, False, False, True]


@pytest.mark.parametrize(
    "columns", [{}, {"price": Column("keyword", np.asarray([0, 0, 1, -1], np.int32), ["cheap", "dear"])}]
)
def test_a_catalogue_without_prices_in_numbers_has_none_to_hide(columns):
    whole = items(**columns)
    assert whole.without_values(["price", "rating"], np.ones(4, np.bool_)) is whole
    assert np.isnan(whole.log_price).all()


def test_a_department_is_the_first_level_of_a_category_path():
    paths = Column("category", np.asarray([2, 0, 1, -1], np.int32), ["Food > Milk", "Home > Lamps", "Food > Bread"])
    assert items(category=paths).department.tolist() == [0, 0, 1, -1]


def test_paths_of_one_level_have_no_departments():
    assert items(category=CATEGORY).department.tolist() == [-1] * 4
    assert items().department.tolist() == [-1] * 4


def test_any_column_can_be_unknown_for_some_items_and_keeps_its_type():
    season = Column("keyword", np.asarray([0, 1, 1, -1], np.int32), ["summer", "winter"])
    organic = Column("bool", np.asarray([1, 0, 1, -1], np.int32))
    tags = Column("keywords", np.asarray([0, 1, 0], np.int32), ["new", "vegan"], np.asarray([0, 0, 2], np.int32))
    whole = items(season=season, organic=organic, tags=tags)
    hidden = whole.without_values(["season", "organic", "tags"], np.asarray([True, False, False, False]))
    columns = hidden.columns.by_name
    assert columns["season"].values.tolist() == [-1, 1, 1, -1]
    assert columns["organic"].values.tolist() == [-1, 0, 1, -1]
    assert (columns["tags"].values.tolist(), columns["tags"].owners.tolist()) == ([0], [2])
    assert {column.values.dtype for column in columns.values()} == {np.dtype(np.int32)}
    assert parse({"tags": "new"}, hidden.columns.kinds)(hidden.columns).tolist() == [False, False, True, False]


def test_items_of_a_product_are_all_of_its_packages_and_without_codes_each_is_its_own(tmp_path):
    packed = replace(items(), product=np.asarray([0, 1, 0, 2], np.int32))
    for catalogue in (packed, packed.without_values(["price"], np.ones(4, np.bool_))):
        assert sorted(catalogue.of_same_products(np.asarray([2, 3], np.int32)).tolist()) == [0, 2, 3]
        assert catalogue.of_same_products(np.asarray([0, 2], np.int32)).tolist() == [0, 2], "each once"
        assert len(catalogue.of_same_products(np.empty(0, np.int32))) == 0
    assert items().of_same_products(np.asarray([2, 0], np.int32)).tolist() == [2, 0]
    packed.save(tmp_path / "packed")
    assert Items.open(tmp_path / "packed").product.tolist() == [0, 1, 0, 2]
    items().save(tmp_path / "plain")
    assert Items.open(tmp_path / "plain").product.tolist() == [0, 1, 2, 3]
