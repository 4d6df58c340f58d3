"""Where the product is better or worse: by user, by popularity of the items, by length of the query, by category."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.filters import CATEGORY_SEPARATOR
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.retrieval.lexical.words import has_han, split_characters
from fuserank_evaluation.datasets.cases import SEED, Rows
from fuserank_evaluation.metrics.measures import MEASURES, measure
from fuserank_evaluation.metrics.significance import Comparison, compare
from fuserank_evaluation.ranking.results import MAIN
from fuserank_evaluation.shop.methods import PRODUCT
from fuserank_evaluation.shop.requests import RequestSet

LEAST_CASES = 10  # of a segment: fewer show nothing
MOST_CATEGORIES = 10
SHORT_WORDS, SHORT_CHARACTERS = 2, 4  # of a short query; the second where it is Chinese


@dataclass(frozen=True)
class Segment:
    """A part of a set of requests.

    Attributes:
        requests: The set's name.
        kind: What tells the parts apart, such as `user`.
        name: Which part, such as `new`.
        cases: How many requests it has.
        ours: The product's nDCG@10.
        baseline: The best other method of the whole set.
        theirs: Its nDCG@10.
        comparison: Of the two.
    """

    requests: str
    kind: str
    name: str
    cases: int
    ours: float
    baseline: str
    theirs: float
    comparison: Comparison


def segments(requests: RequestSet, items: Items) -> list[Segment]:
    """The parts of a set that have cases enough, beside the best other method of the whole set."""
    baseline = requests.best_baseline
    if baseline is None or not len(requests):
        return []
    parts = list(_parts(requests, items))
    made = [_part(requests, baseline, kind, name, kept) for kind, name, kept in parts]
    made += [_by_popularity(requests, baseline, name) for name in ("head", "tail")]
    return [segment for segment in made if segment is not None]


def _parts(requests: RequestSet, items: Items) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    known = np.asarray(requests.known)
    if known.any() and not known.all():
        yield "user", "known", known
        yield "user", "new", ~known
    if requests.is_search:
        short = np.asarray([is_short(query) for query in requests.queries])
        yield "query", "short", short
        yield "query", "long", ~short
    departments = _departments(requests.relevant, items)
    for name, _ in Counter(filter(None, departments)).most_common(MOST_CATEGORIES):
        yield "category", str(name), np.asarray([department == name for department in departments])


def is_short(query: str) -> bool:
    """Whether a query has at most two words, or four characters where it is Chinese."""
    return len(split_characters(query)) <= (SHORT_CHARACTERS if has_han(query) else SHORT_WORDS)


def _departments(relevant: list[Rows], items: Items) -> list[str | None]:
    """The top category of most right answers of each request; None where they have none."""
    if not items.categories:
        return [None] * len(relevant)
    tops = [path.split(CATEGORY_SEPARATOR, 1)[0] for path in items.columns.by_name["category"].words]
    found = [Counter(tops[code] for code in items.category[rows] if code >= 0).most_common(1) for rows in relevant]
    return [most[0][0] if most else None for most in found]


def _part(requests: RequestSet, baseline: str, kind: str, name: str, kept: NDArray[np.bool_]) -> Segment | None:
    count = int(kept.sum())
    comparison = requests.against(baseline, kept) if count >= LEAST_CASES else None
    if comparison is None:
        return None
    ours, theirs = (float(requests.values[method][MAIN][kept].mean()) for method in (PRODUCT, baseline))
    return Segment(requests.name, kind, name, count, ours, baseline, theirs, comparison)


def _by_popularity(requests: RequestSet, baseline: str, name: str) -> Segment | None:
    """The lists against the popular right answers alone, or against the others alone."""
    wanted = [rows[head[rows] == (name == "head")] for rows, head in zip(requests.relevant, requests.head, strict=True)]
    kept = [i for i, rows in enumerate(wanted) if len(rows)]
    if len(kept) < LEAST_CASES or not any(head.any() for head in requests.head):
        return None
    ours, theirs = (
        measure([requests.ranked[method][i] for i in kept], [wanted[i] for i in kept], {MAIN: MEASURES[MAIN]})[MAIN]
        for method in (PRODUCT, baseline)
    )
    comparison = compare(ours, theirs, SEED)
    return Segment(
        requests.name, "item", name, len(kept), float(ours.mean()), baseline, float(theirs.mean()), comparison
    )
