"""Reads a shop's log: who did what to which item and when, as compact arrays in order of time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from export.sources import cells
from export.sources.cells import EVENTS
from export.sources.columns import ColumnParser, ObjectArray
from export.sources.report import DEFAULT_MAX_BAD_SHARE, RowReport
from export.sources.rows import CHUNK_ROWS, read_rows

REQUIRED = ("user_id", "item_id", "event", "timestamp")
PLACES = ("store", "region")
COLUMNS = (*REQUIRED, "value", "query", *PLACES)
ONE_DAY = 86_400
FLOAT32_MAX = float(np.finfo(np.float32).max)

__all__ = ["COLUMNS", "EVENTS", "REQUIRED", "Interactions", "read_interactions"]


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
        report: What became of every row.
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

    def __len__(self) -> int:
        return len(self.timestamp)

    @classmethod
    def empty(cls) -> Self:
        """The log of a shop on its first day."""
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


@dataclass
class _Codes:
    """Numbers for texts, in order of first appearance; sorted only once all are known."""

    numbers: dict[str, int] = field(default_factory=dict)

    def encode(self, values: ObjectArray) -> npt.NDArray[np.int32]:
        """The number of each text, new ones getting the next; -1 for None."""
        codes, distinct = pd.factorize(values)
        numbers = [self.numbers.setdefault(value, len(self.numbers)) for value in distinct]
        return np.array([*numbers, -1], dtype=np.int32)[codes]

    def sort(self, codes: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int32], list[str]]:
        """Renumbers by the texts' UTF-8 bytes, whose order is that of Python's code points."""
        names = sorted(self.numbers)
        ranks = np.full(len(names) + 1, -1, dtype=np.int32)
        ranks[[self.numbers[name] for name in names]] = np.arange(len(names), dtype=np.int32)
        return ranks[codes], names


@dataclass
class _Log:
    """The kept rows of all chunks so far."""

    items: pd.Index[str]
    latest: int
    users: _Codes = field(default_factory=_Codes)
    queries: _Codes = field(default_factory=_Codes)
    places: dict[str, _Codes] = field(default_factory=lambda: {name: _Codes() for name in PLACES})
    blocks: dict[str, list[npt.NDArray[np.generic]]] = field(default_factory=dict)

    def add(self, chunk: pd.DataFrame, report: RowReport) -> None:
        """Validates a chunk and keeps its good rows."""
        parser = ColumnParser(chunk, report)
        user_ids = parser.parse("user_id", cells.identifier)
        item_ids = parser.parse("item_id", cells.identifier)
        event = parser.parse("event", cells.event)
        timestamp = parser.epoch("timestamp", must=True)
        parser.reject(timestamp > self.latest, "timestamp", "in the future", "allowed: up to a day from now")
        parser.reject(timestamp < 0, "timestamp", "before 1970", f"allowed: {cells.EPOCH_FORMS}")
        value = parser.parse("value", cells.number).astype(np.float64)
        parser.reject(np.abs(value) > FLOAT32_MAX, "value", "too large", f"allowed: up to {FLOAT32_MAX:.0e}")
        query = parser.parse("query", cells.text, cleans=True)
        places = {name: parser.parse(name, cells.text, cleans=True) for name in PLACES}

        sound = np.flatnonzero(parser.ok)
        # Distinct ids first: looking up each row's text in the catalogue would cost ten times as much.
        codes, distinct = pd.factorize(item_ids[sound])
        found = self.items.get_indexer(pd.Index(distinct, dtype=object)).astype(np.int32)
        item = found[codes]
        unknown = item < 0
        report.unknown_item += int(unknown.sum())
        report.unknown_item_ids.update(distinct[found < 0])
        parser.ok[sound[unknown]] = False
        parser.count_cleaned()
        kept = sound[~unknown]
        report.kept += len(kept)
        self._append("user", self.users.encode(user_ids[kept]))
        self._append("item", item[~unknown])
        self._append("event", event[kept].astype(np.uint8))
        self._append("timestamp", timestamp[kept])
        self._append("value", value[kept].astype(np.float32))
        self._append("query", self.queries.encode(query[kept]))
        for name, values in places.items():
            self._append(name, self.places[name].encode(values[kept]))

    def _append(self, name: str, values: npt.NDArray[np.generic]) -> None:
        self.blocks.setdefault(name, []).append(values)

    def finish(self, report: RowReport) -> Interactions:
        """All kept rows in order of time."""
        order = np.argsort(np.concatenate(self.blocks["timestamp"]), kind="stable")
        columns = {}
        for name in list(self.blocks):
            # One column at a time gives up its blocks, so that at most one exists twice.
            columns[name] = np.concatenate(self.blocks.pop(name))[order]
        user, user_ids = self.users.sort(columns["user"].astype(np.int32, copy=False))
        query, queries = self.queries.sort(columns["query"].astype(np.int32, copy=False))
        return Interactions(
            user=user,
            item=columns["item"].astype(np.int32, copy=False),
            event=columns["event"].astype(np.uint8, copy=False),
            timestamp=columns["timestamp"].astype(np.int64, copy=False),
            value=columns["value"].astype(np.float32, copy=False),
            query=query,
            user_ids=user_ids,
            queries=queries,
            report=report,
            places={
                name: codes.sort(columns[name].astype(np.int32, copy=False))
                for name, codes in self.places.items()
                if codes.numbers
            },
        )


def read_interactions(
    path: str | Path,
    catalog_ids: Sequence[str],
    *,
    max_bad_share: float = DEFAULT_MAX_BAD_SHARE,
    bad_rows_path: str | Path | None = None,
    now: float | None = None,
    chunk_rows: int = CHUNK_ROWS,
) -> Interactions:
    """Reads and validates a log, chunk by chunk.

    A sound row about an item that the catalogue lacks is no bad row: shops delete items. Such rows are left out
    and counted as `report.unknown_item`. A log without a single kept row is an empty one, not an error.

    Args:
        path: Parquet, CSV, TSV or JSONL; see `rows.read_rows`.
        catalog_ids: The catalogue's ids by row number, each once.
        max_bad_share: The largest accepted share of bad rows.
        bad_rows_path: A JSONL file for all bad rows.
        now: Epoch seconds; an event more than a day later is a bad row. None is the clock.
        chunk_rows: The most rows held as found.

    Returns:
        The kept rows.

    Raises:
        InputError: The file cannot be used, or too many rows are bad.
    """
    latest = int(time.time() if now is None else now) + ONE_DAY
    report = RowReport(str(path), Path(bad_rows_path) if bad_rows_path is not None else None)
    log = _Log(pd.Index(list(catalog_ids), dtype=object), latest)
    with report:
        for chunk in read_rows(path, report, required=REQUIRED, columns=COLUMNS, chunk_rows=chunk_rows):
            log.add(chunk, report)
    report.check(max_bad_share)
    if not log.blocks:
        log.add(pd.DataFrame(columns=pd.Index(COLUMNS), dtype=object), report)
    return log.finish(report)
