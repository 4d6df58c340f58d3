"""What a catalogue's columns hold decides how they can be filtered on, and every record keeps what it had."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from fuserank_ensemble.catalog.filters import Columns, parse
from fuserank_ensemble.catalog.items import Items, Records
from fuserank_ensemble.catalog.synonyms import Synonyms
from fuserank_export.index.catalog import index_catalog
from fuserank_export.index.columns import to_column
from fuserank_export.sources import InputError, read_catalog

ROWS = [
    {"item_id": "b", "title": "Tea", "tags": ["new", "茶"], "weight": 2.5, "organic": True, "code": "007"},
    {"item_id": "a", "title": "Milk", "price": 1.0, "tags": [], "weight": 3, "nested": {"x": [1]}, "code": "7"},
    {"item_id": "茶", "title": "Milk", "price": None, "tags": None, "organic": False, "in_stock": True},
]


@pytest.fixture
def catalog(write_jsonl):
    return read_catalog(write_jsonl(ROWS))


@pytest.fixture
def indexed(catalog):
    return index_catalog(catalog, "{title} | {brand}")


def rows_of(items, condition):
    mask = parse(condition, items.columns.kinds)(items.columns)
    return [items.ids[row].decode() for row in np.flatnonzero(mask)]


def test_each_column_is_filtered_by_what_its_values_are(indexed):
    kinds = indexed.items.columns.kinds
    expected = {"tags": "keywords", "weight": "number", "organic": "bool", "code": "keyword", "in_stock": "bool"}
    assert {name: kinds[name] for name in expected} == expected
    assert rows_of(indexed.items, {"tags": "茶"}) == ["b"]
    assert rows_of(indexed.items, {"weight": {"gt": 2.6}}) == ["a"]
    assert rows_of(indexed.items, {"organic": False}) == ["茶"]
    assert rows_of(indexed.items, {"code": "7"}) == ["a"]
    assert rows_of(indexed.items, {"price": {"gte": 0}}) == ["a"]
    assert not {"title", "item_id", "description", "image_url"} & set(kinds)


def test_a_column_that_mixes_single_words_and_lists_is_filtered_on_both():
    mixed = Columns(3, {"tags": to_column(pd.Series([["new", "vegan"], "new", None], name="tags", dtype=object))})
    mask = parse({"tags": "new"}, mixed.kinds)(mixed)
    assert mask.tolist() == [True, True, False]


def test_ids_are_sorted_by_bytes_and_found(indexed):
    assert [item.decode() for item in indexed.items.ids] == ["a", "b", "茶"]
    assert [indexed.items.row(item) for item in ("a", "b", "茶", "c", "")] == [0, 1, 2, -1, -1]


def test_equal_texts_are_kept_once(indexed):
    assert list(indexed.texts) == ["Milk", "Tea"]
    assert indexed.items.text.tolist() == [0, 1, 0]


def test_records_hold_what_the_shop_wrote_without_what_it_left_out(indexed):
    assert indexed.records[0] == {
        "item_id": "a", "title": "Milk", "price": 1.0, "tags": [], "weight": 3.0, "nested": {"x": [1]}, "code": "7",
    }  # fmt: skip
    assert "price" not in indexed.records[2]


def test_saved_arrays_and_records_come_back_as_they_were(indexed, tmp_path):
    indexed.items.save(tmp_path / "items")
    Records.save(tmp_path / "items", indexed.records)
    opened, records = Items.open(tmp_path / "items"), Records(tmp_path / "items")
    assert opened.ids.tolist() == indexed.items.ids.tolist()
    assert opened.columns.kinds == indexed.items.columns.kinds
    for name, before in indexed.items.columns.by_name.items():
        after = opened.columns.by_name[name]
        np.testing.assert_array_equal(after.values, before.values)
        assert after.words == before.words
    assert [json.loads(records.raw(row)) for row in range(3)] == list(indexed.records)
    assert rows_of(opened, {"tags": ["new"]}) == ["b"]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_moments_of_creation_and_titles_stand_in_the_order_of_rows(request, kind):
    rows = [
        {"item_id": "b", "title": "Tea", "created_at": "2024-05-01T12:00:00Z"},
        {"item_id": "a", "title": "Milk\x07", "created_at": None},
        {"item_id": "c", "title": "茶", "created_at": "1970-01-01"},
    ]
    catalog = read_catalog(request.getfixturevalue(f"write_{kind}")(rows))
    indexed = index_catalog(catalog, "{title}")
    assert list(indexed.titles) == ["Milk", "Tea", "茶"]
    assert indexed.created.dtype == np.float64
    np.testing.assert_array_equal(indexed.created, [np.nan, 1_714_564_800, 0])


def test_a_shop_with_titles_alone_has_an_index(write_csv):
    indexed = index_catalog(read_catalog(write_csv([{"item_id": "x", "title": "Milk"}])), "{title} | {brand} | {price}")
    assert list(indexed.texts) == ["Milk"]
    assert math.isnan(indexed.items.log_price[0])
    assert indexed.items.category.tolist() == indexed.items.brand.tolist() == [-1]
    assert np.isnan(indexed.created).all()


def test_a_template_that_names_an_unknown_field_is_refused_with_the_nearest(catalog):
    with pytest.raises(InputError, match=r"names \{waight\}.*did you mean 'weight'\?"):
        index_catalog(catalog, "{title} {waight}")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["12.5", "-3", "0"], "number"),
        (["12", ""], "number"),
        (["007", "12"], "keyword"),
        (["12", "n/a"], "number"),
        (["12", "12.50"], "keyword"),
        (["1.0", "2.5"], "number"),
        (["1", "1.0"], "keyword"),
        (["1e5", "2"], "keyword"),
        (["1,500,5", "2"], "keyword"),
        (["12345678901234567890", "1"], "keyword"),
        (["x" * 201, "y"], None),
    ],
)
def test_a_csv_column_is_a_number_only_where_every_value_reads_as_one(write_csv, values, kind):
    rows = [{"item_id": f"x{n}", "title": "Milk", "extra": value} for n, value in enumerate(values)]
    indexed = index_catalog(read_catalog(write_csv(rows)), "{title}")
    assert indexed.items.columns.kinds.get("extra") == kind
    extras = [record.get("extra") for record in indexed.records]
    present = ["" if value == "n/a" else value for value in values]
    assert extras == [float(v) if v and kind == "number" else v or None for v in present]
    json.dumps(list(indexed.records), allow_nan=False)


def test_synonyms_are_replaced_where_items_are_searched_and_not_where_they_are_shown(write_jsonl):
    rows = [
        {"item_id": "a", "title": "Coke Zero", "brand": "COKE", "tags": ["coke"], "price": 1.0},
        {"item_id": "b", "title": "Cokes", "description": "no coke"},
    ]
    catalog = read_catalog(write_jsonl(rows))
    indexed = index_catalog(catalog, "{title} | {brand}", Synonyms({"coke": "cola"}))
    assert list(indexed.texts) == ["cola Zero. cola", "Cokes"]
    assert [record["title"] for record in indexed.records] == ["Coke Zero", "Cokes"] == list(indexed.titles)
    searched = indexed.searched
    assert [record["title"] for record in searched] == ["cola Zero", "Cokes"]
    assert (searched[0]["brand"], searched[1]["description"]) == ("cola", "no cola")
    # A filter asks for what the shop wrote.
    assert rows_of(indexed.items, {"brand": "COKE"}) == ["a"]
    plain = index_catalog(catalog, "{title} | {brand}")
    assert list(plain.searched) == list(plain.records)
