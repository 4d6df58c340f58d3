"""The log's events before a moment, as baselines learn from them: by event, by user and item, and by basket."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fuserank_ensemble.interactions.history import SECONDS_PER_DAY
from fuserank_export.sources.interactions import Interactions


@dataclass(frozen=True)
class Baskets:
    """The items that each user had on each day; a log without sessions takes a day as a basket.

    Attributes:
        user: User of each basket, increasing, a user's baskets in order of time, int32 `[baskets]`.
        position: The basket's place among those of its user, from 0, int64 `[baskets]`.
        count: How many baskets its user has, int64 `[baskets]`.
        items: 1 where the basket has the item, float32 `[baskets, items]`.
    """

    user: NDArray[np.int32]
    position: NDArray[np.int64]
    count: NDArray[np.int64]
    items: csr_matrix

    def weighted_sum(self, weights: NDArray[Any], users: int) -> csr_matrix:
        """Each user's sum of baskets by their weights `[baskets]`: float32 `[users, items]`."""
        kept = np.flatnonzero(weights)
        by_user = csr_matrix((weights[kept].astype(np.float32), (self.user[kept], kept)), shape=(users, len(self.user)))
        return csr_matrix(by_user @ self.items)


@dataclass(frozen=True)
class PastLog:
    """Events before a moment.

    It has one user more than the log, the last one, without events: row -1 stands for a new user.

    Attributes:
        user: User row of each event, int32 `[events]`.
        item: Item row of each event, int32 `[events]`.
        timestamp: Epoch seconds, increasing, int64 `[events]`.
        users: Number of users, with the new one.
        catalog: Number of items in the catalogue.
    """

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    timestamp: NDArray[np.int64]
    users: int
    catalog: int

    @classmethod
    def before(cls, log: Interactions, moment: float, catalog: int) -> PastLog:
        """Takes a log's events before a moment, epoch seconds."""
        past = log.timestamp < moment
        return cls(log.user[past], log.item[past], log.timestamp[past], len(log.user_ids) + 1, catalog)

    @cached_property
    def counts(self) -> csr_matrix:
        """Events by user and item, float32 `[users, items]`."""
        ones = np.ones(len(self.user), np.float32)
        counts = csr_matrix((ones, (self.user, self.item)), shape=(self.users, self.catalog))
        counts.sum_duplicates()
        return counts

    @cached_property
    def popularity(self) -> NDArray[np.float32]:
        """Events by item, float32 `[items]`."""
        return np.bincount(self.item, minlength=self.catalog).astype(np.float32)

    @cached_property
    def by_popularity(self) -> NDArray[np.int32]:
        """Rows of the items with events, most popular first."""
        order = np.argsort(-self.popularity, kind="stable").astype(np.int32)
        with_events: NDArray[np.int32] = order[: int((self.popularity > 0).sum())]
        return with_events

    @cached_property
    def baskets(self) -> Baskets:
        """The baskets of all users."""
        days = self.timestamp // int(SECONDS_PER_DAY)
        events = pd.DataFrame({"user": self.user, "day": days, "item": self.item}).drop_duplicates()
        by_basket = events.groupby(["user", "day"], sort=True)
        number = by_basket.ngroup().to_numpy()
        user = by_basket.size().index.get_level_values("user").to_numpy().astype(np.int32)
        by_user = pd.Series(user).groupby(user)
        ones = np.ones(len(events), np.float32)
        return Baskets(
            user,
            by_user.cumcount().to_numpy().astype(np.int64),
            by_user.transform("size").to_numpy().astype(np.int64),
            csr_matrix((ones, (number, events["item"].to_numpy())), shape=(len(user), self.catalog)),
        )
