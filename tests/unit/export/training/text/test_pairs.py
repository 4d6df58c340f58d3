"""What text models learn from: the right items of every source, near misses from retrieval, queries split once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fuserank_export.sources.columns.cells import EVENTS
from fuserank_export.sources.interactions import Interactions
from fuserank_export.sources.judgements import Judgements
from fuserank_export.sources.report import InputError, RowReport
from fuserank_export.training.text.pairs import (
    LabelledQuery,
    Ranked,
    lists,
    of_catalog,
    of_judgements,
    of_log,
    split,
    triples,
)

TEXTS = [f"text {row}" for row in range(60)]


def judged(grades):
    queries = {name: f"query {name}" for name in grades}
    return Judgements(queries, grades, (RowReport("queries.tsv"), RowReport("qrels.tsv")))


def asked(count):
    nothing = np.empty(0, np.int32)
    return [LabelledQuery(f"query {i}", np.asarray([i], np.int32), nothing) for i in range(count)]


def log_of(rows):
    """Rows of (item, event, query, timestamp)."""
    queries = sorted({query for _, _, query, _ in rows if query})
    item, event, query, time = zip(*rows, strict=True)
    return replace(
        Interactions.empty(),
        user=np.zeros(len(rows), np.int32),
        item=np.asarray(item, np.int32),
        event=np.asarray([EVENTS.index(name) for name in event], np.uint8),
        timestamp=np.asarray(time, np.int64),
        query=np.asarray([queries.index(q) if q else -1 for q in query], np.int32),
        user_ids=["u"],
        queries=queries,
    )


def test_grades_above_zero_are_right_and_queries_without_any_are_counted():
    found = of_judgements(judged({"a": {3: 2, 1: 0, 7: 1}, "b": {4: 0}, "c": {5: 1}}))
    assert [query.text for query in found.queries] == ["query a", "query c"]
    assert found.queries[0].relevant.tolist() == [3, 7]
    assert found.queries[0].irrelevant.tolist() == [1]
    assert found.report["queries_without_relevant"] == 1


def test_judgements_of_one_class_are_an_error_that_says_which():
    with pytest.raises(InputError, match=r"all 2 judgements .* 0 or below; allowed: both"):
        of_judgements(judged({"a": {3: 0}, "b": {4: -1}}))


def test_what_was_taken_under_a_query_is_right_for_it_but_for_ratings_and_the_future():
    log = log_of(
        [
            (1, "click", "tea", 10),
            (2, "purchase", "tea", 11),
            (2, "purchase", "tea", 12),
            (3, "rating", "tea", 13),
            (4, "view", "", 14),
            (5, "view", "milk", 15),
            (6, "purchase", "tea", 100),
        ]
    )
    found = of_log(log, 10, 1, end=100)
    assert {query.text: query.relevant.tolist() for query in found.queries} == {"milk": [5], "tea": [1, 2]}
    assert found.report == {"queries": 2, "queries_in_log": 2, "relevant": 3, "events": 4}
    assert {q.text: q.relevant.tolist() for q in of_log(log, 10, 1).queries}["tea"] == [1, 2, 6]


def test_of_more_queries_than_wanted_some_are_drawn_and_the_log_s_count_is_said():
    log = log_of([(item, "click", f"query {item}", 10) for item in range(40)])
    found = of_log(log, 12, 1)
    texts = [query.text for query in found.queries]
    assert (len(texts), found.report["queries_in_log"]) == (12, 40)
    assert all(query.relevant.tolist() == [int(query.text.split()[1])] for query in found.queries)
    assert [query.text for query in of_log(log, 12, 1).queries] == texts
    assert [query.text for query in of_log(log, 12, 2).queries] != texts


def test_a_log_without_queries_has_none():
    assert of_log(log_of([(1, "click", "", 10)]), 10, 1).queries == ()
    assert of_log(Interactions.empty(), 10, 1).queries == ()


def test_queries_are_made_from_the_catalogue_each_once(tiny_indexed):
    found = of_catalog(tiny_indexed.items, tiny_indexed.titles, 30, 3)
    texts = [query.text for query in found.queries]
    assert len(texts) == len(set(texts)) == 30
    assert all(len(query.relevant) for query in found.queries)
    assert [query.text for query in of_catalog(tiny_indexed.items, tiny_indexed.titles, 30, 3).queries] == texts


def test_queries_are_split_once_by_seed():
    parts = split(asked(200), 5)
    assert [len(part) for part in (parts.train, parts.validation, parts.held_out)] == [140, 20, 40]
    names = [{query.text for query in part} for part in (parts.train, parts.validation, parts.held_out)]
    assert len(set.union(*names)) == 200
    again, other = split(asked(200), 5), split(asked(200), 6)
    assert [query.text for query in again.train] == [query.text for query in parts.train]
    assert {query.text for query in other.train} != names[0]


def test_too_few_queries_are_an_error_with_a_way_out():
    with pytest.raises(InputError, match=r"found 9 queries .* allowed: 10 or more"):
        split(asked(9), 5)


def test_lists_hold_right_items_and_near_misses_mostly_from_the_top():
    ranked = [Ranked(f"q{i}", list(range(40)), [0] * 4 + [1] + [0] * 35, []) for i in range(300)]
    made = lists(ranked, TEXTS, 8, 1)
    assert made.column_names == ["query", "docs", "labels"]
    assert all(labels == [1.0] + [0.0] * 7 for labels in made["labels"])
    assert all(docs[0] == "text 4" and len(set(docs)) == 8 for docs in made["docs"])
    drawn = [int(doc.split()[1]) for docs in made["docs"] for doc in docs[1:]]
    assert np.mean(np.asarray(drawn) < 10) > 0.4  # of a fair draw 0.23
    assert max(drawn) > 30
    assert made.to_dict() == lists(ranked, TEXTS, 8, 1).to_dict()


def test_at_most_half_of_a_list_is_right():
    made = lists([Ranked("q", list(range(40)), [1] * 30 + [0] * 10, [])], TEXTS, 8, 1)
    assert made["labels"][0] == [1.0] * 4 + [0.0] * 4


def test_a_right_item_that_retrieval_missed_is_learned_from_where_it_found_none():
    made = lists([Ranked("q", [1, 2, 3], [0, 0, 0], [50])], TEXTS, 8, 1)
    assert made["docs"][0][0] == "text 50"
    made = lists([Ranked("q", [1, 2, 3], [0, 1, 0], [50])], TEXTS, 8, 1)
    assert "text 50" not in made["docs"][0]


@pytest.mark.parametrize(
    "make", [lambda ranked: lists(ranked, TEXTS, 8, 1), lambda ranked: triples(ranked, TEXTS, 3, 1)]
)
@pytest.mark.parametrize("label", [0, 1])
def test_candidates_of_one_class_are_an_error(make, label):
    with pytest.raises(InputError, match="none of 1 queries has both right and wrong candidates"):
        make([Ranked("q", [1, 2, 3], [label] * 3, [])])


def test_triples_pair_each_right_item_with_a_near_miss_of_another_text():
    same = ["the same"] * 2 + TEXTS[2:]
    made = triples([Ranked("q", [0, 1], [1, 0], []), Ranked("r", [2, 3, 4, 5], [1, 0, 1, 0], [])], same, 3, 1)
    assert made.column_names == ["anchor", "positive", "negative"]
    assert set(made["anchor"]) == {"r"}
    assert set(made["positive"]) == {"text 2", "text 4"}
    assert set(made["negative"]) == {"text 3", "text 5"}


def test_a_frequent_query_gives_no_more_triples_than_allowed():
    made = triples([Ranked("q", list(range(40)), [1] * 20 + [0] * 20, [])], TEXTS, 3, 1)
    assert len(made) == 3
