"""Counts the queries of a log that others may see: those that many have asked, or with differential privacy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from fuserank_ensemble.retrieval.lexical.phrases import phrase_key
from fuserank_export.checks import CheckedOptions
from fuserank_export.sources.interactions import Interactions
from fuserank_export.sources.report import InputError

SUGGEST_MIN_USERS = 5  # as for learned synonyms: fewer are no evidence of what people ask for
DELTA = 1e-6  # the probability with which more may be told than epsilon allows
QUERIES_OF_A_USER = 5  # that count under differential privacy: the noise grows with them
# How a user changes the counts at most: of so many queries, by so much in all, and by so much each.
ONE_USER = (QUERIES_OF_A_USER, QUERIES_OF_A_USER, 1)
_MOST_USERS = 2**20  # a threshold lies below it


@dataclass(frozen=True, kw_only=True)
class QueryPrivacy(CheckedOptions):
    """Which queries of the log are shown to others.

    Attributes:
        min_users: How many users must have asked one.
        epsilon: Bound of what the suggested queries tell of any one user, as differential privacy with `DELTA` defines
            it; None adds no noise.
    """

    min_users: Annotated[int, Meta(ge=1)] = SUGGEST_MIN_USERS
    epsilon: Annotated[float, Meta(gt=0, le=20)] | None = None

    def to_report(self) -> dict[str, Any]:
        """Returns it as the manifest has it."""
        noise = {} if self.epsilon is None else {"epsilon": self.epsilon, "delta": DELTA}
        return {"min_users": self.min_users, **noise}

    @classmethod
    def from_report(cls, report: dict[str, Any]) -> QueryPrivacy:
        """Returns what `to_report` wrote."""
        return cls(min_users=int(report["min_users"]), epsilon=report.get("epsilon"))


def count_queries(log: Interactions, privacy: QueryPrivacy) -> dict[str, int]:
    """Returns how often each query that may be shown was asked.

    Queries that differ in case and punctuation alone are one, as they are where they are suggested.

    Raises:
        InputError: Noise is wanted, and OpenDP is not installed.
    """
    if privacy.epsilon is not None:
        return _count_with_noise(log, privacy.epsilon, privacy.min_users)
    searched = log.query >= 0
    asked = np.bincount(log.query[searched], minlength=len(log.queries))
    keys = dict[str, int]()
    key = np.asarray([keys.setdefault(phrase_key(query), len(keys)) for query in log.queries], np.int64)
    users = max(len(log.user_ids), 1)
    pairs = np.unique(key[log.query[searched]] * users + log.user[searched])
    enough = np.bincount(pairs // users, minlength=len(keys)) >= privacy.min_users
    return {log.queries[at]: int(asked[at]) for at in np.flatnonzero(asked).tolist() if enough[key[at]]}


def _count_with_noise(log: Interactions, epsilon: float, least: int) -> dict[str, int]:
    """Returns how many users have asked each query, about.

    A user counts for their first `QUERIES_OF_A_USER` queries, once each; counts get Laplace noise, and only those above
    a threshold are told (Korolova et al., Releasing search queries and clicks privately, WWW 2009). Spellings are
    joined before they are counted, since which one is shown would tell of whoever typed it.
    """
    spelling = [" ".join(query.casefold().split()) for query in log.queries]
    users_of: dict[str, int] = {}
    of_user: dict[int, set[str]] = {}
    for row in np.flatnonzero(log.query >= 0).tolist():
        asked, query = of_user.setdefault(int(log.user[row]), set()), spelling[log.query[row]]
        if query not in asked and len(asked) < QUERIES_OF_A_USER:
            asked.add(query)
            users_of[query] = users_of.get(query, 0) + 1
    told = noisy_counts(epsilon)(users_of)
    return {query: int(count) for query, count in told.items() if count >= least}


def noisy_counts(epsilon: float) -> Any:
    """Returns OpenDP's measurement that maps counts by query to noisy ones, those above its threshold alone.

    Raises:
        InputError: OpenDP is not installed.
    """
    try:
        import opendp.prelude as dp  # noqa: PLC0415  an extra
    except ImportError:
        raise InputError("--suggest-epsilon: OpenDP is not installed. Run: pip install 'fuserank[privacy]'") from None
    dp.enable_features("contrib")
    counts = dp.map_domain(dp.atom_domain(T=str), dp.atom_domain(T=int))
    change = dp.l01inf_distance(dp.absolute_distance(T=int))

    def above(threshold: int) -> Any:
        return dp.m.make_laplace_threshold(counts, change, scale=QUERIES_OF_A_USER / epsilon, threshold=threshold)

    least = dp.binary_search(lambda users: above(int(users)).map(ONE_USER)[1] <= DELTA, (1, _MOST_USERS), T=int)
    return above(int(least))
