"""A column of texts becomes one of numbers only where that changes no value."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fuserank_export.sources import read_catalog
from fuserank_export.sources.columns.types import prove_type
from fuserank_export.sources.reading import Reading


def proven(name, *values, **options):
    return prove_type(name, np.asarray(values, dtype=object), **options)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("part", ["10.10", "10.1"]), ("part", ["007", "8"]), ("weight", ["12.50", "9"]), ("x", ["1e5"]), ("x", ["+5"]),
        ("x", ["1", "1.0"]), ("x", ["0.10000000000000001"]), ("x", ["123456789012345678901"]), ("x", ["-0"]),
        ("shoe_size", ["38", "39"]), ("SKU", ["1001"]), ("partNo", ["5"]), ("zip code", ["94105"]),
        ("digits", ["4006381333931", "9780306406157"]),
    ],
)  # fmt: skip
def test_what_would_not_stay_as_written_and_codes_stay_text(name, values):
    column, remark = proven(name, *values)
    assert column.tolist() == values
    assert "--types" in remark


def test_barcodes_that_pandas_made_floats_are_their_digits_again():
    column, remark = proven("trade", "5901234123457.0", None)
    assert column.tolist() == ["5901234123457", None]
    assert "barcodes" in remark


@pytest.mark.parametrize(
    ("values", "numbers", "dtype"),
    [
        (["3", "12"], [3, 12], "int64"),
        (["3", None], [3, None], "Int64"),
        (["3.0", None, "12.0"], [3, None, 12], "Int64"),
        (["3.0", "12.5"], [3.0, 12.5], "object"),
        (["8", "8.5"], [8, 8.5], "object"),
        (["-4", "0"], [-4, 0], "int64"),
    ],
)
def test_numbers_stay_as_they_are_written(values, numbers, dtype):
    column, remark = proven("pages", *values)
    assert str(column.dtype) == dtype
    written = [None if missing else value for value, missing in zip(column.tolist(), column.isna(), strict=True)]
    assert json.dumps(written) == json.dumps(numbers)  # 3 is not 3.0
    assert remark == ""


def test_a_decimal_comma_is_named_and_read_where_it_is_declared():
    assert proven("weight", "1,500", "2")[1] == (
        "weight is text: '1,500' has a decimal comma; --decimal weight=comma reads numbers"
    )
    assert proven("weight", "1,500", "2", mark="comma")[0].tolist() == [1.5, 2]
    assert proven("weight", "1,500.5", "2")[1] == (
        "weight is text: '1,500.5' has thousands; --decimal weight=point reads numbers"
    )


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (("0,10", "0,1", "12"), [0.1, 0.1, 12]),
        (("1.234,50", "2", "-0,5"), [1234.5, 2, -0.5]),
        (("1,500", "1,5"), [1.5, 1.5]),
    ],
)
def test_a_decimal_comma_is_read_where_the_column_as_a_whole_proves_it(cells, numbers):
    column, note = proven("weight", *cells)
    assert column.tolist() == numbers
    assert note.startswith("weight has numbers with a decimal comma, as '")
    assert note.endswith("--types weight=text says otherwise")


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("weight", ("1,500", "2")),  # a comma between thousands, perhaps
        ("weight", ("1,5", "2.5")),  # two marks
        ("weight", ("1,5", "007")),
        ("weight", ("1,5", "2 kg")),
        ("ids", ("12,15", "12,15,18")),
        ("size", ("38,5", "39,5")),
    ],
)
def test_a_comma_that_may_mean_something_else_stays_text(name, cells):
    assert proven(name, *cells)[0].tolist() == list(cells)
    assert proven("color", "red", "2")[1] == ""


def test_the_report_names_types_and_declared_ones_hold(write_csv):
    rows = [
        {
            "item_id": "a",
            "title": "T",
            "part": "10.10",
            "pages": "12",
            "tags": "red; blue",
            "new": "yes",
            "width": "2,5",
        },
        {"item_id": "b", "title": "T", "part": "10.1", "pages": "", "tags": "red", "new": "no", "width": "1.200,25 €"},
    ]
    report = read_catalog(write_csv(rows)).report
    assert report.types == {"part": "text", "pages": "integer", "tags": "text", "new": "text", "width": "text"}
    assert "types: part text, pages integer" in str(report)
    reading = Reading(
        types={"part": "number", "pages": "text", "tags": "list", "new": "flag"}, decimals={"width": "comma"}
    )
    items = read_catalog(write_csv(rows), reading=reading).items
    assert items["part"].tolist() == [10.1, 10.1]
    assert items["pages"].tolist() == ["12", None]
    assert items["tags"].tolist() == [["red", "blue"], ["red"]]
    assert items["new"].tolist() == [True, False]
    assert items["width"].tolist() == [2.5, 1200.25]
