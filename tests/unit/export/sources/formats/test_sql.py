"""A query is an input: DuckDB runs it, and its rows keep their types and their numbers."""

from __future__ import annotations

import pandas as pd
import pytest

from fuserank_export.sources import read_catalog
from fuserank_export.sources.formats.rows import read_rows
from fuserank_export.sources.report import InputError, RowReport


def read(path, **settings):
    report = RowReport(str(path))
    return pd.concat(read_rows(path, report, required=["item_id", "title"], **settings)), report


def test_a_query_reads_files_beside_it_and_keeps_its_types(write_text, tmp_path):
    pd.DataFrame({"sku": [7, None, 9], "name": ["Mug", "Jug", "Jar"]}).astype({"sku": "Int64"}).to_parquet(
        tmp_path / "stock.parquet"
    )
    path = write_text(
        "CREATE MACRO euro(cents) AS cents / 100.0;\n"
        "SELECT sku AS item_id, name AS title, euro(250) AS price, ['a', 'b'] AS tags, TIMESTAMPTZ '2026-01-01' AS at\n"
        "FROM 'stock.parquet' ORDER BY name;",
        "items.sql",
    )
    frame, report = read(path, chunk_rows=2)
    assert frame["title"].tolist() == ["Jar", "Jug", "Mug"]
    assert frame["item_id"].tolist()[::2] == [9, 7]
    assert isinstance(frame["item_id"].iloc[0], int)
    assert frame["tags"].iloc[0] == ["a", "b"]
    assert frame.index.tolist() == [1, 2, 3]
    assert report.read == 3
    catalog = read_catalog(path, max_bad_share=0.5)
    assert catalog.items["price"].tolist() == [2.5, 2.5]
    assert catalog.report.examples[0].line == 2


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT 1 AS item_id, 'x' AS titel", "required column 'title' is missing; found: item_id, titel"),
        ("SELECT * FROM 'gone.csv'", "DuckDB cannot run the query"),
        ("SELEC 1", "DuckDB cannot run the query"),
        ("CREATE TABLE t (a INT)", "required column 'item_id', 'title' is missing"),
        ("", "returns no rows"),
        ("SELECT 'é'".encode("latin-1"), "not UTF-8"),
    ],
)
def test_a_query_that_cannot_be_used_is_an_error_with_the_reason(write_text, query, message):
    path = write_text(query or " ", "items.sql")
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_a_query_without_rows_has_its_columns(write_text):
    frame, report = read(write_text("SELECT 1 AS item_id, 'x' AS title WHERE false", "items.sql"))
    assert frame.columns.tolist() == ["item_id", "title"]
    assert report.read == 0
