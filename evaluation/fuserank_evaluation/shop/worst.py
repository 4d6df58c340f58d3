"""The requests that are answered worst, with what was answered, what was wanted, and where it was lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fuserank_evaluation.metrics.measures import CUT
from fuserank_evaluation.ranking.results import MAIN
from fuserank_evaluation.shop.methods import PRODUCT
from fuserank_evaluation.shop.requests import RequestSet

MOST, SHOWN_TITLES = 20, 5
WORST_NDCG = 0.5  # a request that is answered better is none of the worst


@dataclass(frozen=True)
class WorstRequest:
    """A request that is answered badly.

    Attributes:
        query: Its text.
        known_user: Whether the user had events before.
        ours: The product's nDCG@10.
        baseline: The best other method of the set.
        theirs: Its nDCG@10.
        answered: Titles of the first items that were answered.
        wanted: Titles of right answers.
        lost: Where the right answers were lost: `not found`, `ranked below ten`, or `ranked low` within them.
    """

    query: str
    known_user: bool
    ours: float
    baseline: str
    theirs: float
    answered: tuple[str, ...]
    wanted: tuple[str, ...]
    lost: str


def worst_requests(requests: RequestSet, titles: Sequence[str], count: int = MOST) -> list[WorstRequest]:
    """The searches with the least nDCG@10, each query once; those that another method answers best come first."""
    baseline = requests.best_baseline or PRODUCT
    ours, theirs = requests.values[PRODUCT][MAIN], requests.values[baseline][MAIN]
    order = [int(i) for i in np.lexsort((-theirs, ours)) if ours[i] < WORST_NDCG]
    first = {requests.queries[i]: i for i in reversed(order)}
    return [
        WorstRequest(
            query=requests.queries[i],
            known_user=requests.known[i],
            ours=float(ours[i]),
            baseline=baseline,
            theirs=float(theirs[i]),
            answered=tuple(titles[row] for row in requests.ranked[PRODUCT][i][:SHOWN_TITLES]),
            wanted=tuple(titles[row] for row in requests.relevant[i][:SHOWN_TITLES]),
            lost=where_lost(requests, i),
        )
        for i in [i for i in order if first[requests.queries[i]] == i][:count]
    ]


def where_lost(requests: RequestSet, i: int) -> str:
    """Where the right answers of a request were lost."""
    relevant = requests.relevant[i]
    if np.isin(relevant, requests.ranked[PRODUCT][i][:CUT]).any():
        return "ranked low"
    return "ranked below ten" if np.isin(relevant, requests.retrieved[i]).any() else "not found"


def lost_shares(requests: RequestSet) -> dict[str, float]:
    """Share of all requests whose right answers are `not found` and `ranked below ten`, and of those without answer."""
    lost = [where_lost(requests, i) for i in range(len(requests))]
    shares = {name: lost.count(name) / len(lost) for name in ("not found", "ranked below ten")}
    return {**shares, "no answer": float(np.mean([not len(rows) for rows in requests.ranked[PRODUCT]]))}
