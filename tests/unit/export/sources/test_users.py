"""What a shop says of its users is read as it is meant, and what cannot be used is said with line and reason."""

from __future__ import annotations

import json

import pytest

from fuserank_export.sources.report import InputError
from fuserank_export.sources.users import MOST_VALUES, read_users


def known(segments, *users, now=2e9):
    return [segments.values(user, now) for user in users]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_users_of_every_format_are_read_alike(kind, request):
    rows = [
        {"user_id": "u2", "tier": "gold", "segment": "families", "since": "2024-01-01T00:00:00Z"},
        {"user_id": "u10", "tier": "silver", "segment": "families", "since": None},
        {"user_id": "u1", "tier": None, "segment": "singles ", "since": None},
    ]
    path = request.getfixturevalue(f"write_{kind}")(rows, f"users.{kind}")
    segments, report = read_users(path)
    assert (report.read, report.kept, report.bad) == (3, 3, 0)
    assert [user.decode() for user in segments.users] == ["u1", "u10", "u2"]
    assert known(segments, "u2", "u10", "u1") == [
        {"tier": ["gold"], "segment": ["families"]},
        {"tier": ["silver"], "segment": ["families"]},
        {"segment": ["singles"]},
    ]
    # 2024 begins at 1704067200.
    assert known(segments, "u2", "u10", now=1704067199.0) == [{}, {"tier": ["silver"], "segment": ["families"]}]


def test_lists_numbers_and_truth_values_are_groups_too(write_jsonl):
    rows = [
        {"user_id": 1, "tags": ["pets", "garden", "pets"], "age": 3, "member": True, "level": 1.5},
        {"user_id": 2.0, "tags": [], "age": 4, "member": False, "level": 2.0},
        {"user_id": "3", "tags": "pets"},
    ]
    segments, report = read_users(write_jsonl(rows))
    assert report.kept == 3
    assert known(segments, "1", "2", "3") == [
        {"tags": ["pets", "garden"], "age": ["3"], "member": ["true"], "level": ["1.5"]},
        {"age": ["4"], "member": ["false"], "level": ["2"]},
        {"tags": ["pets"]},
    ]


def test_bad_rows_are_told_with_line_and_reason_and_the_rest_is_kept(write_jsonl, tmp_path):
    rows = [
        {"user_id": "a", "tier": "x"},
        {"user_id": "", "tier": "x"},
        {"user_id": "a", "tier": "y"},
        {"user_id": "b", "tier": {"deep": 1}},
        {"user_id": "c", "tier": "y" * 300},
        {"user_id": "d", "tier": "y", "since": "soon"},
        {"user_id": "e", "tier": "y"},
    ]
    bad = tmp_path / "bad.jsonl"
    segments, report = read_users(write_jsonl(rows), max_bad_share=1.0, bad_rows_path=bad)
    assert (report.read, report.kept, report.bad) == (7, 2, 5)
    assert known(segments, "a", "e") == [{"tier": ["x"]}, {"tier": ["y"]}]
    told = [json.loads(line) for line in bad.read_text().splitlines()]
    assert {(row["line"], row["column"]) for row in told} == {
        (2, "user_id"),
        (3, "user_id"),
        (4, "tier"),
        (5, "tier"),
        (6, "since"),
    }
    assert "first in line 1" in next(row["reason"] for row in told if row["line"] == 3)
    with pytest.raises(InputError, match=r"5 of 7 rows \(71.4%\) are bad"):
        read_users(write_jsonl(rows))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"user": "a", "tier": "x"}], "the required column 'user_id' is missing.*Did you mean 'user'"),
        ([{"user_id": "a", "since": "2024-01-01"}], "found no column but user_id, since; add one"),
    ],
)
def test_a_file_that_says_nothing_of_users_is_an_error(rows, message, write_csv):
    with pytest.raises(InputError, match=message):
        read_users(write_csv(rows))


def test_a_column_of_too_many_values_or_of_one_makes_no_groups_and_says_so(write_csv):
    rows = [
        {"user_id": f"u{i}", "zip": f"z{i:05}", "country": "CN", "tier": "ab"[i % 2], "x": ""} for i in range(5_000)
    ]
    segments, report = read_users(write_csv(rows))
    assert list(segments.columns) == ["tier"]
    assert report.notes == [
        f"the column zip has 5,000 distinct values, such as 'z00000', and makes no groups; allowed: 2 to {MOST_VALUES}",
        f"the column country has 1 distinct values, such as 'CN', and makes no groups; allowed: 2 to {MOST_VALUES}",
    ]
    assert report.dropped_columns == ["x"]
    assert "the column zip has 5,000" in str(report)


def test_chunks_are_read_as_one_file(write_csv):
    rows = [{"user_id": f"u{i % 7}", "tier": "ab"[i % 2]} for i in range(10)]
    whole, chunked = (read_users(write_csv(rows), max_bad_share=1.0, chunk_rows=size) for size in (100, 3))
    assert known(whole[0], *[f"u{i}" for i in range(7)]) == known(chunked[0], *[f"u{i}" for i in range(7)])
    assert whole[1].kept == chunked[1].kept == 7
