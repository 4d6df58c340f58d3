"""Impressions: the rows of a log that say which items were shown, kept apart from events."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fuserank_export.sources.columns.codes import ColumnBlocks, TextCodes


@dataclass(frozen=True)
class Impressions:
    """Items that were shown, as parallel arrays sorted by timestamp.

    Attributes:
        user: Position in the log's `user_ids`; from `len(user_ids)` on, users without an event.  # [rows] int32
        item: Row number in the catalogue.  # [rows] int32
        timestamp: Epoch seconds, UTC.  # [rows] int64
        query: Position in `queries`, -1 for none.  # [rows] int32
        position: Place in the list that was shown, from 1; 0 where unknown.  # [rows] int32
        session: Hash of the session's id, to be compared for equality only; 0 for none.  # [rows] uint64
        propensity: The probability with which the item was shown there; NaN where unknown.  # [rows] float32
        bundle: Position in `bundles` of what answered, -1 for none.  # [rows] int32
        queries: Distinct queries for which items were shown, sorted by their UTF-8 bytes.
        bundles: Ids of the bundles that answered, sorted by their UTF-8 bytes.
    """

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    timestamp: NDArray[np.int64]
    query: NDArray[np.int32]
    position: NDArray[np.int32]
    session: NDArray[np.uint64]
    propensity: NDArray[np.float32]
    bundle: NDArray[np.int32]
    queries: list[str]
    bundles: list[str]

    def __len__(self) -> int:
        return len(self.timestamp)

    def before(self, moment: float) -> Self:
        """Returns the impressions before a moment, epoch seconds."""
        kept = self.timestamp < moment
        columns: dict[str, Any] = {column.name: getattr(self, column.name) for column in fields(self)}
        cut: dict[str, Any] = {name: of[kept] for name, of in columns.items() if isinstance(of, np.ndarray)}
        return replace(self, **cut)

    @classmethod
    def empty(cls) -> Self:
        """Returns no impressions."""
        return cls(
            user=np.empty(0, np.int32),
            item=np.empty(0, np.int32),
            timestamp=np.empty(0, np.int64),
            query=np.empty(0, np.int32),
            position=np.empty(0, np.int32),
            session=np.empty(0, np.uint64),
            propensity=np.empty(0, np.float32),
            bundle=np.empty(0, np.int32),
            queries=[],
            bundles=[],
        )


@dataclass
class ImpressionRows:
    """Collects the kept impressions of all chunks.

    Attributes:
        users: Codes of the user ids.
        queries: Codes of the queries.
        bundles: Codes of the bundles that answered.
        blocks: The kept impressions.
    """

    users: TextCodes = field(default_factory=TextCodes)
    queries: TextCodes = field(default_factory=TextCodes)
    bundles: TextCodes = field(default_factory=TextCodes)
    blocks: ColumnBlocks = field(default_factory=ColumnBlocks)

    def add(
        self,
        user_ids: NDArray[np.object_],
        item: NDArray[np.int32],
        timestamp: NDArray[np.int64],
        query: NDArray[np.object_],
        position: NDArray[np.int32],
        session: NDArray[np.object_],
        propensity: NDArray[np.float32],
        bundle: NDArray[np.object_],
    ) -> None:
        """Keeps valid rows, each argument `[rows]`; what is missing is None, a position 0, a propensity NaN."""
        if not len(item):
            return
        self.blocks.append("user", self.users.encode(user_ids))
        self.blocks.append("item", item)
        self.blocks.append("timestamp", timestamp)
        self.blocks.append("query", self.queries.encode(query))
        self.blocks.append("position", position)
        # There are as many sessions as visits: a hash takes 8 bytes a row, however many there are.
        present = pd.notna(session)
        hashed = np.zeros(len(session), np.uint64)
        hashed[present] = pd.util.hash_array(session[present], categorize=True)
        self.blocks.append("session", hashed)
        self.blocks.append("propensity", propensity)
        self.blocks.append("bundle", self.bundles.encode(bundle))

    def finish(self, user_ids: list[str]) -> Impressions:
        """Returns all kept impressions in order of time; `user_ids` are the users with an event."""
        if not self.blocks:
            return Impressions.empty()
        columns = self.blocks.join("timestamp")
        codes, names = self.users.sort(columns["user"])
        users = pd.Index(user_ids, dtype=object).get_indexer(pd.Index(names, dtype=object)).astype(np.int32)
        without_events = users < 0
        users[without_events] = len(user_ids) + np.arange(int(without_events.sum()), dtype=np.int32)
        query, queries = self.queries.sort(columns["query"])
        bundle, bundles = self.bundles.sort(columns["bundle"])
        return Impressions(
            user=users[codes],
            item=columns["item"].astype(np.int32, copy=False),
            timestamp=columns["timestamp"].astype(np.int64, copy=False),
            query=query,
            position=columns["position"].astype(np.int32, copy=False),
            session=columns["session"].astype(np.uint64, copy=False),
            propensity=columns["propensity"].astype(np.float32, copy=False),
            bundle=bundle,
            queries=queries,
            bundles=bundles,
        )
