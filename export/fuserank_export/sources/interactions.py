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

from fuserank_export.sources.columns import cells
from fuserank_export.sources.columns.cells import EVENTS, IMPRESSION
from fuserank_export.sources.columns.codes import Blocks, Codes
from fuserank_export.sources.columns.parser import ColumnParser
from fuserank_export.sources.formats.rows import CHUNK_ROWS, read_rows
from fuserank_export.sources.impressions import Impressions, ShownRows
from fuserank_export.sources.report import DEFAULT_MAX_BAD_SHARE, RowReport

REQUIRED = ("user_id", "item_id", "event", "timestamp")
PLACES = ("store", "region")
COLUMNS = (*REQUIRED, "value", "query", *PLACES, "position", "session_id")
ONE_DAY = 86_400
FLOAT32_MAX = float(np.finfo(np.float32).max)

__all__ = ["COLUMNS", "EVENTS", "REQUIRED", "Impressions", "Interactions", "read_interactions"]


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
        impressions: What was shown. It is in none of the other arrays: being shown is nothing that somebody did.
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
class _Log:
    """The kept rows of all chunks so far."""

    items: pd.Index[str]
    latest: int
    users: Codes = field(default_factory=Codes)
    queries: Codes = field(default_factory=Codes)
    places: dict[str, Codes] = field(default_factory=lambda: {name: Codes() for name in PLACES})
    blocks: Blocks = field(default_factory=Blocks)
    shown: ShownRows = field(default_factory=ShownRows)

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
        of_shown = event == IMPRESSION
        position, session = np.zeros(len(chunk), np.int32), np.full(len(chunk), None, object)
        if of_shown.any():
            # What other events say of a place or a session is not used, and so not judged.
            only = parser.of(of_shown)
            position[of_shown] = np.nan_to_num(only.parse("position", cells.position).astype(np.float64))
            session[of_shown] = only.parse("session_id", cells.text)
            parser.ok[of_shown] = only.ok

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
        rows, item = sound[~unknown], item[~unknown]
        shown = rows[of_shown[rows]]
        report.impressions += len(shown)
        if unplaced := int((position[shown] == 0).sum()):
            report.warnings["impression without a position"] += unplaced
        self.shown.add(
            *(user_ids[shown], item[of_shown[rows]], timestamp[shown]),
            *(query[shown], position[shown], session[shown]),
        )
        kept, item = rows[~of_shown[rows]], item[~of_shown[rows]]
        report.kept += len(kept)
        append = self.blocks.append
        append("user", self.users.encode(user_ids[kept]))
        append("item", item)
        append("event", event[kept].astype(np.uint8))
        append("timestamp", timestamp[kept])
        append("value", value[kept].astype(np.float32))
        append("query", self.queries.encode(query[kept]))
        for name, values in places.items():
            append(name, self.places[name].encode(values[kept]))

    def finish(self, report: RowReport) -> Interactions:
        """All kept rows in order of time."""
        columns = self.blocks.joined("timestamp")
        user, user_ids = self.users.sort(columns["user"])
        query, queries = self.queries.sort(columns["query"])
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
            places={name: codes.sort(columns[name]) for name, codes in self.places.items() if codes.numbers},
            impressions=self.shown.finish(user_ids),
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

    Impressions are kept apart (`Interactions.impressions`), whatever else holds for them as for any row.

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
