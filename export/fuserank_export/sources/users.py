"""Reads and validates what a shop says of its users: segment, tier, tags and the like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fuserank_ensemble.interactions.segments import ALWAYS, SegmentColumn, UserSegments
from fuserank_export.layouts.mapping import FileMapping
from fuserank_export.sources.columns import cells
from fuserank_export.sources.columns.parser import NO_TIME, ColumnParser, ObjectArray
from fuserank_export.sources.columns.proofs import prove_reading
from fuserank_export.sources.formats.rows import CHUNK_ROWS
from fuserank_export.sources.identity import note_renamed, rename_float_ids
from fuserank_export.sources.mapped_rows import read_mapped_rows
from fuserank_export.sources.reading import DEFAULT_READING, Reading
from fuserank_export.sources.report import DEFAULT_MAX_BAD_SHARE, InputError, RowReport, shorten

REQUIRED = ("user_id",)
SINCE = "since"
MOST_VALUES = 32  # distinct values of a column, for each to be a group
LEAST_VALUES = 2
LONGEST_VALUE = 200  # characters


@dataclass
class _UserRows:
    """Collects the kept rows of all chunks.

    Attributes:
        user_ids: Of the kept rows.
        since: Since when each row is known, `ALWAYS` where it names no moment.
        values: By column, of each row that has any: its number among the kept ones, and its values.
        lines: The line where each user was first, kept or not.
        reading: What the shop declares of its cells.
    """

    user_ids: list[str] = field(default_factory=list)
    since: list[int] = field(default_factory=list)
    values: dict[str, list[tuple[int, list[str]]]] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    reading: Reading = DEFAULT_READING

    def add(self, chunk: pd.DataFrame, report: RowReport) -> None:
        """Validates a chunk, keeps its valid rows and counts all of them in the report."""
        parser = ColumnParser(chunk, report, self.reading)
        user_ids = parser.parse("user_id", cells.parse_identifier)
        since = parser.parse_epoch(SINCE, required=False)
        names = [name for name in map(str, chunk.columns) if name not in (*REQUIRED, SINCE)]
        columns: dict[str, ObjectArray] = {name: parser.parse(name, _parse_values, cleans=True) for name in names}
        # Last, so that the first *valid* row of a user is kept.
        for row in np.flatnonzero(parser.ok).tolist():
            line = int(parser.lines[row])
            first = self.lines.setdefault(user_ids[row], line)
            if first != line:
                parser.ok[row] = False
                report.reject(line, "user_id", user_ids[row], "duplicate", f"first in {report.describe_line(first)}")
        parser.count_cleaned()
        kept = np.flatnonzero(parser.ok).tolist()
        report.kept += len(kept)
        for number, row in enumerate(kept, len(self.user_ids)):
            for name, values in columns.items():
                of_column = self.values.setdefault(name, [])
                if values[row]:
                    of_column.append((number, values[row]))
        self.user_ids += [user_ids[row] for row in kept]
        self.since += [ALWAYS if since[row] == NO_TIME else int(since[row]) for row in kept]

    def finish(self, report: RowReport) -> UserSegments:
        """Returns all kept rows, sorted by id; a column that makes no groups is left out and noted in the report."""
        renamed = rename_float_ids(self.user_ids)
        if len({renamed.get(user, user) for user in self.user_ids}) < len(self.user_ids):
            renamed = {}  # 7 and 7.0 are two users here
        note_renamed(report, "user_id", renamed)
        users = np.asarray([renamed.get(user, user).encode() for user in self.user_ids], "S")
        order = np.argsort(users, kind="stable")
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        columns = {}
        for name, values in self.values.items():
            words = sorted({word for _, of_user in values for word in of_user})
            if not words:
                report.dropped_columns.append(name)
            elif not LEAST_VALUES <= len(words) <= MOST_VALUES:
                report.notes.append(
                    f"the column {name} has {len(words):,} distinct values, such as {shorten(words[0], 40)!r}, and "
                    f"makes no groups; allowed: {LEAST_VALUES} to {MOST_VALUES}"
                )
            else:
                columns[name] = _column(place, values, words)
        return UserSegments(users[order], np.asarray(self.since, np.int64)[order], columns)


def read_users(
    path: str | Path,
    *,
    mapping: FileMapping | None = None,
    max_bad_share: float = DEFAULT_MAX_BAD_SHARE,
    bad_rows_path: str | Path | None = None,
    reading: Reading = DEFAULT_READING,
    chunk_rows: int = CHUNK_ROWS,
) -> tuple[UserSegments, RowReport]:
    """Reads and validates what a shop says of its users, a row a user.

    Every column but `user_id` and `since` says which group a user is in; a list says several. A column of fewer than
    two or more than 32 distinct values is left out, and noted in the report.

    Args:
        path: A file, a folder, a pattern or a query; see `rows.read_rows`.
        mapping: What its columns become; None leaves them as they are.
        max_bad_share: The largest accepted share of bad rows.
        bad_rows_path: A JSONL file for all bad rows.
        reading: What the shop declares of its files and cells.
        chunk_rows: The most rows that are held unparsed.

    Returns:
        The users, and the counts of rows read, kept and rejected.

    Raises:
        InputError: The file cannot be used, too many rows are bad, or no column says anything.
    """
    report = RowReport(str(path), Path(bad_rows_path) if bad_rows_path is not None else None)
    read = partial(
        read_mapped_rows,
        path,
        mapping=mapping or FileMapping(),
        required=REQUIRED,
        chunk_rows=chunk_rows,
        text=reading.text_format("users"),
    )
    with report:
        chunks, reading = prove_reading(
            read(report),
            lambda columns: read(RowReport(str(path)), columns=columns),
            reading,
            report,
            numbers=(),
            times=(SINCE,),
        )
        rows = _UserRows(reading=reading)
        for chunk in chunks:
            rows.add(chunk, report)
    report.check(max_bad_share)
    if not rows.values:
        raise InputError(
            f"{path}: found no column but {', '.join((*REQUIRED, SINCE))}; add one such as segment or tier"
        )
    return rows.finish(report), report


def _column(place: np.ndarray[Any, Any], values: list[tuple[int, list[str]]], words: list[str]) -> SegmentColumn:
    """A column's values in the order of the users' places."""
    code = {word: i for i, word in enumerate(words)}
    ordered = sorted((int(place[number]), of_user) for number, of_user in values)
    counts = np.zeros(len(place), np.int64)
    counts[[row for row, _ in ordered]] = [len(of_user) for _, of_user in ordered]
    codes = np.asarray([code[word] for _, of_user in ordered for word in of_user], np.int32)
    return SegmentColumn(np.concatenate([[0], np.cumsum(counts)]), codes, words)


def _parse_values(value: Any) -> list[str] | None:
    """Returns a cell's distinct values as texts; None for an empty cell."""
    return list(dict.fromkeys(_texts(cells.parse_attribute(value)))) or None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        raise cells.CellError("an object", "allowed: text, a number, a truth value, or a list of them")
    if isinstance(value, list):
        for entry in value:
            yield from _texts(entry)
    elif isinstance(value, bool):
        yield str(value).lower()
    elif value is not None:
        text = f"{value:g}" if isinstance(value, float) else str(value)
        if len(text) > LONGEST_VALUE:
            raise cells.CellError("too long", f"found {len(text):,} characters; allowed: {LONGEST_VALUE}")
        yield text
