"""Lines before a header, and delimiters of several characters, are found, or declared."""

from __future__ import annotations

import pandas as pd
import pytest

from fuserank_export.sources.formats.rows import read_rows
from fuserank_export.sources.formats.text_format import HeaderNames, TextFormat
from fuserank_export.sources.report import InputError, RowReport

REQUIRED = ("item_id", "title")
ROWS = "".join(f"i{number};Mug {number};{number}.5\r\n" for number in range(1, 30))


def read(path, required=REQUIRED, **settings):
    report = RowReport(str(path))
    return pd.concat(read_rows(path, report, required=required, **settings)), report


@pytest.mark.parametrize(
    "before",
    [
        "Stock report\r\n\r\n",
        "Stock report;;\r\n;;\r\n",
        "\ufeffInventory, all stores\r\nas of;2024-05-01;\r\n\r\n\r\n",
        '"Stock\r\n"report";;\r\n',
    ],
)
def test_titles_of_an_exported_report_are_no_header(write_text, before):
    frame, report = read(write_text(f"{before}item_id;title;price\r\n{ROWS}"))
    assert frame.columns.tolist() == ["item_id", "title", "price"]
    assert frame["title"].tolist() == [f"Mug {number}" for number in range(1, 30)]
    assert frame.index[0] == before.count("\n") + 2
    assert report.read == 29
    (note,) = report.notes
    assert f"{before.count(chr(10))} lines before the header are left out" in note


@pytest.mark.parametrize("required", [REQUIRED, ()])
def test_a_file_that_begins_with_its_header_has_none_before_it(write_text, required):
    for content in (f"item_id;title;price\r\n{ROWS}", f"sep=;\r\nitem_id;title;price\r\n{ROWS}"):
        frame, report = read(write_text(content), required)
        assert frame.columns.tolist() == ["item_id", "title", "price"]
        assert not report.notes


def test_a_header_of_other_names_is_found_by_what_a_mapping_says_or_by_its_width(write_text):
    path = write_text(f"Export of 1 May;by;Ann\r\nArticle No;Name;Price\r\n{ROWS}")
    names = HeaderNames([("item_id", "article_no"), ("title", "name")])
    assert read(path, (), header=names)[0].columns.tolist() == ["Export of 1 May", "by", "Ann"]  # as wide as a header
    path = write_text(f"Export of 1 May;;\r\nArticle No;Name;Price\r\n{ROWS}")
    assert read(path, ())[0].columns.tolist() == ["Article No", "Name", "Price"]


def test_the_number_of_lines_can_be_declared(write_text):
    path = write_text(f"Export;by;Ann\r\nitem_id;title;price\r\n{ROWS}")
    frame, report = read(path, text=TextFormat(skip_lines=1))
    assert len(frame) == 29
    assert not report.notes
    with pytest.raises(InputError, match="the required column 'item_id', 'title' is missing"):
        read(path, text=TextFormat(skip_lines=0))


@pytest.mark.parametrize("delimiter", ["::", "||", ";;", "|~|", "\t\t"])
def test_a_delimiter_of_several_characters_is_found(write_text, delimiter):
    rows = [["item_id", "title", "genre"], ["1", "Toy: Story", "a|b"], ["2", "", "c"], ["3", "x;y,z", ""]]
    frame, report = read(write_text("".join(delimiter.join(row) + "\n" for row in rows)))
    assert frame.columns.tolist() == rows[0]
    assert frame.to_numpy().tolist() == rows[1:]
    assert not report.bad


def test_quotes_enclose_a_longer_delimiter_and_a_bad_row_is_shown_as_it_is_written(write_text):
    content = 'item_id::title\n1::"a::b"\n2::6" nail\n3::x::y\n4::"open\n5::z\n'
    frame, report = read(write_text(content, "x.csv"))
    assert frame["title"].tolist() == ["a::b", '6" nail', "z"] or frame["title"].tolist()[:2] == ["a::b", '6" nail']
    wrong = next(row for row in report.examples if row.line == 4)
    assert wrong.value == "3::x::y"
    assert "a cell that holds '::' stands in quotes" in wrong.reason


@pytest.mark.parametrize("delimiter", ["~", "^", "\x01", "|#|", "¦"])
def test_any_delimiter_is_found_behind_the_name_of_a_required_column(write_text, delimiter):
    rows = [["item_id", "title", "price"], ["1", "Mug, blue; big", "2"], ["2", "Cup", "3"]]
    frame, _ = read(write_text("".join(delimiter.join(row) + "\n" for row in rows)))
    assert frame.to_numpy().tolist() == rows[1:]


def test_lines_in_quotes_as_a_whole_are_named(write_text):
    with pytest.raises(InputError, match=r"found one column, .item_id,title.; .*each line stands in quotes"):
        read(write_text('"item_id,title"\n"1,Mug"\n'))


def test_a_declared_delimiter_is_taken(write_text):
    path = write_text("item_id^title^price, EUR\n1^Mug, blue^1,5\n")
    frame, _ = read(path, text=TextFormat(delimiter="^"))
    assert frame.to_numpy().tolist() == [["1", "Mug, blue", "1,5"]]


def test_a_file_without_a_header_gets_the_names_that_are_declared(write_text):
    path = write_text("1::1193::5::978300760\n1::661::3::978302109\n", "ratings.dat")
    text = TextFormat(header=("user_id", "item_id", "value", "timestamp"))
    frame, report = read(path, (), text=text)
    assert frame["item_id"].tolist() == ["1193", "661"]
    assert frame.index.tolist() == [1, 2]
    assert report.read == 2
    with pytest.raises(
        InputError, match=r"found no header: the first line is a row \(1, 1193, 5, 978300760\); .*header"
    ):
        read(path)
