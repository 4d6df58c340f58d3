"""Judgements in TREC's format: bad rows are reported, unknown items are counted."""

from __future__ import annotations

import gzip

import pytest

from fuserank_export.sources.judgements import read_judgements
from fuserank_export.sources.report import InputError

ITEMS = ["a1", "b 2", "c3"]
QUERIES = "q1\tgreen tea\nq2\t绿茶 \n\nq3\tnever judged\n"


def read(write_text, judgements, queries=QUERIES, **settings):
    return read_judgements(write_text(queries, "queries.tsv"), write_text(judgements, "qrels.tsv"), ITEMS, **settings)


def test_queries_and_grades_are_read_by_item_row(write_text):
    judgements = read(write_text, "q1 0 a1 1\nq1 0 c3 0\nq2\t0\tb 2\t3\n")
    assert dict(judgements.queries) == {"q1": "green tea", "q2": "绿茶"}
    assert judgements.grades == {"q1": {0: 1, 2: 0}, "q2": {1: 3}}
    assert [report.kept for report in judgements.reports] == [3, 3]


@pytest.mark.parametrize(
    "rows",
    [
        "query-id\tcorpus-id\tscore\nq1\ta1\t2\nq1\tc3\t0.5\nq2\tb 2\t0\n",  # BEIR
        "q1\ta1\t2\nq1\tc3\t.5\nq2\tb 2\t0.0\n",
        "q1\tQ0\ta1\t2.0\nq1\tQ0\tc3\t5e-1\nq2\tQ0\tb 2\t0\n",
        "query_id iteration item_id grade\nq1 0 a1 2\nq1 0 c3 0.5\nq2\t0\tb 2\t0\n",
        "qid,query,docid,rating\nq1,green tea,a1,2\nq1,green tea,c3,0.5\nq2,绿茶,b 2,0\n",
        'grade;product_id;query\n2;a1;q1\n0.50;"c3";q1\n0;b 2;q2\n',
        "the query\tits answer\thow right\nq1\ta1\t2\nq1\tc3\t0.5\nq2\tb 2\t0\n",
    ],
)
def test_three_or_four_columns_with_or_without_header_hold_whole_or_decimal_grades(write_text, rows):
    judgements = read(write_text, rows)
    assert judgements.grades == {"q1": {0: 2, 2: 0.5}, "q2": {1: 0}}
    assert [report.bad for report in judgements.reports] == [0, 0]
    assert (judgements.reports[1].read, judgements.reports[1].kept) == (3, 3)


def test_a_first_line_that_is_taken_for_a_header_is_noted_unless_its_names_are_known(write_text):
    assert not read(write_text, "query-id\tcorpus-id\tscore\nq1\ta1\t1\n").reports[1].notes
    (note,) = read(write_text, "who\twhat\thow\nq1\ta1\t1\n").reports[1].notes
    assert "who" in note


def test_a_whole_grade_is_an_integer_as_trec_s_measures_want_it(write_text):
    grades = read(write_text, "q1 0 a1 1.0\nq1 0 c3 0.5\n").grades["q1"]
    assert {row: type(grade) for row, grade in grades.items()} == {0: int, 2: float}


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("query-id\ttext\nq1\tgreen tea\nq2\t绿茶\n", "queries.tsv"),
        ("query_id,query\nq1,green tea\nq2,绿茶\n", "queries.csv"),
        ('{"_id": "q1", "text": "green tea"}\n{"_id": "q2", "text": "绿茶", "metadata": {}}\n', "queries.jsonl"),
    ],
)
def test_queries_of_other_tools_are_read(write_text, content, name):
    path = write_text(content, name)
    judgements = read_judgements(path, write_text("q1 a1 1\nq2 a1 1\n", "qrels.txt"), ITEMS)
    assert dict(judgements.queries) == {"q1": "green tea", "q2": "绿茶"}
    assert judgements.reports[0].read == 2


def test_queries_and_judgements_are_read_compressed_and_in_other_encodings(write_text):
    queries = write_text(gzip.compress("q1\tthé vert\n".encode("windows-1252")), "queries.tsv.gz")
    judgements = read_judgements(queries, write_text("q1\ta1\t1\n".encode("utf-16"), "qrels.tsv"), ITEMS)
    assert dict(judgements.queries) == {"q1": "thé vert"}
    assert "windows-1252" in judgements.reports[0].notes[0]


def test_a_byte_order_mark_and_windows_line_ends_are_not_part_of_a_value(write_text):
    judgements = read(write_text, "\ufeffq1 0 a1 1\r\n", "\ufeffq1\tgreen tea\r\n")
    assert dict(judgements.queries) == {"q1": "green tea"}
    assert judgements.grades == {"q1": {0: 1}}


def test_unknown_items_are_counted_and_are_not_bad_rows(write_text):
    judgements = read(write_text, "q1 0 a1 1\nq1 0 gone 1\nq1 0 gone-too 0\n")
    report = judgements.reports[1]
    assert (report.read, report.kept, report.bad, report.unknown_item) == (3, 1, 0, 2)
    assert report.unknown_item_ids == {"gone", "gone-too"}


def test_judgements_of_unknown_items_alone_are_an_error(write_text):
    with pytest.raises(
        InputError, match=r"no judgement of an item that the catalogue has in 2 rows \(2 are of unknown"
    ):
        read(write_text, "q1 0 gone 1\nq1 0 gone-too 0\n")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("q1 a1", "allowed: query_id item_id grade"),
        ("q1 0 a1 1 run", "allowed: query_id item_id grade"),
        ("q1 0 a1 high", "allowed: a number"),
        ("q1 0 a1 nan", "allowed: a number"),
        ("q1 0 a1 1e999", "allowed: a number"),
        ("q7 0 a1 1", "not in "),
    ],
)
def test_a_bad_row_is_reported_with_its_line_and_reason(write_text, row, reason):
    judgements = read(write_text, f"q1 0 c3 1\n{row}\n", max_bad_share=0.5)
    (example,) = judgements.reports[1].examples
    assert example.line == 2
    assert reason in example.reason


def test_too_many_bad_judgements_are_an_error(write_text):
    with pytest.raises(InputError, match="1 of 2 rows"):
        read(write_text, "q1 0 a1 1\nq1 0 a1 high\n")


def test_a_query_without_text_or_with_a_used_id_is_reported(write_text):
    judgements = read(write_text, "q1 0 a1 1\n", "q1\tgreen tea\nq1\tblack tea\nq2\t \nq3\n", max_bad_share=0.9)
    assert [example.line for example in judgements.reports[0].examples] == [2, 3, 4]
    assert dict(judgements.queries) == {"q1": "green tea"}


def test_the_last_of_two_judgements_of_an_item_holds_with_a_warning(write_text):
    judgements = read(write_text, "q1 0 a1 1\nq1 0 a1 0\n")
    assert judgements.grades == {"q1": {0: 0}}
    assert sum(judgements.reports[1].warnings.values()) == 1


def test_a_file_that_is_missing_or_not_text_is_an_error_that_names_it(write_text, tmp_path):
    with pytest.raises(InputError, match="queries"):
        read_judgements(tmp_path / "queries.tsv", tmp_path / "qrels.tsv", ITEMS)
    with pytest.raises(InputError, match="UTF-8"):
        read(write_text, "q1 0 é 1\n".encode() + b"q1 0 \xff\xfe 1\n")
