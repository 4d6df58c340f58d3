"""Applies the cell parsers to whole columns, once per distinct value, and reports the rows that fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from fuserank_export.sources.columns.cells import CellError, epoch_seconds, has_control, required
from fuserank_export.sources.report import RowReport

NO_TIME = np.iinfo(np.int64).min  # also what numpy's NaT is as an integer

ObjectArray = npt.NDArray[np.object_]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


class ColumnParser:
    """Parses the columns of one chunk; a row counts as bad once, for its first column at fault.

    Attributes:
        ok: The rows that are sound so far.  # [rows] bool
    """

    def __init__(self, chunk: pd.DataFrame, report: RowReport) -> None:
        self.chunk = chunk
        self.report = report
        self.lines: IntArray = chunk.index.to_numpy(dtype=np.int64)
        self.ok: BoolArray = np.ones(len(chunk), dtype=bool)
        self._cleaned: IntArray = np.zeros(len(chunk), dtype=np.int64)

    def of(self, rows: BoolArray) -> ColumnParser:
        """A parser of some of the rows, which knows what is sound of them so far; its verdicts are its own."""
        part = ColumnParser(self.chunk[rows], self.report)
        part.ok = self.ok[rows]
        return part

    def parse(self, name: str, parser: Callable[[Any], Any], *, cleans: bool = False) -> ObjectArray:
        """Parses a column; rows with a value that the parser refuses are reported.

        Args:
            name: The column; a column that the chunk lacks holds missing values.
            parser: From a found value to a clean one; gets None for a missing value.
            cleans: Whether the parser replaces control characters, which is then counted.

        Returns:
            The parsed values, [rows]; those of bad rows mean nothing.
        """
        codes, found = self._distinct(name)
        # A missing value has code -1, which in Python is the last place.
        found.append(None)
        parsed = np.empty(len(found), dtype=object)
        errors: dict[int, CellError] = {}
        for code, value in enumerate(found):
            try:
                parsed[code] = parser(value)
            except CellError as error:
                errors[code] = error
        if cleans:
            self._cleaned += np.fromiter(map(has_control, found), dtype=bool, count=len(found))[codes]
        if errors:
            failed = np.zeros(len(found), dtype=bool)
            failed[list(errors)] = True
            for row in np.flatnonzero(failed[codes] & self.ok).tolist():
                code = codes[row] % len(found)
                self._reject_row(row, name, found[code], errors[code].reason, errors[code].detail)
        return parsed[codes]

    def epoch(self, name: str, *, must: bool) -> IntArray:
        """Parses a column of moments to epoch seconds.

        Args:
            name: The column.
            must: Whether a missing moment makes the row bad.

        Returns:
            Whole seconds, [rows]; `NO_TIME` where missing.
        """
        quick = self._typed_epoch(name)
        if quick is not None:
            if must:
                self.reject(quick == NO_TIME, name, "missing")
            return quick
        parsed = self.parse(name, required(epoch_seconds) if must else epoch_seconds)
        return np.array([NO_TIME if moment is None else moment for moment in parsed], dtype=np.int64)

    def reject(self, rows: BoolArray, name: str, reason: str, detail: str = "") -> None:
        """Reports those of the given rows that are still sound."""
        column = self.chunk[name] if name in self.chunk.columns else None
        for row in np.flatnonzero(rows & self.ok).tolist():
            self._reject_row(row, name, None if column is None else column.iloc[row], reason, detail)

    def count_cleaned(self) -> None:
        """Adds the cleaned cells of sound rows to the report; call it when all rows are judged."""
        self.report.cleaned += int(self._cleaned[self.ok].sum())

    def _reject_row(self, row: int, name: str, value: Any, reason: str, detail: str) -> None:
        self.ok[row] = False
        self.report.reject(int(self.lines[row]), name, "" if value is None else value, reason, detail)

    def _distinct(self, name: str) -> tuple[IntArray, list[Any]]:
        """The distinct values of a column and each row's place among them (-1: missing)."""
        rows = len(self.chunk)
        if name not in self.chunk.columns:
            return np.full(rows, -1, dtype=np.int64), []
        column = self.chunk[name]
        if column.dtype != object or pd.api.types.infer_dtype(column, skipna=True) in {"string", "integer"}:
            codes, found = pd.factorize(column)
            return codes.astype(np.int64), list(found.tolist())
        # True == 1 == 1.0 and lists have no hash: mixed values are taken one by one.
        missing = column.isna().to_numpy()
        return np.where(missing, -1, np.arange(rows)), column.mask(missing, None).tolist()

    def _typed_epoch(self, name: str) -> IntArray | None:
        """The seconds of a column that Parquet already holds as timestamps or as plain epoch seconds."""
        if name not in self.chunk.columns:
            return None
        column = self.chunk[name]
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            column = column.dt.tz_convert("UTC").dt.tz_localize(None)
        if column.dtype.kind == "M":
            return column.to_numpy().astype("datetime64[s]").astype(np.int64)
        if column.dtype.kind == "i":
            seconds: IntArray = column.to_numpy(dtype=np.int64)
            # Anything that needs a second look (milliseconds, 20170131) goes the careful way.
            if not seconds.size or (seconds.min() >= 21_001_232 and seconds.max() <= 10**11):
                return seconds
        return None
