"""Rows are read with their line, and a file that cannot be used is an error that says why."""

from __future__ import annotations

import gzip
import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fuserank_export.sources.formats.rows import read_rows
from fuserank_export.sources.report import InputError, RowReport


def read(path, required=("a",), **kwargs):
    report = RowReport(str(path))
    chunks = list(read_rows(path, report, required=required, **kwargs))
    return (pd.concat(chunks) if chunks else pd.DataFrame()), report


def test_quoted_newlines_keep_line_numbers_right(write_text):
    frame, report = read(write_text('a,b\n1,"two\nlines"\n3,4\n\n5\n6,7\n'), required=("a", "b"))
    assert frame.index.tolist() == [2, 4, 7]
    assert frame["b"].tolist() == ["two\nlines", "4", "7"]
    assert (report.read, report.bad) == (4, 1)
    assert (report.examples[0].line, report.examples[0].value) == (6, "5")


@pytest.mark.parametrize("content", ["a,b\r\n1,2\r\n3,4\r\n", "a,b\r1,2\r3,4\r", "a;b\n1;2\n3;4", "a\tb\n1\t2\n3\t4\n"])
def test_line_ends_and_delimiters_of_other_programs_are_read(write_text, content):
    frame, report = read(write_text(content))
    assert frame.to_numpy().tolist() == [["1", "2"], ["3", "4"]]
    assert frame.index.tolist() == [2, 3]
    assert report.bad == 0


def test_a_byte_order_mark_is_not_part_of_the_first_column_name(write_text):
    for content, name in (("\ufeffa,b\n1,2\n", "x.csv"), ('\ufeff{"a": "1", "b": "2"}\n', "x.jsonl")):
        frame, report = read(write_text(content, name))
        assert frame.columns.tolist() == ["a", "b"]
        assert (report.read, report.bad) == (1, 0)


def test_unreadable_csv_rows_are_bad_rows_with_counts(write_text):
    content = "a,b\n1,é\n".encode() + b"\xff\xfe,3\nx\0y,4\nonly\n1,2,3\n7,8\n"
    frame, report = read(write_text(content), required=("a", "b"))
    assert frame["a"].tolist() == ["1", "7"]
    assert report.read == 6
    assert dict(report.reasons) == {
        "row: not UTF-8 text": 1,
        "row: holds a NUL byte": 1,
        "row: wrong number of cells": 2,
    }
    assert [row.line for row in report.examples] == [3, 4, 5, 6]


def test_a_stray_quote_costs_one_row_and_not_the_rest_of_the_file(write_text):
    body = "".join(f"{number},ok\n" for number in range(100))
    frame, report = read(write_text('a,b\n0,fine\n1,"never closed\n' + body))
    assert (report.read, report.bad, len(frame)) == (102, 1, 101)
    assert report.examples[0].line == 3
    assert "never closed" in report.examples[0].reason
    assert frame.index.tolist() == [2, *range(4, 104)]


def test_stray_quotes_in_pairs_do_not_hide_a_row_in_its_neighbours_cell(write_text):
    frame, report = read(
        write_text('a,b\n1,"x\n2,"y\n3,6" nail\n4,"two\nlines ""quoted"""\n5,"Best" milk\n'), required=("a", "b")
    )
    assert (report.read, report.bad) == (5, 2)
    assert [row.line for row in report.examples] == [2, 3]
    assert frame["b"].tolist() == ['6" nail', 'two\nlines "quoted"', '"Best" milk']


def test_an_unclosed_quote_in_the_last_row_is_reported(write_text):
    frame, report = read(write_text('a,b\n0,fine\n1,"never closed'))
    assert (report.read, report.bad, len(frame)) == (2, 1, 1)


def test_cells_longer_than_the_csv_modules_default_limit_are_read(write_text):
    frame, report = read(write_text(f"a,b\n1,{'x' * 300_000}\n2,y\n"))
    assert frame["b"].map(len).tolist() == [300_000, 1]
    assert report.bad == 0


def test_unreadable_json_lines_are_bad_rows_with_counts(write_text):
    lines = [
        b'{"a": 1}',
        b'{"a": ',
        b"[1, 2]",
        b'"text"',
        b"",
        b'{"a": "\xff"}',
        b'{"a": "\xc3\xa9"}',
        b'{"a": "x\0y"}',
        b'{"a": "\\ud800"}',
        b'{"a": "\\ud83d\\ude00"}',
        b"[" * 100_000,
    ]
    frame, report = read(write_text(b"\n".join(lines), "x.jsonl"))
    assert frame["a"].tolist() == [1, "é", "😀"]
    assert frame.index.tolist() == [1, 7, 10]
    assert report.read == 10
    assert dict(report.reasons) == {
        "row: malformed JSON": 3,
        "row: not a JSON object": 2,
        "row: not UTF-8 text": 1,
        "row: holds half a surrogate pair": 1,
    }


def test_parquet_rows_are_numbered_across_chunks_and_keep_their_types(tmp_path):
    path = tmp_path / "x.parquet"
    table = pa.table(
        {
            "a": pa.array([1, None, 3], pa.int64()),
            "tags": pa.array([["x"], None, ["y", "z"]]),
            "kind": pa.array(["p", "p", "q"]).dictionary_encode(),
            "score": pa.array([0.5, 1.5, None]),
        }
    )
    pq.write_table(table, path)
    frame, report = read(path, chunk_rows=2)
    assert frame.index.tolist() == [1, 2, 3]
    assert frame["a"].tolist()[::2] == [1, 3]
    assert isinstance(frame["a"].iloc[0], int)
    assert frame["tags"].tolist() == [["x"], None, ["y", "z"]]
    assert frame["kind"].tolist() == ["p", "p", "q"]
    assert frame["score"].tolist()[:2] == [0.5, 1.5]
    assert report.read == 3


def test_parquet_text_that_is_not_utf8_is_a_bad_row(tmp_path):
    path = tmp_path / "x.parquet"
    broken = pa.array([b"good", b"\xff\xfe", b"fine"]).view(pa.string())
    for column in (broken, pa.ListArray.from_arrays([0, 1, 2, 3], broken), broken.cast(pa.binary())):
        pq.write_table(pa.table({"a": column}), path)
        frame, report = read(path)
        assert frame["a"].tolist() in (["good", "fine"], [["good"], ["fine"]])
        assert frame.index.tolist() == [1, 3]
        assert (report.read, report.bad, report.examples[0].line) == (3, 1, 2)


@pytest.mark.parametrize("name", ["x.csv.gz", "x.jsonl.gz", "x.parquet.gz"])
def test_gzipped_files_are_read(tmp_path, name):
    plain = tmp_path / name.removesuffix(".gz")
    if "csv" in name:
        plain.write_text("a\n1\n")
    elif "jsonl" in name:
        plain.write_text('{"a": "1"}\n')
    else:
        pq.write_table(pa.table({"a": ["1"]}), plain)
    (tmp_path / name).write_bytes(gzip.compress(plain.read_bytes()))
    frame, _ = read(tmp_path / name)
    assert frame["a"].tolist() == ["1"]


def test_chunks_hold_no_more_rows_than_asked(write_text):
    path = write_text("a\n" + "1\n" * 25)
    sizes = [len(chunk) for chunk in read_rows(path, RowReport("x"), required=["a"], chunk_rows=10)]
    assert sizes == [10, 10, 5]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.xlsx", b"x", "found the extension '.xlsx'; allowed: .parquet"),
        ("x.cvs", b"x", "Did you mean .csv"),
        ("x.csv", b"", "found an empty file"),
        ("x.jsonl", b"", "found an empty file"),
        ("x.parquet", b"", "found an empty file"),
        ("x.csv", b"\n\n", "found no header"),
        ("x.csv", b"A_,b\n1,2\n", "required column 'a' is missing; found: A_, b"),
        ("x.csv", b"a,b,a\n1,2,3\n", "names 'a' more than once"),
        ("x.csv", "a\xff,b\n".encode("latin-1") + "é,1\nè,2\n".encode(), "the header is not UTF-8"),
        ("x.jsonl", b'{"b": 1}\n', "required column 'a' is missing"),
        ("x.parquet", b"PAR1 nonsense", "no readable Parquet"),
        ("x.csv.gz", b"\x1f\x8bplain text", "broken gzip"),
        ("x.csv", b"PK\x03\x04", "an Excel workbook"),
        ("x.csv.gz", gzip.compress(b"a\n" + b"1\n" * 999, mtime=0)[:-20], "broken gzip"),
    ],
)
def test_a_file_that_cannot_be_used_names_itself_and_what_is_allowed(write_text, name, content, message):
    path = write_text(content, name)
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_a_missing_file_names_the_most_similar_one(write_text, tmp_path):
    write_text("a\n", "items.csv")
    with pytest.raises(InputError, match=r"no such file.*Did you mean .*items\.csv"):
        read(tmp_path / "itmes.csv")
    (tmp_path / "folder.parquet").mkdir()
    with pytest.raises(InputError, match="found a folder without a file to read"):
        read(tmp_path / "folder.parquet")


def test_a_missing_column_names_the_most_similar_one(write_text):
    with pytest.raises(InputError, match="Did you mean 'itemID'\\? Rename it to 'item_id'"):
        read(write_text("itemID,title\n1,x\n"), required=["item_id"], columns=["item_id"])


def test_all_bad_rows_are_written_and_only_the_first_are_kept(tmp_path):
    with RowReport("f.csv", tmp_path / "deep" / "bad.jsonl") as report:
        report.read = 1_000
        for line in range(2, 102):
            report.reject(line, "price", f"${line}", "not a number")
    report.kept = 900
    written = [json.loads(line) for line in (tmp_path / "deep" / "bad.jsonl").read_text().splitlines()]
    assert len(written) == 100
    assert written[99] == {
        "file": "f.csv", "line": 101, "column": "price", "value": "$101", "reason": "not a number",
    }  # fmt: skip
    assert len(report.examples) == 20
    assert json.loads(json.dumps(report.summary()))["reasons"] == {"price: not a number": 100}
    assert "1,000 rows read, 900 kept, 100 bad" in str(report)
    report.check(0.1)
    with pytest.raises(InputError, match=r"f\.csv: 100 of 1,000 rows \(10\.0%\) are bad; allowed: 9\.0%"):
        report.check(0.09)
    with pytest.raises(InputError, match="max_bad_share"):
        report.check(5)
