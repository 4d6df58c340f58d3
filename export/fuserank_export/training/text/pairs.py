"""What the text models learn from: queries, the items that are right for them, and near misses.

Right items come from people's judgements, from a log with queries, or from the catalogue alone. Near misses come from
retrieval: what the channels put on top and nobody called right is what a ranker will have to tell apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from datasets import Dataset  # type: ignore[import-untyped]
from numpy.typing import NDArray

from fuserank_ensemble.candidates.retriever import Retriever
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.catalog.text import normalise
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.retrieval.channel import ChannelQuery
from fuserank_export.sources import InputError, Interactions
from fuserank_export.sources.columns.cells import EVENTS
from fuserank_export.sources.judgements import Judgements
from fuserank_export.training.cases.builder import Embed
from fuserank_export.training.cases.synthetic import SyntheticQueries

Source = Literal["judgements", "log", "catalog"]
Rows = NDArray[np.int32]
SHARES = (0.7, 0.1)  # of the queries: to learn from, to stop by; the rest is held out
LEAST = 10  # fewer queries cannot be split
DEPTH = 40  # candidates of each query
HARDEST = 5  # a near miss is drawn with 1 / (rank + this): often from the top, sometimes from below


@dataclass(frozen=True)
class LabelledQuery:
    """A query and what is known of its answers.

    Attributes:
        text: The query as asked.
        relevant: Item rows that are right, sorted.
        irrelevant: Item rows that were judged wrong, sorted; empty where only right items are known.
    """

    text: str
    relevant: Rows
    irrelevant: Rows


@dataclass(frozen=True)
class Labelled:
    """Labelled queries, and where they are from.

    Attributes:
        source: `judgements`, `log`, or `catalog` where a log has no queries.
        queries: Each with one right item or more.
        report: What was found and what was left out, as plain JSON values.
    """

    source: Source
    queries: tuple[LabelledQuery, ...]
    report: dict[str, Any]


def of_judgements(judgements: Judgements) -> Labelled:
    """Queries that people judged; a grade above 0 is right. Queries without a right item are counted and left out.

    Raises:
        InputError: Where all judgements say the same.
    """
    found = []
    for name, query in judgements.queries.items():
        grades = judgements.grades[name]
        rows = np.fromiter(sorted(grades), np.int32, len(grades))
        right = np.fromiter((grades[int(row)] > 0 for row in rows), np.bool_, len(rows))
        found.append(LabelledQuery(query, rows[right], rows[~right]))
    positives, negatives = sum(len(q.relevant) for q in found), sum(len(q.irrelevant) for q in found)
    _, report = judgements.reports
    if not positives:
        raise InputError(
            f"{report.file}: all {negatives:,} judgements of known items have a grade of 0 or below; allowed: both "
            "classes. Judge some items as relevant (grade 1 or more)."
        )
    answered = tuple(query for query in found if len(query.relevant))
    return Labelled(
        "judgements",
        answered,
        {
            "queries": len(answered),
            "queries_without_relevant": len(found) - len(answered),
            "relevant": positives,
            "irrelevant": negatives,
            "unknown_items": report.unknown_item,
            "rows": [each.summary() for each in judgements.reports],
        },
    )


def of_log(log: Interactions, count: int, seed: int, end: float = np.inf) -> Labelled:
    """Queries of the log: what was viewed, clicked, put in the cart or bought under a query is right for it.

    Args:
        log: The log; ratings say little of a query and are not read.
        count: How many queries to take at most; of more, as many are drawn.
        seed: Of the draw.
        end: Epoch seconds; events from then on are not looked at, so that a ranker can be measured on them.
    """
    used = (log.query >= 0) & (log.timestamp < end) & (log.event != EVENTS.index("rating"))
    pairs = np.unique(np.stack([log.query[used], log.item[used]], 1), axis=0)
    asked = np.unique(pairs[:, 0])
    if len(asked) > count:
        pairs = pairs[np.isin(pairs[:, 0], np.random.default_rng(seed).choice(asked, count, replace=False))]
    codes, starts = np.unique(pairs[:, 0], return_index=True)
    rows = np.split(pairs[:, 1].astype(np.int32), starts[1:])[: len(codes)]
    nothing = np.empty(0, np.int32)
    found = tuple(LabelledQuery(log.queries[code], right, nothing) for code, right in zip(codes, rows, strict=True))
    report = {"queries": len(found), "queries_in_log": len(asked), "relevant": len(pairs), "events": int(used.sum())}
    return Labelled("log", found, report)


def of_catalog(items: Items, titles: Sequence[str], count: int, seed: int) -> Labelled:
    """Queries made from categories and titles, for shops whose log has none; see `SyntheticQueries`."""
    synthetic, draw = SyntheticQueries(items, titles, seed), np.random.default_rng(seed)
    rows = draw.permutation(len(items)).astype(np.int32)
    made = dict.fromkeys(str(query) for query in synthetic.draw(rows, draw) if query)
    nothing = np.empty(0, np.int32)
    found = tuple(LabelledQuery(query, np.sort(synthetic.relevant(query)), nothing) for query in list(made)[:count])
    return Labelled(
        "catalog", found, {"queries": len(found), "relevant": int(sum(len(query.relevant) for query in found))}
    )


@dataclass(frozen=True)
class Split:
    """Queries apart by what they are for: no query is in two parts."""

    train: tuple[LabelledQuery, ...]
    validation: tuple[LabelledQuery, ...]
    held_out: tuple[LabelledQuery, ...]


def split(queries: Sequence[LabelledQuery], seed: int) -> Split:
    """Splits by query, 70 to 10 to 20; the order of `queries` and the seed decide.

    Raises:
        InputError: Where there are too few queries.
    """
    if len(queries) < LEAST:
        raise InputError(
            f"found {len(queries)} queries with a right item; allowed: {LEAST} or more. Add judgements or a log with "
            "a query column, or do without: --layers 0 trains no text tower."
        )
    order = np.random.default_rng(seed).permutation(len(queries))
    first = int(len(queries) * SHARES[0])
    second = first + max(1, int(len(queries) * SHARES[1]))
    parts = (order[:first], order[first:second], order[second:])
    return Split(*(tuple(queries[int(i)] for i in part) for part in parts))


@dataclass(frozen=True)
class Ranked:
    """A query with its candidates.

    Attributes:
        text: The query.
        rows: Item rows of the candidates, best fused first.
        labels: 1 where right, of each candidate.
        missed: Right items that retrieval did not find.
    """

    text: str
    rows: list[int]
    labels: list[int]
    missed: list[int]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def rank(
    queries: Sequence[LabelledQuery],
    retriever: Retriever,
    embed: Embed,
    depth: int = DEPTH,
    advanced: Callable[[int], None] = lambda count: None,
) -> list[Ranked]:
    """Asks retrieval for each query's candidates; what nobody called right counts as wrong.

    Args:
        queries: Queries without a user.
        retriever: Its channels and their weights for the kind `query` decide.
        embed: Makes a query's vector.
        depth: Candidates of each query at most.
        advanced: Called with the number of queries done.
    """
    found: list[Ranked] = []
    for start in range(0, len(queries), 64):
        part = queries[start : start + 64]
        vectors = embed([query.text for query in part])
        asked = [ChannelQuery(normalise(q.text), v, History.empty(), 0.0) for q, v in zip(part, vectors, strict=True)]
        for query, candidates in zip(part, retriever.retrieve(asked, [depth] * len(part), "query"), strict=True):
            rows = candidates.rows
            right = np.isin(rows, query.relevant)
            # Judged wrong, but too far down to be found: easy, and still a person's word.
            far = np.setdiff1d(query.irrelevant, rows)[: max(0, depth - len(rows))]
            found.append(
                Ranked(
                    query.text,
                    [*rows.tolist(), *far.tolist()],
                    [*right.astype(int).tolist(), *([0] * len(far))],
                    np.setdiff1d(query.relevant, rows).tolist(),
                )
            )
        advanced(len(part))
    return found


def lists(ranked: Sequence[Ranked], texts: Sequence[str], size: int, seed: int) -> Dataset:
    """Training lists of a cross-encoder: a few right items and near misses of each query.

    Args:
        ranked: Queries with candidates.
        texts: Text by item row.
        size: Items of a list; at most half of them are right.
        seed: Of the draws.

    Returns:
        Columns `query`, `docs` and `labels`; a query that has only right or only wrong items makes no list.

    Raises:
        InputError: Where no query has both.
    """
    draw = np.random.default_rng(seed)
    columns: dict[str, list[Any]] = {"query": [], "docs": [], "labels": []}
    for each in ranked:
        right, wrong = _classes(each)
        right = draw.permutation(right)[: max(1, size // 2)]
        wrong = _near_misses(wrong, size - len(right), draw)
        if len(right) and len(wrong):
            columns["query"].append(each.text)
            columns["docs"].append([texts[row] for row in (*right, *wrong)])
            columns["labels"].append([1.0] * len(right) + [0.0] * len(wrong))
    _check_classes(len(columns["query"]), len(ranked))
    return Dataset.from_dict(columns)


def triples(ranked: Sequence[Ranked], texts: Sequence[str], per_query: int, seed: int) -> Dataset:
    """Training rows of an encoder: `anchor` (the query), `positive` and `negative`, a near miss.

    At most `per_query` right items of each query are taken: a frequent query must not crowd out the others.

    Raises:
        InputError: Where no query has both a right item and a near miss.
    """
    draw = np.random.default_rng(seed)
    columns: dict[str, list[str]] = {"anchor": [], "positive": [], "negative": []}
    for each in ranked:
        right, wrong = _classes(each)
        right = draw.permutation(right)[:per_query]
        for row, miss in zip(right, _near_misses(wrong, len(right), draw), strict=False):
            # The same text on both sides would teach the opposite of itself.
            if texts[row] != texts[miss]:
                columns["anchor"].append(each.text)
                columns["positive"].append(texts[row])
                columns["negative"].append(texts[miss])
    _check_classes(len(columns["anchor"]), len(ranked))
    return Dataset.from_dict(columns)


def _classes(each: Ranked) -> tuple[Rows, Rows]:
    """The right rows, and the wrong ones, best first. What retrieval missed is learned from only if it found none."""
    rows, labels = np.asarray(each.rows, np.int32), np.asarray(each.labels, np.int32)
    right = rows[labels == 1]
    return right if len(right) else np.asarray(each.missed, np.int32), rows[labels == 0]


def _near_misses(wrong: Rows, count: int, draw: np.random.Generator) -> Rows:
    weights = 1.0 / (np.arange(len(wrong)) + HARDEST)
    chosen = min(count, len(wrong))
    return draw.choice(wrong, chosen, replace=False, p=weights / weights.sum()) if chosen else wrong[:0]


def _check_classes(made: int, queries: int) -> None:
    if not made:
        raise InputError(
            f"none of {queries:,} queries has both right and wrong candidates; allowed: both classes. With one class "
            "there is nothing to learn: check the item ids and grades, or do without text training."
        )
