"""A shop's log of interactions as compact arrays in order of time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from fuserank_ensemble.interactions.events import EventTable, NegativeEvents
from fuserank_ensemble.interactions.segments import UserSegments
from fuserank_export.sources.impressions import Impressions
from fuserank_export.sources.report import RowReport


@dataclass(frozen=True)
class Interactions:
    """A log as parallel arrays, sorted by timestamp; rows of one second keep the file's order.

    Attributes:
        user: Position in `user_ids`.  # [rows] int32
        item: Row number in the catalogue.  # [rows] int32
        event: Position in `EVENTS`.  # [rows] uint8
        timestamp: Epoch seconds, UTC.  # [rows] int64
        value: Amount paid or rating given; NaN where missing.  # [rows] float32
        query: Position in `queries`, -1 for none.  # [rows] int32
        user_ids: Sorted by their UTF-8 bytes.
        queries: Distinct queries, sorted by their UTF-8 bytes.
        places: For each of `PLACES` that the log names, its names and the position of each row's, -1 for none.
            # [rows] int32
        report: The counts of rows read, kept and rejected.
        impressions: Items that were shown. They are in none of the other arrays, because they are no events.
        segments: What the shop says of its users, those without an event included.
        weight: What each event counts, see `EventTable`; None counts each as 1.  # [rows] float32
        negatives: Events that say that an item is not wanted. They are in none of the other arrays.
        table: What each kind of event counts: the priors, until `weigh_log` has learned it.
    """

    user: npt.NDArray[np.int32]
    item: npt.NDArray[np.int32]
    event: npt.NDArray[np.uint8]
    timestamp: npt.NDArray[np.int64]
    value: npt.NDArray[np.float32]
    query: npt.NDArray[np.int32]
    user_ids: list[str]
    queries: list[str]
    report: RowReport
    places: dict[str, tuple[npt.NDArray[np.int32], list[str]]] = field(default_factory=dict)
    impressions: Impressions = field(default_factory=Impressions.empty)
    segments: UserSegments = field(default_factory=UserSegments.empty)
    weight: npt.NDArray[np.float32] | None = None
    negatives: NegativeEvents = field(default_factory=NegativeEvents.empty)
    table: EventTable = field(default_factory=EventTable)

    @property
    def weights(self) -> npt.NDArray[np.float32]:
        """What each event counts, float32 `[rows]`."""
        return np.ones(len(self), np.float32) if self.weight is None else self.weight

    @property
    def has_queries(self) -> bool:
        """Whether any event says what was searched for."""
        return bool((self.query >= 0).any())

    def before(self, moment: float) -> slice:
        """Returns which rows came before a moment, epoch seconds: a slice copies nothing."""
        return slice(0, int(np.searchsorted(self.timestamp, math.ceil(moment))))

    def as_of(self, moment: float) -> Self:
        """Returns the log as it was at a moment, epoch seconds: users, queries and places keep their positions."""
        rows = self.before(moment)
        columns: dict[str, Any] = {column.name: getattr(self, column.name) for column in fields(self)}
        cut: dict[str, Any] = {name: of[rows] for name, of in columns.items() if isinstance(of, np.ndarray)}
        return replace(
            self,
            **cut,
            places={name: (codes[rows], names) for name, (codes, names) in self.places.items()},
            impressions=self.impressions.before(moment),
            negatives=self.negatives.before(moment),
        )

    def __len__(self) -> int:
        return len(self.timestamp)

    @classmethod
    def empty(cls) -> Self:
        """Returns a log without rows."""
        return cls(
            user=np.empty(0, np.int32),
            item=np.empty(0, np.int32),
            event=np.empty(0, np.uint8),
            timestamp=np.empty(0, np.int64),
            value=np.empty(0, np.float32),
            query=np.empty(0, np.int32),
            user_ids=[],
            queries=[],
            report=RowReport("(no interactions)"),
        )
