"""Cases with known answers, from a log: who came in its last weeks, what was known before, what they then bought.

Whatever a ranker may see of a case lies before the cut; what lies behind it is only ever the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fuserank_ensemble.interactions.history import History
from fuserank_export.sources.interactions import Interactions
from fuserank_export.training.cases.window import snapshot_before

SEED = 13
DAY = 86_400
WINDOW_DAYS = 28
SEARCH_CASES = 3_000
NEW_ITEM_CASES = 1_000
NOBODY = -1  # the row of a user of whom nothing is known

Rows = NDArray[np.int32]


@dataclass(frozen=True)
class RankingCases:
    """Requests, and the items that are right.

    Attributes:
        name: Of the set.
        users: Row in the log's `user_ids` of who asks, `NOBODY` for somebody new, int32 `[cases]`.
        queries: What is asked, empty for a recommendation, `[cases]`.
        seen: What each had before, `[cases]`.
        places: Where each usually was before, by kind of place, `[cases]`.
        relevant: Item rows that are right, distinct and at least one, `[cases]`.
        now: When they ask, epoch seconds.
        exclude_seen: Whether items that the user had before are no answer.
    """

    name: str
    users: NDArray[np.int32]
    queries: list[str]
    seen: list[History]
    places: Sequence[Mapping[str, str]]
    relevant: list[Rows]
    now: float
    exclude_seen: bool = False

    def __len__(self) -> int:
        return len(self.users)

    @property
    def searches(self) -> bool:
        """Whether there are queries."""
        return any(self.queries)

    def without_history(self) -> RankingCases:
        """The same questions from somebody new."""
        count = len(self)
        return replace(
            self,
            name=f"{self.name}_new_user",
            users=np.full(count, NOBODY, np.int32),
            seen=[History.empty()] * count,
            places=[{}] * count,
        )

    def without_query(self) -> RankingCases:
        """The same users with the same answers, who do not say what they look for."""
        return replace(self, name=f"{self.name}_user_only", queries=[""] * len(self))

    def new_to_user(self) -> RankingCases:
        """What each user had for the first time; users who had nothing new are left out, since nothing is right."""
        relevant = [np.setdiff1d(right, seen.rows) for right, seen in zip(self.relevant, self.seen, strict=True)]
        kept = [i for i, right in enumerate(relevant) if len(right)]
        return RankingCases(
            f"{self.name}_new",
            self.users[kept],
            [self.queries[i] for i in kept],
            [self.seen[i] for i in kept],
            [self.places[i] for i in kept],
            [relevant[i] for i in kept],
            self.now,
            exclude_seen=True,
        )


def last_window(log: Interactions) -> float:
    """Where the log's last 28 days begin, epoch seconds."""
    return float(log.timestamp[-1]) + 1 - WINDOW_DAYS * DAY


def search_cases(log: Interactions, types: NDArray[np.object_], cut: float, count: int, seed: int) -> RankingCases:
    """Searches for a product type by those who then bought of it.

    Args:
        log: The log; what lies from the cut on is the answer.
        types: Each item's product type, None where unknown, `[items]`.
        cut: Epoch seconds.
        count: How many (user, type) pairs to draw at most.
        seed: Of the draw.
    """
    return _drawn("search", log, _bought(log, types, cut), cut, count, seed)


def new_item_cases(log: Interactions, types: NDArray[np.object_], cut: float, count: int, seed: int) -> RankingCases:
    """Searches whose right answers are items that nobody had before the cut; for the rest see `search_cases`."""
    bought = _bought(log, types, cut)
    known = np.unique(log.item[log.timestamp < cut])
    return _drawn("new_item", log, bought[~bought["item"].isin(known)], cut, count, seed)


def recommendation_cases(log: Interactions, cut: float, end: float = np.inf) -> RankingCases:
    """Every user with events before the cut and from there to `end`; right is each item had then."""
    inside = (log.timestamp >= cut) & (log.timestamp < end)
    bought = pd.DataFrame({"user": log.user[inside], "item": log.item[inside]}).drop_duplicates()
    known = np.unique(log.user[log.timestamp < cut])
    right = bought[bought["user"].isin(known)].groupby("user")["item"].agg(list)
    return _cases("recommendation", log, right.index.to_numpy(np.int32), [""] * len(right), list(right), cut)


def _bought(log: Interactions, types: NDArray[np.object_], cut: float) -> pd.DataFrame:
    """Distinct (user, item) of the events from the cut on, with the item's type as the query."""
    inside = log.timestamp >= cut
    bought = pd.DataFrame({"user": log.user[inside], "item": log.item[inside]}).drop_duplicates()
    bought["query"] = types[bought["item"]]
    return bought.dropna()


def _drawn(name: str, log: Interactions, bought: pd.DataFrame, cut: float, count: int, seed: int) -> RankingCases:
    right = bought.groupby(["user", "query"])["item"].agg(list)
    right = right.sample(min(count, len(right)), random_state=seed)
    users = right.index.get_level_values("user").to_numpy(np.int32)
    return _cases(name, log, users, [str(query) for _, query in right.index], list(right), cut)


def _cases(
    name: str,
    log: Interactions,
    users: NDArray[np.int32],
    queries: list[str],
    right: Sequence[Sequence[Any]],
    cut: float,
) -> RankingCases:
    past = snapshot_before(log, cut)
    seen, places = [past.at(int(user)) for user in users], [past.places(int(user)) for user in users]
    return RankingCases(name, users, queries, seen, places, [np.asarray(rows, np.int32) for rows in right], cut)
