"""Delimiters, quotes, short and long rows, and headers inside a file are read as what they are, and reported."""

from __future__ import annotations

import csv
import io

import pandas as pd
import pytest

from fuserank_export.sources.formats.delimited import BACKSLASH, LONG, QUOTE_INSIDE, REPEATED_HEADER, SHORT
from fuserank_export.sources.formats.rows import read_rows
from fuserank_export.sources.report import InputError, RowReport

REQUIRED = ("item_id", "title")


def read(path, required=REQUIRED, **settings):
    report = RowReport(str(path))
    return pd.concat(read_rows(path, report, required=required, **settings)), report


def titles(path, **settings):
    return read(path, **settings)[0]["title"].tolist()


@pytest.mark.parametrize(
    "first",
    ["sep=;\r\n", '"sep=;"\r\n', "SEP=;\r\n", "\ufeffsep=;\r\n", "\r\nsep=;\r\n", "sep=;;;\r\n"],
)
def test_excels_separator_line_is_no_header(write_text, first):
    frame, report = read(write_text(f"{first}item_id;title;price\r\n1;Mug, blue;1,50\r\n"))
    assert frame.to_numpy().tolist() == [["1", "Mug, blue", "1,50"]]
    assert report.read == 1


@pytest.mark.parametrize(("line", "delimiter"), [("sep=^", "^"), ("sep=\\t", "\t"), ("sep=\t", "\t"), ("sep=|", "|")])
def test_the_separator_line_names_any_delimiter(write_text, line, delimiter):
    content = f"{line}\nitem_id,title;price\n1,a;b\n".replace(",", delimiter)
    assert read(write_text(content), required=["item_id"])[0].columns.tolist() == ["item_id", "title;price"]


def test_a_wrong_separator_line_does_not_hide_the_columns(write_text):
    assert titles(write_text("sep=;\nitem_id,title\n1,Mug\n")) == ["Mug"]


@pytest.mark.parametrize(
    "header",
    [
        'item_id;title;"price, EUR, incl. VAT"',
        "item_id;title;price, EUR, incl. VAT, net, gross",
        'item_id;"title";"a|b|c|d,e,f"',
    ],
)
def test_delimiters_inside_names_do_not_decide(write_text, header):
    frame, _ = read(write_text(f"{header}\n1;Mug;9.5\n"))
    assert frame.shape == (1, 3)


def test_a_file_is_read_by_what_it_holds_whatever_its_extension_says(write_text):
    assert titles(write_text("item_id,title\n1,Mug\n", "x.tsv")) == ["Mug"]
    assert titles(write_text("item_id\ttitle\n1\tMug, blue\n", "x.csv")) == ["Mug, blue"]


def test_without_required_columns_the_lines_that_fit_the_header_decide(write_text):
    content = "sku;name;a, b, c\n" + "".join(f"{number};Mug, {number};x\n" for number in range(5))
    frame, _ = read(write_text(content), required=())
    assert frame.columns.tolist() == ["sku", "name", "a, b, c"]


FILMS = ['"Swing it" magistern', '"Giliap"', '20" boys bicycle', '"Heroes', 'Say "hi"', "plain"]


def test_quotes_of_a_tsv_that_encloses_nothing_are_text(write_text):
    rows = "".join(f"{number}\t{title}\tDrama\n" for number, title in enumerate(FILMS))
    frame, report = read(write_text(f"item_id\ttitle\tgenre\n{rows}", "x.tsv"))
    assert frame["title"].tolist() == FILMS
    assert not report.bad
    assert "part of the text" in report.notes[0]


def test_the_quotes_that_decide_may_stand_far_into_the_file(write_text):
    rows = "".join(f"{number}\tplain\tDrama\n" for number in range(100_000))
    frame, _ = read(write_text(f'item_id\ttitle\tgenre\n{rows}x\t"Heroes\tMusic\ny\tlast\tMusic\n', "x.tsv"))
    assert frame["title"].tolist()[-2:] == ['"Heroes', "last"]


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
@pytest.mark.parametrize("delimiter", "\t|,;")
def test_quotes_that_a_csv_writer_wrote_enclose_cells(write_text, quoting, delimiter):
    rows = [[str(number), title, f"a{delimiter}b\nc"] for number, title in enumerate(FILMS)]
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, quoting=quoting).writerows([["item_id", "title", "note"], *rows])
    frame, report = read(write_text(stream.getvalue(), "x.tsv"))
    assert frame.to_numpy().tolist() == rows
    assert not report.bad
    assert not report.warnings


def test_excels_tab_delimited_text_quotes_cells_with_commas(write_text):
    assert titles(write_text('item_id\ttitle\n1\t"Mug, blue"\n2\tJug\n3\tJar\n', "x.tsv")) == [
        "Mug, blue",
        "Jug",
        "Jar",
    ]


def test_a_quoted_part_of_a_cell_keeps_its_quotes_and_is_counted(write_text):
    content = 'item_id,title,note\n1,"Best" milk,"a, b"\n2,6" nail,"x ""y"" z"\n3,"whole",\n'
    frame, report = read(write_text(content))
    assert frame.to_numpy().tolist() == [
        ["1", '"Best" milk', "a, b"],
        ["2", '6" nail', 'x "y" z'],
        ["3", "whole", ""],
    ]
    assert dict(report.warnings) == {QUOTE_INSIDE: 1}


def test_short_rows_end_in_empty_cells_and_are_counted_with_the_first_line(write_text):
    frame, report = read(write_text("item_id,title,price,note\n1,Mug,2,x\n2,Jug,3\n3,Jar\n4\n"))
    assert frame.to_numpy().tolist() == [["1", "Mug", "2", "x"], ["2", "Jug", "3", ""], ["3", "Jar", "", ""]]
    assert dict(report.warnings) == {SHORT: 2}
    assert "first in line 3" in str(report)
    assert dict(report.reasons) == {"row: wrong number of cells": 1}  # without a required cell


def test_long_rows_lose_empty_cells_and_are_bad_with_others(write_text):
    frame, report = read(write_text("item_id,title\n1,Mug,,\n2,Jug, blue\n3,Jar\n"))
    assert frame["item_id"].tolist() == ["1", "3"]
    assert dict(report.warnings) == {LONG: 1}
    assert "a cell that holds ',' stands in quotes" in report.examples[0].reason


def test_spaces_behind_the_delimiter_do_not_hide_a_quoted_cell(write_text):
    assert titles(write_text('item_id, title\n1, "Mug, red"\n2, Jug\n')) == ["Mug, red", "Jug"]


def test_a_line_of_delimiters_is_no_row(write_text):
    _, report = read(write_text("item_id,title\n,\n1,Mug\n,,,\n"))
    assert (report.read, report.bad) == (1, 0)


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ("\ufeffitem_id,title,color\n3,Jar,green\n", ["3", "Jar", "green"]),
        ("title,color,item_id\nJar,green,3\n", ["3", "Jar", "green"]),
        ('"color";"item_id";"title"\ngreen;3;Jar\n', ["3", "Jar", "green"]),
        ("sep=\t\nitem_id\ttitle\n3\tJar\n", ["3", "Jar", None]),
        ("item_id,title,\n3,Jar,green\n", ["3", "Jar", "green"]),
    ],
)
def test_a_second_header_is_no_row_and_its_order_of_columns_holds_from_there_on(write_text, second, expected):
    frame, report = read(write_text(f"\ufeffitem_id,title,color\r\n1,Mug,red\r\n2,Jug,blue\r\n{second}"))
    rows = frame[["item_id", "title", "color"]].astype(object)
    assert rows.where(rows.notna(), None).to_numpy().tolist()[-1] == expected
    assert (report.read, report.bad, len(frame)) == (3, 0, 3)
    assert REPEATED_HEADER in report.warnings


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_header_behind_a_row_without_a_line_end_is_found(write_text, mark):
    frame, report = read(write_text(f"item_id,title,color\n1,Mug,red{mark}item_id,title,color\n2,Jug,blue\n3,Jar"))
    assert frame.to_numpy().tolist() == [["1", "Mug", "red"], ["2", "Jug", "blue"], ["3", "Jar", ""]]
    assert frame.index.tolist()[1:] == [3, 4]
    assert (report.read, report.bad) == (3, 0)


def test_quotes_with_a_backslash_before_them_do_not_end_a_cell(write_text):
    frame, report = read(write_text('item_id,title,note\n1,"12\\" blade, steel",x\n2,a \\ b,y\n'))
    assert frame["title"].tolist() == ['12" blade, steel', "a \\ b"]
    assert dict(report.warnings) == {BACKSLASH: 1}


def test_a_byte_order_mark_in_the_middle_is_no_part_of_an_id(write_text):
    frame, _ = read(write_text("\ufeffitem_id,title\n1,Mug\n\ufeff2,Jug\n"))
    assert frame["item_id"].tolist() == ["1", "2"]
    jsonl = write_text('\ufeff{"item_id": "1", "title": "Mug"}\n\ufeff{"item_id": "2", "title": "Jug"}\n', "x.jsonl")
    assert titles(jsonl) == ["Mug", "Jug"]


def test_a_second_header_that_names_a_column_twice_is_refused(write_text):
    with pytest.raises(InputError, match="'color' more than once"):
        read(write_text("item_id,title\n1,Mug\nitem_id,title,color,color\n2,Jug,a,b\n"))
