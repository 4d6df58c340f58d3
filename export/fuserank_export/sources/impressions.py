"""What a shop showed: the rows of a log that tell nothing of what anybody did, kept apart from those that do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fuserank_export.sources.columns.codes import Blocks, Codes


@dataclass(frozen=True)
class Impressions:
    """Items as they were shown, as parallel arrays sorted by timestamp.

    Attributes:
        user: Position in the log's `user_ids`; from `len(user_ids)` on, users who did nothing else.
            # [rows] int32
        item: Row number in the catalogue.  # [rows] int32
        timestamp: Epoch seconds, UTC.  # [rows] int64
        query: Position in `queries`, -1 for none.  # [rows] int32
        position: Place in the list that was shown, from 1; 0 where unknown.  # [rows] int32
        session: A hash of the session's id; 0 for none. Only equality means something.  # [rows] uint64
        queries: Distinct queries under which something was shown, sorted by their UTF-8 bytes.
    """

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    timestamp: NDArray[np.int64]
    query: NDArray[np.int32]
    position: NDArray[np.int32]
    session: NDArray[np.uint64]
    queries: list[str]

    def __len__(self) -> int:
        return len(self.timestamp)

    @classmethod
    def empty(cls) -> Self:
        """Those of a log that says nothing of what was shown."""
        return cls(
            user=np.empty(0, np.int32),
            item=np.empty(0, np.int32),
            timestamp=np.empty(0, np.int64),
            query=np.empty(0, np.int32),
            position=np.empty(0, np.int32),
            session=np.empty(0, np.uint64),
            queries=[],
        )


@dataclass
class ShownRows:
    """The kept impressions of all chunks so far."""

    users: Codes = field(default_factory=Codes)
    queries: Codes = field(default_factory=Codes)
    blocks: Blocks = field(default_factory=Blocks)

    def add(
        self,
        user_ids: NDArray[np.object_],
        item: NDArray[np.int32],
        timestamp: NDArray[np.int64],
        query: NDArray[np.object_],
        position: NDArray[np.int32],
        session: NDArray[np.object_],
    ) -> None:
        """Keeps sound rows; texts are None where missing."""
        if not len(item):
            return
        self.blocks.append("user", self.users.encode(user_ids))
        self.blocks.append("item", item)
        self.blocks.append("timestamp", timestamp)
        self.blocks.append("query", self.queries.encode(query))
        self.blocks.append("position", position)
        # Sessions are as many as visits: a hash takes 8 bytes a row, however many there are.
        named = pd.notna(session)
        hashed = np.zeros(len(session), np.uint64)
        hashed[named] = pd.util.hash_array(session[named], categorize=True)
        self.blocks.append("session", hashed)

    def finish(self, user_ids: list[str]) -> Impressions:
        """All kept rows in order of time; `user_ids` are those who did something."""
        if not self.blocks:
            return Impressions.empty()
        columns = self.blocks.joined("timestamp")
        codes, shown_to = self.users.sort(columns["user"])
        known = pd.Index(user_ids, dtype=object).get_indexer(pd.Index(shown_to, dtype=object)).astype(np.int32)
        only_shown = known < 0
        known[only_shown] = len(user_ids) + np.arange(int(only_shown.sum()), dtype=np.int32)
        query, queries = self.queries.sort(columns["query"])
        return Impressions(
            user=known[codes],
            item=columns["item"].astype(np.int32, copy=False),
            timestamp=columns["timestamp"].astype(np.int64, copy=False),
            query=query,
            position=columns["position"].astype(np.int32, copy=False),
            session=columns["session"].astype(np.uint64, copy=False),
            queries=queries,
        )
