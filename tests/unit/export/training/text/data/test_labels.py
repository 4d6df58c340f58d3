"""Queries are labelled from judgements, a log or the catalogue, and are split once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fuserank_ensemble.interactions.events import EVENTS
from fuserank_export.sources.interactions import Interactions
from fuserank_export.sources.judgements import Judgements
from fuserank_export.sources.report import InputError, RowReport
from fuserank_export.training.text.data.labels import (
    LabelledQuery,
    label_from_catalog,
    label_from_judgements,
    label_from_log,
    split_labelled_queries,
)


def judged(grades):
    queries = {name: f"query {name}" for name in grades}
    return Judgements(queries, grades, (RowReport("queries.tsv"), RowReport("qrels.tsv")))


def queries_of(count):
    none = np.empty(0, np.int32)
    return [LabelledQuery(f"query {i}", np.asarray([i], np.int32), none) for i in range(count)]


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


def test_grades_above_zero_are_right_and_queries_without_them_are_counted():
    labelled = label_from_judgements(judged({"a": {3: 2, 1: 0, 7: 1}, "b": {4: 0}, "c": {5: 1}}))
    assert [query.text for query in labelled.queries] == ["query a", "query c"]
    assert labelled.queries[0].relevant.tolist() == [3, 7]
    assert labelled.queries[0].irrelevant.tolist() == [1]
    assert labelled.report["queries_without_relevant"] == 1


def test_judgements_without_a_right_item_are_an_error():
    with pytest.raises(InputError, match=r"all 2 judgements .* 0 or below; allowed: both"):
        label_from_judgements(judged({"a": {3: 0}, "b": {4: -1}}))


def test_events_of_a_query_label_items_except_ratings_and_later_events():
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
    labelled = label_from_log(log, 10, 1, end=100)
    assert {query.text: query.relevant.tolist() for query in labelled.queries} == {"milk": [5], "tea": [1, 2]}
    assert labelled.report == {"queries": 2, "queries_in_log": 2, "relevant": 3, "events": 4}
    assert {q.text: q.relevant.tolist() for q in label_from_log(log, 10, 1).queries}["tea"] == [1, 2, 6]


def test_queries_are_drawn_where_the_log_has_more_than_wanted():
    log = log_of([(item, "click", f"query {item}", 10) for item in range(40)])
    labelled = label_from_log(log, 12, 1)
    texts = [query.text for query in labelled.queries]
    assert (len(texts), labelled.report["queries_in_log"]) == (12, 40)
    assert all(query.relevant.tolist() == [int(query.text.split()[1])] for query in labelled.queries)
    assert [query.text for query in label_from_log(log, 12, 1).queries] == texts
    assert [query.text for query in label_from_log(log, 12, 2).queries] != texts


def test_a_log_without_queries_labels_none():
    assert label_from_log(log_of([(1, "click", "", 10)]), 10, 1).queries == ()
    assert label_from_log(Interactions.empty(), 10, 1).queries == ()


def test_queries_made_from_the_catalogue_are_distinct(tiny_indexed):
    labelled = label_from_catalog(tiny_indexed.items, tiny_indexed.titles, 30, 3)
    texts = [query.text for query in labelled.queries]
    assert len(texts) == len(set(texts)) == 30
    assert all(len(query.relevant) for query in labelled.queries)
    assert [query.text for query in label_from_catalog(tiny_indexed.items, tiny_indexed.titles, 30, 3).queries] == texts


def split(count, seed):
    return split_labelled_queries(queries_of(count), seed, source="judged.tsv", remedy="Judge more.")


def test_queries_are_split_by_the_seed_without_overlap():
    parts = split(200, 5)
    assert [len(part) for part in (parts.train, parts.validation, parts.held_out)] == [140, 20, 40]
    names = [{query.text for query in part} for part in (parts.train, parts.validation, parts.held_out)]
    assert len(set.union(*names)) == 200
    again, other = split(200, 5), split(200, 6)
    assert [query.text for query in again.train] == [query.text for query in parts.train]
    assert {query.text for query in other.train} != names[0]


def test_too_few_queries_are_an_error():
    with pytest.raises(InputError, match=r"^judged\.tsv: found 9 queries .* allowed: 10 or more\. Judge more\.$"):
        split(9, 5)
