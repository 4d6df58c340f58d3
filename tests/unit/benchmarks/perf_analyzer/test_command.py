"""`fuserank bench` reads its spans and questions, and says what is allowed."""

import pytest

from fuserank_benchmarks.perf_analyzer.command import doubled, read_questions


def test_a_span_is_doubled_and_ends_where_it_says():
    assert doubled("1:32") == [1, 2, 4, 8, 16, 32]
    assert doubled("3:10") == [3, 6, 10]
    assert doubled("5") == [5]


@pytest.mark.parametrize("span", ["", "0:4", "8:4", "a", "1:2:3", "1:-2"])
def test_another_form_of_span_is_named_with_what_is_allowed(span):
    with pytest.raises(ValueError, match=r"--concurrency: found .*; allowed: N or FROM:TO"):
        doubled(span)


def test_questions_are_queries_and_users_apart_by_a_tab(tmp_path):
    path = tmp_path / "questions.tsv"
    path.write_text("milk\t900\n\nbread\n\t7\n", "utf-8")
    assert read_questions(path) == [("milk", "900"), ("bread", ""), ("", "7")]
    path.write_text("\n", "utf-8")
    with pytest.raises(ValueError, match="found no line"):
        read_questions(path)
