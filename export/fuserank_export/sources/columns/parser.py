"""Applies cell parsers to whole columns, once for each distinct value, and reports the rows that fail."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from fuserank_export.sources.columns.cells import CellError, has_control_characters, require
from fuserank_export.sources.columns.markup import strip_cell
from fuserank_export.sources.columns.times import is_zero_date, parse_epoch_seconds
from fuserank_export.sources.reading import DEFAULT_READING, Reading
from fuserank_export.sources.report import RowReport

NO_TIME = np.iinfo(np.int64).min  # also what numpy's NaT is as an integer
FIRST_DATE = -62_104_060_800  # the year 2: programs write the year 1 for no date

TIMES = frozenset({"timestamp", "created_at", "since"})

ObjectArray = npt.NDArray[np.object_]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


class ColumnParser:
    """Parses the columns of one chunk; a row counts as bad once, for its first column at fault.

    Attributes:
        chunk: The chunk; its index is each row's line in the file.
        report: Gets the bad rows.
        lines: Line of each row, int64 `[rows]`.
        reading: What the shop declares of its cells.
        ok: Whether each row is valid so far, bool `[rows]`.
        marked_up: By column, the rows in whose cell markup was taken out, bool `[rows]`.
    """

    def __init__(self, chunk: pd.DataFrame, report: RowReport, reading: Reading = DEFAULT_READING) -> None:
        self.chunk = chunk
        self.report = report
        self.reading = reading
        self.lines: IntArray = chunk.index.to_numpy(dtype=np.int64)
        self.ok: BoolArray = np.ones(len(chunk), dtype=bool)
        self.marked_up: dict[str, BoolArray] = {}
        self._cleaned: IntArray = np.zeros(len(chunk), dtype=np.int64)

    def select(self, rows: BoolArray) -> ColumnParser:
        """Returns a parser of the rows in a mask `[rows]`; it begins with their `ok` and then keeps its own."""
        part = ColumnParser(self.chunk[rows], self.report, self.reading)
        part.ok = self.ok[rows]
        return part

    def parse(
        self, name: str, parser: Callable[[Any], Any], *, cleans: bool = False, markup: bool = False
    ) -> ObjectArray:
        """Parses a column; rows with a value that the parser refuses are reported.

        Args:
            name: The column; a column that the chunk lacks holds missing values.
            parser: Returns the clean value of a cell; gets None for a missing value.
            cleans: Whether the parser replaces control characters, which is then counted.
            markup: Whether HTML is taken out of the cell first, which is then counted.

        Returns:
            The parsed values, `[rows]`; those of bad rows are undefined.
        """
        codes, values = self._distinct_values(name)
        codes = self._drop_markers(name, codes, values)
        # A missing value has code -1, which in Python is the last place.
        values.append(None)
        if markup:
            values = self._strip_markup(name, codes, values)
        parsed = np.empty(len(values), dtype=object)
        errors: dict[int, CellError] = {}
        for code, value in enumerate(values):
            try:
                parsed[code] = parser(value)
            except CellError as error:
                errors[code] = error
        if cleans:
            self._cleaned += np.fromiter(map(has_control_characters, values), dtype=bool, count=len(values))[codes]
        if errors:
            failed = np.zeros(len(values), dtype=bool)
            failed[list(errors)] = True
            for row in np.flatnonzero(failed[codes] & self.ok).tolist():
                code = codes[row] % len(values)
                self._reject_row(row, name, values[code], errors[code].reason, errors[code].detail)
        return parsed[codes]

    def parse_epoch(self, name: str, *, required: bool) -> IntArray:
        """Parses a column of moments to epoch seconds.

        Args:
            name: The column.
            required: Whether a missing moment makes the row bad.

        Returns:
            Whole seconds, int64 `[rows]`; `NO_TIME` where missing.
        """
        seconds = self._typed_epoch(name)
        if seconds is not None:
            if required:
                self.reject(seconds == NO_TIME, name, "missing")
            return seconds
        parse = partial(parse_epoch_seconds, order=self.reading.date_order(name))
        parsed = self.parse(name, require(parse) if required else parse)
        return np.array([NO_TIME if moment is None else moment for moment in parsed], dtype=np.int64)

    def reject(self, rows: BoolArray, name: str, reason: str, detail: str = "") -> None:
        """Reports the rows in a mask `[rows]` that are valid so far as bad rows of a column."""
        column = self.chunk[name] if name in self.chunk.columns else None
        for row in np.flatnonzero(rows & self.ok).tolist():
            self._reject_row(row, name, None if column is None else column.iloc[row], reason, detail)

    def count_cleaned(self) -> None:
        """Adds the cleaned cells of valid rows to the report; to be called when all columns are parsed."""
        self.report.cleaned += int(self._cleaned[self.ok].sum())
        for name, rows in self.marked_up.items():
            if count := int((rows & self.ok).sum()):
                self.report.marked_up[name] += count

    def _reject_row(self, row: int, name: str, value: Any, reason: str, detail: str) -> None:
        self.ok[row] = False
        self.report.reject(int(self.lines[row]), name, "" if value is None else value, reason, detail)

    def _drop_markers(self, name: str, codes: IntArray, values: list[Any]) -> IntArray:
        """Returns the codes with -1 for null markers and zero dates, and counts these in the report."""
        markers = self.reading.nulls(name)
        dropped = [
            code
            for code, value in enumerate(values)
            if isinstance(value, str) and (value in markers or value.strip() in markers)
        ]
        zero = [code for code, value in enumerate(values) if is_zero_date(value)] if name in TIMES else []
        if not dropped and not zero:
            return codes
        counts = np.bincount(codes[codes >= 0], minlength=len(values))
        for code in dropped:
            self.report.missing[name, values[code].strip()] += int(counts[code])
        if zero:
            self.report.zero_dates[name] += int(counts[zero].sum())
            dropped += zero
        return np.where(np.isin(codes, dropped), -1, codes)

    def _strip_markup(self, name: str, codes: IntArray, values: list[Any]) -> list[Any]:
        stripped = [strip_cell(value) for value in values]
        changed = np.asarray([new is not old and new != old for new, old in zip(stripped, values, strict=True)])
        self.marked_up[name] = changed[codes]
        return stripped

    def _distinct_values(self, name: str) -> tuple[IntArray, list[Any]]:
        """Returns each row's place among the distinct values of a column (-1: missing), and those values."""
        rows = len(self.chunk)
        if name not in self.chunk.columns:
            return np.full(rows, -1, dtype=np.int64), []
        column = self.chunk[name]
        if column.dtype != object or pd.api.types.infer_dtype(column, skipna=True) in {"string", "integer"}:
            codes, values = pd.factorize(column)
            return codes.astype(np.int64), list(values.tolist())
        # True == 1 == 1.0 and lists have no hash: mixed values are taken one by one.
        missing = column.isna().to_numpy()
        return np.where(missing, -1, np.arange(rows)), column.mask(missing, None).tolist()

    def _typed_epoch(self, name: str) -> IntArray | None:
        """Returns the epoch seconds of a column of timestamps or of plain epoch seconds; None of any other column."""
        if name not in self.chunk.columns:
            return None
        column = self.chunk[name]
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            column = column.dt.tz_convert("UTC").dt.tz_localize(None)
        if column.dtype.kind == "M":
            moments = column.to_numpy().astype("datetime64[s]").astype(np.int64)
            if (zero := (moments != NO_TIME) & (moments < FIRST_DATE)).any():
                self.report.zero_dates[name] += int(zero.sum())
            return np.where(zero, NO_TIME, moments)
        if column.dtype.kind == "i":
            seconds: IntArray = column.to_numpy(dtype=np.int64)
            # Other numbers (milliseconds, 20170131) need the cell parser.
            if not seconds.size or (seconds.min() >= 21_001_232 and seconds.max() <= 10**11):
                return seconds
        return None
