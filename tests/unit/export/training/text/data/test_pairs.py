"""Training rows pair right items with near misses of the candidates."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_export.sources.report import InputError
from fuserank_export.training.text.data.pairs import RankedQuery, build_lists, build_triples

TEXTS = [f"text {row}" for row in range(60)]


def test_lists_have_right_items_and_near_misses_mostly_from_the_top():
    ranked = [RankedQuery(f"q{i}", list(range(40)), [0] * 4 + [1] + [0] * 35, []) for i in range(300)]
    rows = build_lists(ranked, TEXTS, 8, 1)
    assert rows.column_names == ["query", "docs", "labels"]
    assert all(labels == [1.0] + [0.0] * 7 for labels in rows["labels"])
    assert all(docs[0] == "text 4" and len(set(docs)) == 8 for docs in rows["docs"])
    drawn = [int(doc.split()[1]) for docs in rows["docs"] for doc in docs[1:]]
    assert np.mean(np.asarray(drawn) < 10) > 0.4  # a uniform draw has 0.23
    assert max(drawn) > 30
    assert rows.to_dict() == build_lists(ranked, TEXTS, 8, 1).to_dict()


def test_at_most_half_of_a_list_is_right_items():
    rows = build_lists([RankedQuery("q", list(range(40)), [1] * 30 + [0] * 10, [])], TEXTS, 8, 1)
    assert rows["labels"][0] == [1.0] * 4 + [0.0] * 4


def test_missed_right_items_are_used_where_no_candidate_is_right():
    rows = build_lists([RankedQuery("q", [1, 2, 3], [0, 0, 0], [50])], TEXTS, 8, 1)
    assert rows["docs"][0][0] == "text 50"
    rows = build_lists([RankedQuery("q", [1, 2, 3], [0, 1, 0], [50])], TEXTS, 8, 1)
    assert "text 50" not in rows["docs"][0]


@pytest.mark.parametrize(
    "make", [lambda ranked: build_lists(ranked, TEXTS, 8, 1), lambda ranked: build_triples(ranked, TEXTS, 3, 1)]
)
@pytest.mark.parametrize("label", [0, 1])
def test_candidates_of_one_class_are_an_error(make, label):
    with pytest.raises(InputError, match="none of 1 queries has both right and wrong candidates"):
        make([RankedQuery("q", [1, 2, 3], [label] * 3, [])])


def test_triples_pair_each_right_item_with_a_near_miss_of_another_text():
    same = ["the same"] * 2 + TEXTS[2:]
    rows = build_triples(
        [RankedQuery("q", [0, 1], [1, 0], []), RankedQuery("r", [2, 3, 4, 5], [1, 0, 1, 0], [])], same, 3, 1
    )
    assert rows.column_names == ["anchor", "positive", "negative"]
    assert set(rows["anchor"]) == {"r"}
    assert set(rows["positive"]) == {"text 2", "text 4"}
    assert set(rows["negative"]) == {"text 3", "text 5"}


def test_a_query_gives_no_more_triples_than_allowed():
    rows = build_triples([RankedQuery("q", list(range(40)), [1] * 20 + [0] * 20, [])], TEXTS, 3, 1)
    assert len(rows) == 3
