"""Reads and validates a shop's log of interactions."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from fuserank_ensemble.interactions.events import EVENT_NAMES, IMPRESSION, MOST_A_DAY, EventTable
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY
from fuserank_ensemble.interactions.popularity import DEVICE
from fuserank_ensemble.state.identity import IdentityKey, subject_named
from fuserank_export.layouts.mapping import LogMapping
from fuserank_export.layouts.recognise import offer_events
from fuserank_export.sources.archive import EventArchive, rename_archived_users
from fuserank_export.sources.columns import cells
from fuserank_export.sources.columns.codes import ColumnBlocks, TextCodes
from fuserank_export.sources.columns.numbers import parse_number
from fuserank_export.sources.columns.parser import ColumnParser
from fuserank_export.sources.columns.proofs import prove_reading
from fuserank_export.sources.columns.times import EPOCH_FORMS
from fuserank_export.sources.formats.rows import CHUNK_ROWS
from fuserank_export.sources.identity import (
    DEFAULT_MAX_UNKNOWN_SHARE,
    ItemIds,
    check_unknown,
    is_meant,
    note_renamed,
    rename_float_ids,
)
from fuserank_export.sources.impressions import ImpressionRows
from fuserank_export.sources.interactions import Interactions
from fuserank_export.sources.mapped_rows import read_mapped_rows
from fuserank_export.sources.reading import DEFAULT_READING, Reading
from fuserank_export.sources.repeats import find_counted
from fuserank_export.sources.report import DEFAULT_MAX_BAD_SHARE, RowReport
from fuserank_export.sources.signs import split_by_sign

REQUIRED = ("user_id", "item_id", "event", "timestamp")
PLACES = ("store", "region", DEVICE)
COLUMNS = (*REQUIRED, "value", "query", *PLACES, "position", "session_id", "propensity", "bundle")
_EVENT_NAMES = np.asarray(EVENT_NAMES, object)
FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclass
class _EventRows:
    """Collects the kept rows of all chunks.

    Attributes:
        items: Ids of the catalogue.
        latest: Epoch seconds; later events are bad rows.
        reading: What the shop declares of its files and cells.
        disliked_below: The least rating that may say that an item was liked; None finds it.
        most_a_day: See `find_counted`.
        users: Codes of the user ids.
        queries: Codes of the queries.
        places: Codes of the names of each of `PLACES`.
        blocks: The kept events.
        impressions: The kept impressions.
        archive: Takes all kept rows as they are; None where nobody wants them.
        key: The key of users and sessions in the archive; None where there is none.
        is_left_out: Whether a user's rows are passed over; None passes over nobody's.
    """

    items: ItemIds
    latest: int
    reading: Reading = DEFAULT_READING
    disliked_below: float | None = None
    most_a_day: int = MOST_A_DAY
    users: TextCodes = field(default_factory=TextCodes)
    queries: TextCodes = field(default_factory=TextCodes)
    places: dict[str, TextCodes] = field(default_factory=lambda: {name: TextCodes() for name in PLACES})
    blocks: ColumnBlocks = field(default_factory=ColumnBlocks)
    impressions: ImpressionRows = field(default_factory=ImpressionRows)
    archive: EventArchive | None = None
    key: IdentityKey | None = None
    is_left_out: Callable[[str], bool] | None = None

    def add(self, chunk: pd.DataFrame, report: RowReport) -> None:
        """Validates a chunk, keeps its valid rows and counts all of them in the report."""
        parser = ColumnParser(chunk, report, self.reading)
        user_ids = parser.parse("user_id", cells.parse_identifier)
        item_ids = parser.parse("item_id", cells.parse_identifier)
        event = parser.parse("event", cells.parse_event)
        timestamp = parser.parse_epoch("timestamp", required=True)
        parser.reject(timestamp > self.latest, "timestamp", "in the future", "allowed: up to a day from now")
        parser.reject(timestamp < 0, "timestamp", "before 1970", f"allowed: {EPOCH_FORMS}")
        mark = self.reading.decimal("value")
        value = parser.parse("value", lambda cell: parse_number(cell, mark)).astype(np.float64)
        parser.reject(np.abs(value) > FLOAT32_MAX, "value", "too large", f"allowed: up to {FLOAT32_MAX:.0e}")
        query = parser.parse("query", cells.parse_text, cleans=True)
        places = {name: parser.parse(name, cells.parse_text, cleans=True) for name in PLACES}
        is_impression = event == IMPRESSION
        position, propensity = np.zeros(len(chunk), np.int32), np.full(len(chunk), np.nan, np.float32)
        session, bundle = np.full(len(chunk), None, object), np.full(len(chunk), None, object)
        if is_impression.any():
            # What says how an item was shown is not used of other events, so it is not validated there.
            impressions = parser.select(is_impression)
            position[is_impression] = np.nan_to_num(
                impressions.parse("position", cells.parse_position).astype(np.float64)
            )
            propensity[is_impression] = impressions.parse("propensity", cells.parse_propensity).astype(np.float64)
            session[is_impression] = impressions.parse("session_id", cells.parse_text)
            bundle[is_impression] = impressions.parse("bundle", cells.parse_text)
            parser.ok[is_impression] = impressions.ok

        self._leave_out(parser, user_ids, report)
        valid = np.flatnonzero(parser.ok)
        # Distinct ids first: looking up each row's text in the catalogue would cost ten times as much.
        codes, distinct = pd.factorize(item_ids[valid])
        item_rows = self.items.find(distinct)
        item = item_rows[codes]
        unknown = item < 0
        report.unknown_item += int(unknown.sum())
        report.unknown_item_ids.update(distinct[item_rows < 0])
        parser.ok[valid[unknown]] = False
        parser.count_cleaned()
        rows, item = valid[~unknown], item[~unknown]
        shown = is_impression[rows]
        shown_rows = rows[shown]
        report.impressions += len(shown_rows)
        if without_position := int((position[shown_rows] == 0).sum()):
            report.warnings["impression without a position"] += without_position
        self.impressions.add(
            *(user_ids[shown_rows], item[shown], timestamp[shown_rows]),
            *(query[shown_rows], position[shown_rows], session[shown_rows]),
            *(propensity[shown_rows], bundle[shown_rows]),
        )
        own = {"user_id": user_ids, "item_id": item_ids, "event": event, "timestamp": timestamp, "value": value}
        how = {"position": position, "session_id": session, "propensity": propensity, "bundle": bundle}
        self._keep(rows, {**own, "query": query, **places, **how})
        kept, item = rows[~shown], item[~shown]
        report.kept += len(kept)
        encoded = {
            "user": self.users.encode(user_ids[kept]),
            "item": item.astype(np.int32),
            "event": event[kept].astype(np.uint8),
            "timestamp": timestamp[kept],
            "value": value[kept].astype(np.float32),
            "query": self.queries.encode(query[kept]),
            **{name: self.places[name].encode(values[kept]) for name, values in places.items()},
        }
        for name, values in encoded.items():
            self.blocks.append(name, values)

    def _leave_out(self, parser: ColumnParser, user_ids: npt.NDArray[np.object_], report: RowReport) -> None:
        """Passes over the valid rows of users who are left out, and counts them."""
        valid = np.flatnonzero(parser.ok)
        if self.is_left_out is None or not len(valid):
            return
        codes, distinct = pd.factorize(user_ids[valid])
        left_out = valid[np.asarray([is_meant(user, self.is_left_out) for user in distinct], np.bool_)[codes]]
        parser.ok[left_out] = False
        if len(left_out):
            report.left_out["of users who were forgotten"] += len(left_out)

    def _keep(self, rows: npt.NDArray[np.intp], columns: dict[str, npt.NDArray[Any]]) -> None:
        """Writes some rows of a chunk to the archive, where there is one."""
        if self.archive is None or self.key is None:
            return
        kept = {name: values[rows] for name, values in columns.items()}
        kept["user_id"] = _rename(kept["user_id"], self.key.user_name)
        kept["session_id"] = _rename(kept["session_id"], self.key.session_name)
        kept["event"] = _EVENT_NAMES[kept["event"].astype(np.int64)]
        known = kept["position"] > 0
        kept["position"] = kept["position"].astype(object)
        kept["position"][~known] = None
        self.archive.add(kept)

    def _hashed_names(self, users: list[str]) -> dict[str, str]:
        """The hashed names of users whom the log has by these as well as by their ids: they are one."""
        hashed = set(filter(subject_named, users))
        if self.key is None or not hashed:
            return {}
        return {user: name for user in users if (name := self.key.user_name(user)) in hashed}

    def finish(self, report: RowReport, archive: Path | None = None) -> Interactions:
        """Returns all kept rows in order of time.

        Args:
            report: Notes what was done to them.
            archive: The file of the archive, which is closed; None where there is none.
        """
        users = [*self.users.codes, *self.impressions.users.codes]
        renamed = rename_float_ids(users)
        if renamed and self.key and archive:
            hashed = {self.key.user_name(old): self.key.user_name(new) for old, new in renamed.items()}
            rename_archived_users(archive, hashed)
        names = renamed or self._hashed_names(users)
        self.users.rename(names)
        self.impressions.users.rename(names)
        note_renamed(report, "user_id", renamed)
        self.items.note_matches(report)
        for name, codes in self.places.items():
            if not codes.codes:
                self.blocks.drop(name)
        columns = self.blocks.join("timestamp")
        user, user_ids = self.users.sort(columns["user"])
        counts = find_counted(columns, user, self.most_a_day, report)
        if not counts.all():
            columns, user = {name: values[counts] for name, values in columns.items()}, user[counts]
        signed = split_by_sign(columns, user, user_ids, self.disliked_below, report)
        columns, user_ids = signed.columns, signed.user_ids
        query, queries = self.queries.sort(columns["query"])
        return Interactions(
            user=signed.user,
            item=columns["item"].astype(np.int32, copy=False),
            event=columns["event"].astype(np.uint8, copy=False),
            timestamp=columns["timestamp"].astype(np.int64, copy=False),
            value=columns["value"].astype(np.float32, copy=False),
            query=query,
            user_ids=user_ids,
            queries=queries,
            report=report,
            places={name: codes.sort(columns[name]) for name, codes in self.places.items() if codes.codes},
            impressions=self.impressions.finish(user_ids),
            weight=signed.grades if (signed.grades != 1).any() else None,
            negatives=signed.negatives,
            table=EventTable(ratings=signed.scale),
        )


def _rename(values: npt.NDArray[np.object_], name: Callable[[str], str]) -> npt.NDArray[np.object_]:
    """Other names for texts `[rows]`; None stays."""
    codes, distinct = pd.factorize(values)
    named: npt.NDArray[np.object_] = np.asarray([*map(name, distinct), None], object)[codes]
    return named


def read_interactions(
    path: str | Path,
    catalog_ids: Sequence[str],
    *,
    mapping: LogMapping | None = None,
    max_bad_share: float = DEFAULT_MAX_BAD_SHARE,
    bad_rows_path: str | Path | None = None,
    max_unknown_share: float = DEFAULT_MAX_UNKNOWN_SHARE,
    reading: Reading = DEFAULT_READING,
    disliked_below: float | None = None,
    most_a_day: int = MOST_A_DAY,
    now: float | None = None,
    chunk_rows: int = CHUNK_ROWS,
    archive: Path | None = None,
    key: IdentityKey | None = None,
    is_left_out: Callable[[str], bool] | None = None,
) -> Interactions:
    """Reads and validates a log, chunk by chunk.

    Impressions are validated like any row and kept apart, as `Interactions.impressions`.

    A valid row of an item that the catalogue lacks is not a bad row, because shops delete items. Such rows are left
    out and counted as `report.unknown_item`; above a share they are an error, because the log is of another catalogue
    or writes ids otherwise. Ids such as 100.0 meet item 100. A log without a row is empty, and not an error.

    Args:
        path: A file, a folder, a pattern or a query; see `rows.read_rows`.
        catalog_ids: The catalogue's ids by row number, each once.
        mapping: What its columns and events become; None leaves them as they are.
        max_bad_share: The largest accepted share of bad rows.
        bad_rows_path: A JSONL file for all bad rows.
        max_unknown_share: The largest accepted share of valid rows whose item the catalogue lacks.
        reading: What the shop declares of its files and cells.
        disliked_below: Ratings below it say what a user dislikes; None finds it, see `find_least_liked`.
        most_a_day: How many events of one kind with one item count of one user within a day; 0 counts all.
        now: Epoch seconds; an event more than a day later is a bad row. None takes the clock.
        chunk_rows: The most rows that are held unparsed.
        archive: A Parquet file to write the kept rows to, in the input format; None writes none.
        key: The key of users and sessions in it; an archive needs one. Under it a user is one whom the log has by id
            and by hashed name.
        is_left_out: Whether a user's rows are passed over; None passes over nobody's. It is asked of `100.0` as of
            `100`, because only the whole log tells whether they are one.

    Returns:
        The kept rows.

    Raises:
        InputError: The file cannot be used, or too many rows are bad or of unknown items.
        ValueError: An archive without a key: it would name users as the log does.
    """
    if archive and key is None:
        raise ValueError(f"archive {archive}: found no key; allowed: a key, under which the archive names users")
    latest = int(time.time() if now is None else now) + SECONDS_PER_DAY
    report = RowReport(str(path), Path(bad_rows_path) if bad_rows_path is not None else None)
    read = partial(
        read_mapped_rows,
        path,
        mapping=mapping or LogMapping(),
        required=REQUIRED,
        chunk_rows=chunk_rows,
        text=reading.text_format("interactions"),
    )
    with report:
        chunks, reading = prove_reading(
            read(report, columns=COLUMNS),
            lambda columns: read(RowReport(str(path)), columns=columns),
            reading,
            report,
            numbers=("value",),
            times=("timestamp",),
        )
        rows = _EventRows(
            ItemIds(pd.Index(list(catalog_ids), dtype=object)), latest, reading, disliked_below, most_a_day
        )
        rows.is_left_out, rows.key = is_left_out, key
        with EventArchive(archive) if archive else nullcontext() as rows.archive:
            for chunk in chunks:
                rows.add(chunk, report)
        rows.archive = None
    unknown_events = [row.value for row in report.examples if row.reason.startswith(cells.UNKNOWN_EVENT)]
    if unknown_events:
        report.remedy = f"{report.remedy}{offer_events(str(path), unknown_events)}"
    report.check(max_bad_share)
    check_unknown(report, catalog_ids, max_unknown_share)
    if not rows.blocks:
        rows.add(pd.DataFrame(columns=pd.Index(COLUMNS), dtype=object), report)
    return rows.finish(report, archive)
