"""The requests that are answered worst, with what was answered, what was wanted, and where it was lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from fuserank_evaluation.metrics.measures import CUT
from fuserank_evaluation.ranking.results import MAIN
from fuserank_evaluation.shop.methods import PRODUCT
from fuserank_evaluation.shop.requests import RequestSet

MOST, SHOWN_TITLES = 20, 5
WORST_NDCG = 0.5  # a request that is answered better is none of the worst
Lost = Literal[
    "no answer",  # the list is empty
    "not found",  # by retrieval
    "ranked below ten",
    "ranked low",  # within the first ten
]


@dataclass(frozen=True)
class WorstRequest:
    """A request that is answered badly.

    Attributes:
        query: Its text.
        known_user: Whether the user had events before.
        ours: The product's nDCG@10.
        baseline: The best other method of the set; empty where there is none.
        theirs: Its nDCG@10.
        answered: Titles of the first items that were answered.
        wanted: Titles of right answers.
        lost: Where the right answers were lost.
    """

    query: str
    known_user: bool
    ours: float
    baseline: str
    theirs: float
    answered: tuple[str, ...]
    wanted: tuple[str, ...]
    lost: Lost


def worst_requests(requests: RequestSet, titles: Sequence[str], count: int = MOST) -> list[WorstRequest]:
    """The searches with the least nDCG@10, each query once; those that another method answers best come first."""
    baseline = requests.best_baseline
    ours = requests.values[PRODUCT][MAIN]
    theirs = requests.values[baseline][MAIN] if baseline else np.zeros(len(ours))
    worst: dict[str, int] = {}
    for i in np.lexsort((-theirs, ours)).tolist():
        if ours[i] < WORST_NDCG:
            worst.setdefault(requests.queries[i], i)
    return [
        WorstRequest(
            query=query,
            known_user=requests.known[i],
            ours=float(ours[i]),
            baseline=baseline or "",
            theirs=float(theirs[i]),
            answered=tuple(titles[row] for row in requests.ranked[PRODUCT][i][:SHOWN_TITLES]),
            wanted=tuple(titles[row] for row in requests.relevant[i][:SHOWN_TITLES]),
            lost=where_lost(requests, i),
        )
        for query, i in list(worst.items())[:count]
    ]


def where_lost(requests: RequestSet, i: int) -> Lost:
    """Where the right answers of a request were lost."""
    relevant, answered = requests.relevant[i], requests.ranked[PRODUCT][i]
    if not len(answered):
        return "no answer"
    if np.isin(relevant, answered[:CUT]).any():
        return "ranked low"
    return "ranked below ten" if np.isin(relevant, requests.retrieved[i]).any() else "not found"


def lost_shares(requests: RequestSet) -> dict[Lost, float]:
    """Share of all requests without a right answer in the first ten, by where it was lost."""
    lost = Counter(where_lost(requests, i) for i in range(len(requests)))
    return {name: lost[name] / len(requests) for name in get_args(Lost) if name != "ranked low"}
