"""The log as it stood at a moment: all that a baseline may learn from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fuserank_export.sources.interactions import Interactions

DAY = 86_400


@dataclass(frozen=True)
class Baskets:
    """What each user had on each day: in a log without sessions a day is the basket.

    Attributes:
        user: Whose, increasing, int32 `[baskets]`; of one user in order of time.
        position: The basket's place among its user's, from 0, int64 `[baskets]`.
        count: How many its user has, int64 `[baskets]`.
        items: 1 where the basket has the item, float32 `[baskets, items]`.
    """

    user: NDArray[np.int32]
    position: NDArray[np.int64]
    count: NDArray[np.int64]
    items: csr_matrix

    def summed(self, weights: NDArray[Any], users: int) -> csr_matrix:
        """Adds up each user's baskets by their weights `[baskets]`: float32 `[users, items]`."""
        kept = np.flatnonzero(weights)
        by_user = csr_matrix((weights[kept].astype(np.float32), (self.user[kept], kept)), shape=(users, len(self.user)))
        return csr_matrix(by_user @ self.items)


@dataclass(frozen=True)
class PastLog:
    """Events before a moment.

    There is one user more than the log names, the last, who has no events: row -1 is somebody new.

    Attributes:
        user: Row of the user of each event, int32 `[events]`.
        item: Row of its item, int32 `[events]`.
        timestamp: Epoch seconds, increasing, int64 `[events]`.
        users: How many there are, with the one who is new.
        catalog: How many items there are.
    """

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    timestamp: NDArray[np.int64]
    users: int
    catalog: int

    @classmethod
    def before(cls, log: Interactions, moment: float, catalog: int) -> PastLog:
        """What of a log lies before a moment, epoch seconds."""
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
        known: NDArray[np.int32] = order[: int((self.popularity > 0).sum())]
        return known

    @cached_property
    def baskets(self) -> Baskets:
        """The users' days."""
        events = pd.DataFrame({"user": self.user, "day": self.timestamp // DAY, "item": self.item}).drop_duplicates()
        by_basket = events.groupby(["user", "day"], sort=True)
        number = by_basket.ngroup().to_numpy()
        user = by_basket.size().index.get_level_values("user").to_numpy().astype(np.int32)
        of_user = pd.Series(user).groupby(user)
        ones = np.ones(len(events), np.float32)
        return Baskets(
            user,
            of_user.cumcount().to_numpy().astype(np.int64),
            of_user.transform("size").to_numpy().astype(np.int64),
            csr_matrix((ones, (number, events["item"].to_numpy())), shape=(len(user), self.catalog)),
        )
