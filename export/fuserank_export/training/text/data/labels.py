"""Labels queries with their right items, from relevance judgements, a log or the catalogue, and splits them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.events import EVENTS
from fuserank_export.sources import InputError, Interactions
from fuserank_export.sources.judgements import Judgements
from fuserank_export.training.cases.synthetic import SyntheticQueries

LabelSource = Literal["judgements", "log", "catalog"]
Rows = NDArray[np.int32]
SHARES = (0.7, 0.1)  # of the queries: for training and for validation; the rest is held out
MIN_QUERIES = 10  # fewer cannot be split


@dataclass(frozen=True)
class LabelledQuery:
    """A query with labelled items.

    Attributes:
        text: The query.
        relevant: Item rows that are right, sorted, `[relevant]`.
        irrelevant: Item rows that were judged wrong, sorted, `[irrelevant]`; empty where only right items are known.
    """

    text: str
    relevant: Rows
    irrelevant: Rows


@dataclass(frozen=True)
class LabelledQueries:
    """Labelled queries and their source.

    Attributes:
        source: `judgements`, `log`, or `catalog` where a log has no queries.
        queries: Queries with one right item or more.
        report: Numbers of queries, labels and rows left out, as JSON values.
    """

    source: LabelSource
    queries: tuple[LabelledQuery, ...]
    report: dict[str, Any]


def label_from_judgements(judgements: Judgements) -> LabelledQueries:
    """Labels queries by relevance judgements; a grade above 0 is right.

    Queries without a right item are left out and counted in the report.

    Raises:
        InputError: Where no judgement has a grade above 0.
    """
    queries = []
    for query_id, text in judgements.queries.items():
        grades = judgements.grades[query_id]
        rows = np.fromiter(sorted(grades), np.int32, len(grades))
        right = np.fromiter((grades[int(row)] > 0 for row in rows), np.bool_, len(rows))
        queries.append(LabelledQuery(text, rows[right], rows[~right]))
    positives, negatives = sum(len(q.relevant) for q in queries), sum(len(q.irrelevant) for q in queries)
    _, report = judgements.reports
    if not positives:
        raise InputError(
            f"{report.file}: all {negatives:,} judgements of known items have a grade of 0 or below; allowed: both "
            "classes. Judge some items as relevant (grade 1 or more)."
        )
    with_relevant = tuple(query for query in queries if len(query.relevant))
    return LabelledQueries(
        "judgements",
        with_relevant,
        {
            "queries": len(with_relevant),
            "queries_without_relevant": len(queries) - len(with_relevant),
            "relevant": positives,
            "irrelevant": negatives,
            "unknown_items": report.unknown_item,
            "rows": [file_report.summary() for file_report in judgements.reports],
        },
    )


def label_from_log(log: Interactions, count: int, seed: int, end: float = np.inf) -> LabelledQueries:
    """Labels the queries of a log: an item that was viewed, clicked, put in the cart or bought for a query is right.

    Args:
        log: The log; ratings are left out, because they are seldom about the query.
        count: How many queries to take at most; from more, that many are drawn.
        seed: Seed of the draw.
        end: Epoch seconds; later events are left out, so that a ranker can be measured on them.
    """
    used = (log.query >= 0) & (log.timestamp < end) & (log.event != EVENTS.index("rating"))
    pairs = np.unique(np.stack([log.query[used], log.item[used]], 1), axis=0)
    distinct = np.unique(pairs[:, 0])
    if len(distinct) > count:
        pairs = pairs[np.isin(pairs[:, 0], np.random.default_rng(seed).choice(distinct, count, replace=False))]
    codes, starts = np.unique(pairs[:, 0], return_index=True)
    rows = np.split(pairs[:, 1].astype(np.int32), starts[1:])[: len(codes)]
    none = np.empty(0, np.int32)
    queries = tuple(LabelledQuery(log.queries[code], right, none) for code, right in zip(codes, rows, strict=True))
    report = {
        "queries": len(queries),
        "queries_in_log": len(distinct),
        "relevant": len(pairs),
        "events": int(used.sum()),
    }
    return LabelledQueries("log", queries, report)


def label_from_catalog(items: Items, titles: Sequence[str], count: int, seed: int) -> LabelledQueries:
    """Makes labelled queries from categories and titles, for shops whose log has none; see `SyntheticQueries`.

    Args:
        items: The catalogue.
        titles: Title of each item, by row.
        count: How many queries to make at most.
        seed: Seed of the draw.
    """
    synthetic, draw = SyntheticQueries(items, titles, seed), np.random.default_rng(seed)
    rows = draw.permutation(len(items)).astype(np.int32)
    texts = dict.fromkeys(str(query) for query in synthetic.draw(rows, draw) if query)
    none = np.empty(0, np.int32)
    queries = tuple(LabelledQuery(text, np.sort(synthetic.relevant(text)), none) for text in list(texts)[:count])
    report = {"queries": len(queries), "relevant": sum(len(query.relevant) for query in queries)}
    return LabelledQueries("catalog", queries, report)


@dataclass(frozen=True)
class QuerySplit:
    """Queries for training, for validation, and held out for the report; no query is in two parts."""

    train: tuple[LabelledQuery, ...]
    validation: tuple[LabelledQuery, ...]
    held_out: tuple[LabelledQuery, ...]


def split_labelled_queries(queries: Sequence[LabelledQuery], seed: int, *, source: str, remedy: str) -> QuerySplit:
    """Splits queries into 70 % for training, 10 % for validation and 20 % held out.

    The order of `queries` and the seed decide which query is in which part.

    Args:
        queries: The queries.
        seed: Of the draw.
        source: Where they come from, for the message.
        remedy: What to do where they are too few, a sentence.

    Raises:
        InputError: Where there are too few queries.
    """
    if len(queries) < MIN_QUERIES:
        raise InputError(
            f"{source}: found {len(queries)} queries with a right item; allowed: {MIN_QUERIES} or more. {remedy}"
        )
    order = np.random.default_rng(seed).permutation(len(queries))
    first = int(len(queries) * SHARES[0])
    second = first + max(1, int(len(queries) * SHARES[1]))
    parts = (order[:first], order[first:second], order[second:])
    return QuerySplit(*(tuple(queries[int(i)] for i in part) for part in parts))
