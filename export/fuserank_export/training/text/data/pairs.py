"""Finds the candidates of labelled queries, and makes training rows of right items and near misses.

A near miss is a candidate that the channels rank high and that is not labelled as right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from datasets import Dataset  # type: ignore[import-untyped]
from numpy.typing import NDArray

from fuserank_ensemble.candidates.retriever import Retriever
from fuserank_ensemble.catalog.text import normalise
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.retrieval.channel import ChannelQuery
from fuserank_export.sources import InputError
from fuserank_export.training.cases.builder import Embed
from fuserank_export.training.text.data.labels import LabelledQuery

Rows = NDArray[np.int32]
DEPTH = 40  # candidates of each query
BATCH = 64  # queries that are retrieved together
NEAR_MISS_OFFSET = 5  # a near miss is drawn with weight 1 / (rank + this): mostly from the top


@dataclass(frozen=True)
class RankedQuery:
    """A query with its candidates.

    Attributes:
        text: The query.
        rows: Item rows of the candidates, in the order of fusion.
        labels: For each candidate 1 where it is right, else 0.
        missed: Item rows that are right and not among the candidates.
    """

    text: str
    rows: list[int]
    labels: list[int]
    missed: list[int]

    def to_dict(self) -> dict[str, Any]:
        """Returns the attributes as JSON values."""
        return asdict(self)


def rank_queries(
    queries: Sequence[LabelledQuery],
    retriever: Retriever,
    embed: Embed,
    depth: int = DEPTH,
    advanced: Callable[[int], None] = lambda count: None,
) -> list[RankedQuery]:
    """Retrieves each query's candidates; one that is not labelled as right counts as wrong.

    Args:
        queries: The labelled queries; they are asked without a user.
        retriever: The channels, which are fused with the weights of the kind `query`.
        embed: Returns the vectors of texts.
        depth: Candidates of each query at most.
        advanced: Called with the number of queries done.

    Returns:
        The queries with their candidates, in their order.
    """
    ranked: list[RankedQuery] = []
    for start in range(0, len(queries), BATCH):
        part = queries[start : start + BATCH]
        vectors = embed([query.text for query in part])
        channel_queries = [
            ChannelQuery(normalise(query.text), vector, History.empty(), 0.0)
            for query, vector in zip(part, vectors, strict=True)
        ]
        retrieved = retriever.retrieve(channel_queries, [depth] * len(part), "query")
        for query, candidates in zip(part, retrieved, strict=True):
            rows = candidates.rows
            right = np.isin(rows, query.relevant)
            # Judged wrong and not retrieved: easy negatives, but a person's judgement.
            unretrieved = np.setdiff1d(query.irrelevant, rows)[: max(0, depth - len(rows))]
            ranked.append(
                RankedQuery(
                    query.text,
                    [*rows.tolist(), *unretrieved.tolist()],
                    [*right.astype(int).tolist(), *([0] * len(unretrieved))],
                    np.setdiff1d(query.relevant, rows).tolist(),
                )
            )
        advanced(len(part))
    return ranked


def build_lists(ranked: Sequence[RankedQuery], texts: Sequence[str], size: int, seed: int) -> Dataset:
    """Builds a cross-encoder's training lists: a few right items and near misses of each query.

    Args:
        ranked: Queries with candidates.
        texts: Text by item row.
        size: Items of a list; at most half of them are right.
        seed: Seed of the draws.

    Returns:
        A row for each query that has both right and wrong candidates: `query`, and `docs` and `labels` `[size]`.

    Raises:
        InputError: Where no query has both.
    """
    draw = np.random.default_rng(seed)
    columns: dict[str, list[Any]] = {"query": [], "docs": [], "labels": []}
    for query in ranked:
        right, wrong = _split_by_label(query)
        right = draw.permutation(right)[: max(1, size // 2)]
        wrong = _draw_near_misses(wrong, size - len(right), draw)
        if len(right) and len(wrong):
            columns["query"].append(query.text)
            columns["docs"].append([texts[row] for row in (*right, *wrong)])
            columns["labels"].append([1.0] * len(right) + [0.0] * len(wrong))
    _check_classes(len(columns["query"]), len(ranked))
    return Dataset.from_dict(columns)


def build_triples(ranked: Sequence[RankedQuery], texts: Sequence[str], per_query: int, seed: int) -> Dataset:
    """Builds an encoder's training rows.

    Args:
        ranked: Queries with candidates.
        texts: Text by item row.
        per_query: Right items of a query at most, so that frequent queries do not crowd out the others.
        seed: Seed of the draws.

    Returns:
        Rows of `anchor` (the query), `positive` (a right item) and `negative` (a near miss).

    Raises:
        InputError: Where no query has both a right item and a near miss.
    """
    draw = np.random.default_rng(seed)
    columns: dict[str, list[str]] = {"anchor": [], "positive": [], "negative": []}
    for query in ranked:
        right, wrong = _split_by_label(query)
        right = draw.permutation(right)[:per_query]
        for row, miss in zip(right, _draw_near_misses(wrong, len(right), draw), strict=False):
            # Two items can have the same text, which cannot be right and wrong.
            if texts[row] != texts[miss]:
                columns["anchor"].append(query.text)
                columns["positive"].append(texts[row])
                columns["negative"].append(texts[miss])
    _check_classes(len(columns["anchor"]), len(ranked))
    return Dataset.from_dict(columns)


def _split_by_label(query: RankedQuery) -> tuple[Rows, Rows]:
    """Returns the rows of right and of wrong candidates, best first; missed right items where no candidate is right."""
    rows, labels = np.asarray(query.rows, np.int32), np.asarray(query.labels, np.int32)
    right = rows[labels == 1]
    return right if len(right) else np.asarray(query.missed, np.int32), rows[labels == 0]


def _draw_near_misses(wrong: Rows, count: int, draw: np.random.Generator) -> Rows:
    weights = 1.0 / (np.arange(len(wrong)) + NEAR_MISS_OFFSET)
    size = min(count, len(wrong))
    return draw.choice(wrong, size, replace=False, p=weights / weights.sum()) if size else wrong[:0]


def _check_classes(rows: int, queries: int) -> None:
    if not rows:
        raise InputError(
            f"none of {queries:,} queries has both right and wrong candidates; allowed: both classes. With one class "
            "there is nothing to learn: check the item ids and grades, or do without text training."
        )
