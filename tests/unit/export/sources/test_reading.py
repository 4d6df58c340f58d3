"""Cells are read as the shop declares them: null markers, zero dates, HTML, decimals; and the report counts them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fuserank_ensemble.catalog import filters
from fuserank_export.index.catalog import index_catalog
from fuserank_export.sources import InputError, read_catalog, read_interactions
from fuserank_export.sources.reading import parse_reading

NOW = 1_700_000_000


def item(number, **more):
    return {"item_id": f"i{number}", "title": f"Bench {number}", **more}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_null_markers_are_missing_and_counted_unless_they_are_kept(request, kind):
    markers = ["NULL", "\\N", "nan", "N/A", "None", "-", " null ", "<NA>"]
    rows = [item(n, brand=marker, price="NULL", color=marker) for n, marker in enumerate(markers)]
    path = request.getfixturevalue(f"write_{kind}")([*rows, item(9, brand="Oak", price="2.5", color="red")])
    catalog = read_catalog(path)
    assert catalog.items["brand"].dropna().tolist() == ["Oak"]
    assert catalog.items["price"].dropna().tolist() == [2.5]
    summary = catalog.report.summary()["missing"]
    assert summary["price"] == {"NULL": 8}
    assert summary["brand"] == {marker.strip(): 1 for marker in markers}
    assert "--keep-null-markers brand keeps them" in str(catalog.report)
    kept = read_catalog(path, reading=parse_reading(kept_markers=["brand"], null_markers=["red"]))
    assert kept.items["brand"].tolist()[:2] == ["NULL", "\\N"]
    assert "color" not in kept.items.columns


def test_a_marker_instead_of_a_required_value_is_a_bad_row(write_csv):
    rows = [
        {"user_id": "NULL", "item_id": "a", "event": "view", "timestamp": NOW},
        {"user_id": "u", "item_id": "a", "event": "view", "timestamp": "0000-00-00 00:00:00"},
        {"user_id": "u", "item_id": "a", "event": "view", "timestamp": NOW, "value": "\\N", "query": "NULL"},
    ]
    log = read_interactions(write_csv(rows), ["a"], now=NOW, max_bad_share=1)
    assert dict(log.report.reasons) == {"user_id: missing": 1, "timestamp: missing": 1}
    assert (len(log), log.queries) == (1, [])


def test_a_zero_date_is_missing_and_costs_no_item(write_csv, write_parquet):
    rows = [item(0, created_at="0000-00-00"), item(1, created_at="2020-05-06 00:00:00 UTC")]
    catalog = read_catalog(write_csv(rows))
    assert catalog.items["created_at"].dropna().tolist() == [1_588_723_200]
    assert "created_at: 1 zero dates are missing" in str(catalog.report)
    moments = pd.DataFrame(rows).assign(created_at=np.array(["0001-01-01", "2020-05-06"], "datetime64[us]"))
    assert read_catalog(write_parquet(moments)).items["created_at"].dropna().tolist() == [1_588_723_200]


def test_html_is_neither_shown_nor_embedded_nor_searched_and_can_be_kept(write_csv):
    raw = "<p>Solid <b>oak</b></p><ul><li>60 cm</li></ul>"
    path = write_csv(
        [item(0, description=raw, material="Oak &amp; steel"), item(1, description="a < b", material="Oak")]
    )
    catalog = read_catalog(path)
    indexed = index_catalog(catalog, "{title} | {description}")
    assert indexed.texts[0] == "Bench 0. Solid oak 60 cm"
    assert indexed.records[0]["description"] == indexed.searched[0]["description"] == "Solid oak 60 cm"
    assert indexed.records[0]["material"] == "Oak & steel"
    assert indexed.records[1]["description"] == "a < b"
    assert dict(catalog.report.marked_up) == {"description": 1, "material": 1}
    assert "HTML was taken out of cells: description 1, material 1; --keep-html" in str(catalog.report)
    kept = read_catalog(path, reading=parse_reading(keep_html=True)).items
    assert kept["description_html"].tolist() == [raw, None]
    assert kept["description"].tolist()[0] == "Solid oak 60 cm"


def test_float32_is_shown_and_filtered_as_its_shortest_decimal(tmp_path):
    table = pa.table({
        "item_id": ["a", "b"], "title": ["T", "T"],
        "price": pa.array([4.35, 7.0], pa.float32()), "length": pa.array([0.1, None], pa.float32()),
        "sizes": pa.array([[0.7], []], pa.list_(pa.float32())),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "items.parquet")
    indexed = index_catalog(read_catalog(tmp_path / "items.parquet"), "{title}")
    assert [indexed.records[0][name] for name in ("price", "length", "sizes")] == [4.35, 0.1, [0.7]]
    columns = indexed.items.columns
    for condition in ({"price": 4.35}, {"price": {"gte": 4.35, "lt": 5}}, {"length": {"lte": 0.1}}):
        assert filters.parse(condition, columns.kinds)(columns).tolist() == [True, False]


def test_integers_with_gaps_stay_integers_in_every_format(write_csv, write_parquet, write_jsonl):
    rows = [item(0, code=4006381333931.0, pages=12.0), item(1, code=None, pages=None), item(2, code=None, pages=7.0)]
    for path in (write_parquet(rows), write_jsonl(rows)):
        records = index_catalog(read_catalog(path), "{title}").records
        assert str(records[0]["code"]) == "4006381333931"
        assert [str(record.get("pages")) for record in records] == ["12", "None", "7"]
    path = write_csv([])
    pd.DataFrame(rows).to_csv(path, index=False)
    records = index_catalog(read_catalog(path), "{title}").records
    assert records[0]["code"] == "4006381333931"  # a barcode
    assert [str(record.get("pages")) for record in records] == ["12", "None", "7"]
    assert read_catalog(write_parquet([item(0, stars=4.0), item(1, stars=3.0)])).items["stars"].dtype == "float64"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"types": ["size=txt"]}, "--types: found 'size=txt'; allowed: COLUMN=.*Did you mean 'text'"),
        ({"types": ["number"]}, "--types: found 'number'"),
        ({"decimals": ["coma"]}, "--decimal: found 'coma'; allowed: comma or point.*Did you mean 'comma'"),
        ({"category_levels": "#"}, "--category-levels: found '#'; allowed: > /"),
        ({"category_list": "/"}, "--category-list: found '/'; allowed: "),
    ],
)
def test_an_option_that_cannot_be_read_says_what_is_allowed(options, message):
    with pytest.raises(InputError, match=message):
        parse_reading(**options)


def test_options_name_columns_alone_or_together():
    reading = parse_reading(types=["a=text, b=number", "c=list"], decimals=["comma", "price=point"])
    assert dict(reading.types) == {"a": "text", "b": "number", "c": "list"}
    assert (reading.decimal("price"), reading.decimal("other")) == ("point", "comma")
    assert (reading.type_of("price"), reading.type_of("other")) == ("number", None)
