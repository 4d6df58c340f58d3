"""Ranking cases from a log: requests of its last weeks, the users' histories before them, and what was then bought.

Everything that a ranking method may see of a case lies before the cut; events from the cut on are only ever answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY, History
from fuserank_export.sources.interactions import Interactions
from fuserank_export.training.cases.training_query import Kind
from fuserank_export.training.cases.window import snapshot_before

SEED = 13
WINDOW_DAYS = 28
WINDOW_SECONDS = WINDOW_DAYS * SECONDS_PER_DAY
SEARCH_CASES = 3_000
NEW_ITEM_CASES = 1_000
NOBODY = -1  # the row of a user of whom nothing is known

Rows = NDArray[np.int32]  # of items in the catalogue


@dataclass(frozen=True)
class RankingCases:
    """A set of requests, each with the items that answer it.

    Attributes:
        name: The set's name.
        users: Each user's row in the log's `user_ids`, `NOBODY` for a new user, int32 `[cases]`.
        queries: Query texts, empty for a recommendation, `[cases]`.
        seen: Each user's history before the request, `[cases]`.
        places: Where each user usually was before, by kind of place, `[cases]`.
        segments: What the shop said of each user by then: values by column, `[cases]`.
        relevant: Relevant item rows, distinct and at least one, `[cases]`.
        now: Time of the requests, epoch seconds.
        excluded: Item rows that are left out of each case's answers, all packages of what the user had; None for none.
    """

    name: str
    users: NDArray[np.int32]
    queries: list[str]
    seen: list[History]
    places: Sequence[Mapping[str, str]]
    segments: Sequence[Mapping[str, Sequence[str]]]
    relevant: list[Rows]
    now: float
    excluded: Sequence[Rows] | None = None

    def __len__(self) -> int:
        return len(self.users)

    @property
    def is_search(self) -> bool:
        """Whether the requests have queries."""
        return any(self.queries)

    @property
    def kind(self) -> Kind:
        """The kind of request that the set is evaluated as; see `fuserank_export.training.cases.Kind`."""
        if not self.is_search:
            return "user" if self.excluded is None else "discover"
        return "both" if any(len(history) for history in self.seen) else "query"

    def kind_of(self, case: int) -> Kind:
        """The kind of one request: a search of a user without a history is a `query` in any set."""
        return "query" if self.queries[case] and not len(self.seen[case]) else self.kind

    def without_history(self) -> RankingCases:
        """The same requests by new users."""
        count = len(self)
        return replace(
            self,
            name=f"{self.name}_new_user",
            users=np.full(count, NOBODY, np.int32),
            seen=[History.empty()] * count,
            places=[{}] * count,
            segments=[{}] * count,
        )

    def without_query(self) -> RankingCases:
        """The same users with the same answers, but no queries."""
        return replace(self, name=f"{self.name}_user_only", queries=[""] * len(self))

    def part(self, kept: Sequence[int]) -> RankingCases:
        """Some of the cases, by their positions."""
        columns = ("queries", "seen", "places", "segments", "relevant")
        lists: dict[str, Any] = {name: [getattr(self, name)[i] for i in kept] for name in columns}
        excluded = None if self.excluded is None else [self.excluded[i] for i in kept]
        return replace(self, users=self.users[list(kept)], excluded=excluded, **lists)

    def new_to_user(self, items: Items) -> RankingCases:
        """The cases with only those answers whose product is new to their user; cases without any are left out.

        Another package of what the user had is no new product, as for the option `exclude_seen`.
        """
        excluded = [items.of_same_products(seen.rows) for seen in self.seen]
        relevant = [np.setdiff1d(rows, had) for rows, had in zip(self.relevant, excluded, strict=True)]
        new = replace(self, name=f"{self.name}_new", relevant=relevant, excluded=excluded)
        return new.part([i for i, rows in enumerate(relevant) if len(rows)])


def last_window(log: Interactions) -> float:
    """Where the log's last 28 days begin, epoch seconds."""
    return float(log.timestamp[-1]) + 1 - WINDOW_SECONDS


def search_cases(log: Interactions, types: NDArray[np.object_], cut: float, count: int, seed: int) -> RankingCases:
    """Draws searches for a product type by users who then bought items of it.

    Args:
        log: The log; events from the cut on are the answers.
        types: Each item's product type, None where unknown, `[items]`.
        cut: Epoch seconds.
        count: How many (user, type) pairs to draw at most.
        seed: Seed of the draw.
    """
    return _draw_searches("search", log, _purchases_since(log, types, cut), cut, count, seed)


def new_item_cases(log: Interactions, types: NDArray[np.object_], cut: float, count: int, seed: int) -> RankingCases:
    """Draws searches answered by items that nobody had before the cut; arguments as for `search_cases`."""
    bought = _purchases_since(log, types, cut)
    known = np.unique(log.item[log.timestamp < cut])
    return _draw_searches("new_item", log, bought[~bought["item"].isin(known)], cut, count, seed)


def logged_searches(log: Interactions, cut: float, count: int, seed: int) -> RankingCases:
    """Draws searches that users made, answered by the items that they then had under the same query.

    Args:
        log: The log; events with a query from the cut on are the answers.
        cut: Epoch seconds.
        count: How many (user, query) pairs to draw at most.
        seed: Seed of the draw.
    """
    asked = (log.timestamp >= cut) & (log.query >= 0)
    taken = pd.DataFrame({"user": log.user[asked], "item": log.item[asked]})
    taken["query"] = np.asarray(log.queries, object)[log.query[asked]] if len(taken) else ""
    return _draw_searches("search", log, taken.drop_duplicates(), cut, count, seed)


def recommendation_cases(log: Interactions, cut: float, end: float = np.inf, known_only: bool = True) -> RankingCases:
    """Makes a case of every user with events from the cut to `end`; all those items are relevant.

    Args:
        log: The log.
        cut: Epoch seconds.
        end: Epoch seconds; later events are no answers.
        known_only: Whether users without an event before the cut are left out.
    """
    inside = (log.timestamp >= cut) & (log.timestamp < end)
    bought = pd.DataFrame({"user": log.user[inside], "item": log.item[inside]}).drop_duplicates()
    if known_only:
        bought = bought[bought["user"].isin(np.unique(log.user[log.timestamp < cut]))]
    relevant = bought.groupby("user")["item"].agg(list)
    users = relevant.index.to_numpy(np.int32)
    return _cases("recommendation", log, users, [""] * len(users), list(relevant), cut)


def _purchases_since(log: Interactions, types: NDArray[np.object_], cut: float) -> pd.DataFrame:
    """Distinct (user, item) pairs of the events from the cut on, with the item's type as the query."""
    inside = log.timestamp >= cut
    bought = pd.DataFrame({"user": log.user[inside], "item": log.item[inside]}).drop_duplicates()
    bought["query"] = types[bought["item"]]
    return bought.dropna()


def _draw_searches(
    name: str, log: Interactions, bought: pd.DataFrame, cut: float, count: int, seed: int
) -> RankingCases:
    relevant = bought.groupby(["user", "query"])["item"].agg(list)
    relevant = relevant.sample(min(count, len(relevant)), random_state=seed)
    users = relevant.index.get_level_values("user").to_numpy(np.int32)
    return _cases(name, log, users, [str(query) for _, query in relevant.index], list(relevant), cut)


def _cases(
    name: str,
    log: Interactions,
    users: NDArray[np.int32],
    queries: list[str],
    relevant: Sequence[Sequence[Any]],
    cut: float,
) -> RankingCases:
    histories = snapshot_before(log, cut)
    return RankingCases(
        name,
        users,
        queries,
        [histories.at(int(user)) for user in users],
        [histories.places(int(user)) for user in users],
        [log.segments.values(log.user_ids[user], cut) for user in users],
        [np.asarray(rows, np.int32) for rows in relevant],
        cut,
    )
