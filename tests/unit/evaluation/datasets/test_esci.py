"""Amazon's queries and judgements are read as their files say, and what a query rules out is found in titles."""

from __future__ import annotations

import gzip

import pytest

from fuserank_evaluation.datasets.esci import EXACT, GAINS, EsciQueries, holds_ruled_out, ruled_out, unpack_catalog


def test_queries_and_grades_are_read_by_query_and_item(tmp_path):
    (tmp_path / "queries.tsv").write_text('q1\t9" plate\nq2\t"milk\nq3\tnever judged\n', "utf-8")
    (tmp_path / "judgements.tsv").write_text("q1 0 B01 3\nq1 0 B02 0\nq2 0 0012 2\n", "utf-8")
    queries = EsciQueries.read(tmp_path)
    assert queries.ids == ["q1", "q2", "q3"]
    assert queries.texts == ['9" plate', '"milk', "never judged"], "quotation marks are part of a query"
    assert queries.grades == {"q1": {"B01": 3, "B02": 0}, "q2": {"0012": 2}, "q3": {}}


def test_a_better_grade_gains_more_and_an_exact_answer_most():
    assert sorted(GAINS, key=GAINS.__getitem__) == [0, 1, 2, 3]
    assert GAINS[EXACT] == max(GAINS.values())


def test_the_catalogue_is_unpacked_byte_for_byte(tmp_path):
    content = '{"item_id": "B01", "title": "café 🍵"}\n'.encode()
    (tmp_path / "catalog.jsonl.gz").write_bytes(gzip.compress(content))
    unpack_catalog(tmp_path, tmp_path / "items.jsonl")
    assert (tmp_path / "items.jsonl").read_bytes() == content


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("binder without rings", ["rings"]),
        ("Shoes not white no laces", ["white", "laces"]),
        ("case without a stand", ["stand"]),
        ("notebook", []),
        ("", []),
    ],
)
def test_what_a_query_does_not_want_is_read_from_it(query, words):
    assert ruled_out(query) == words


@pytest.mark.parametrize(
    ("title", "word", "holds"),
    [
        ("Binder with 3 Rings", "rings", True),
        ("Ring binder", "rings", True),
        ("Binder without rings", "rings", False),
        ("Ring-free binder", "rings", False),
        ("Ringless binder", "rings", False),
        ("String binder", "rings", False),
        ("Sugar free gum", "sugar", False),
        ("No sugar gum with sugar coating", "sugar", True),
        ("Cups (no handle)", "handles", False),
    ],
)
def test_a_title_holds_what_was_ruled_out_unless_it_rules_it_out_itself(title, word, holds):
    assert holds_ruled_out(title, word) == holds
