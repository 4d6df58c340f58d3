"""Reads CSV and TSV as chunks of text cells, each row with the line on which it begins.

The standard library parses. Added here are line numbers across quoted newlines, rows that are shorter or longer than
the header, headers inside the file, and the limit of a stray quote's damage to one row instead of the rest of the file.
"""

from __future__ import annotations

import csv
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

import pandas as pd

from fuserank_export.sources.formats.dialect import DELIMITERS, Dialect, missing_columns, separator_line
from fuserank_export.sources.formats.encoding import BYTE_ORDER_MARK, TextEncoding
from fuserank_export.sources.report import InputError, RowReport

CHUNK_CHARACTERS = 32 * 1024 * 1024  # long cells must not make a chunk of many rows outgrow memory
SHORT = "fewer cells than the header: those at the end are taken as empty"
LONG = "empty cells beyond the header: left out"
REPEATED_HEADER = "the header again, as in files that were joined: no row"
QUOTE_INSIDE = "a quote inside a cell: read as it is written"
BACKSLASH = "quotes inside a cell that a backslash marks: read without it"


class RepeatedColumnError(InputError):
    """A header names a column twice.

    Attributes:
        columns: The names, as the header has them.
    """

    def __init__(self, columns: Sequence[str], message: str) -> None:
        super().__init__(message)
        self.columns = columns


class _Lines:
    """Iterator of physical lines under a csv reader, which counts them and can take some back.

    Attributes:
        number: The number of the latest line.
        record: Lines of the current record.
        ended: Whether the reader asked for a line beyond the last one.
    """

    def __init__(self, text: Iterator[str], encoding: TextEncoding, number: int) -> None:
        self._text, self._repair = text, encoding.repair if encoding.otherwise else None
        self._pending: deque[str] = deque()
        self.number = number
        self.record: list[str] = []
        self.ended = False

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self._pending:
            line = self._pending.popleft()
        else:
            try:
                line = next(self._text)
            except StopIteration:
                # A csv reader asks for a line beyond the last one only inside an open quote, or when it is done.
                self.ended = True
                raise
            if line.startswith(BYTE_ORDER_MARK):  # also inside a file that was joined of several
                line = line.lstrip(BYTE_ORDER_MARK)
            if self._repair:
                line = self._repair(line)
        self.number += 1
        self.record.append(line)
        return line

    def put_back(self, lines: Sequence[str]) -> None:
        """Takes lines back, so that they are read again next."""
        self._pending.extendleft(reversed(lines))
        self.number -= len(lines)
        self.ended = False


@dataclass(frozen=True)
class _Header:
    """The columns of the rows that follow.

    Attributes:
        cells: The header's own cells.
        names: Of all columns.
        positions: Of the columns to keep.
        least: How many cells a row has at least, so that none of the required ones is missing.
        lead: The cell that a repeated header is known by: that of the last column a row must have.
    """

    cells: list[str]
    names: list[str]
    positions: list[int]
    least: int
    lead: str


class _Records:
    """The rows of a delimited file."""

    def __init__(
        self,
        lines: _Lines,
        encoding: TextEncoding,
        dialect: Dialect,
        report: RowReport,
        select: Callable[[list[str]], list[str]],
        required: Collection[str],
    ) -> None:
        self._lines, self._encoding, self._dialect, self._report = lines, encoding, dialect, report
        self._select, self._required = select, required
        self._reader = dialect.reader(lines)
        self.header = self._read_header()

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """Yields line and cells of the rows that are readable, of the header's width; reports the others.

        Where the file has another header, `header` changes before the next row comes.
        """
        lines, report = self._lines, self._report
        while True:
            lines.record.clear()
            start, problem, detail = lines.number + 1, "", ""
            cells: list[str] = []
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                problem, detail = "not readable as CSV", str(error)
            if not problem and self._is_plain(cells):
                report.read += 1
                yield start, cells
                continue
            if lines.ended and not problem:
                problem = "a quote that is never closed"
            if not problem:
                if not any(cells):  # a blank line, or one of delimiters alone, is no row
                    continue
                if self._is_header(cells):
                    report.warn(start, REPEATED_HEADER)
                    continue
                problem, detail = self._text_problem()
            if not problem:
                cells = self._with_quotes_as_written(start, cells)
                problem, detail = self._fit(start, cells)
                if problem and self._put_back_header():
                    continue
            report.read += 1
            if not problem:
                yield start, cells
                continue
            report.reject(start, "row", "".join(lines.record)[:1000].rstrip("\r\n"), problem, detail)
            self._put_back_rows()

    def _is_plain(self, cells: Sequence[str]) -> bool:
        """Returns whether a row needs no further look, as nearly all rows of a log do."""
        header, record = self.header, self._lines.record
        if len(cells) != len(header.names) or not cells[0] or header.lead in cells or len(record) != 1:
            return False
        line = record[0]
        return line.isascii() and '"' not in line and "\0" not in line

    def _read_header(self) -> _Header:
        lines, file = self._lines, self._report.source
        for _ in range(self._dialect.lines_before):
            next(lines, "")
        lines.record.clear()
        if self._dialect.header:
            return self._header_of(self._dialect.header)
        first = next(lines, "")
        while first and (not first.strip() or separator_line(first) is not None):
            lines.record.clear()
            first = next(lines, "")
        if first and (self._encoding.undecodable(first) or "\0" in first):
            raise InputError(
                f"{file}: the header is {self._encoding.problem}; allowed: text in one encoding. "
                "Save the file as UTF-8, or name its encoding with --encoding."
            )
        lines.put_back(lines.record.copy())
        lines.record.clear()
        try:
            cells = next(self._reader, [])
        except csv.Error as error:
            raise InputError(f"{file}: the header cannot be read as CSV: {error}") from None
        if not any(cell.strip() for cell in cells):
            raise InputError(f"{file}: found no header; allowed: a first line that names the columns")
        return self._header_of(cells)

    def _header_of(self, cells: Sequence[str]) -> _Header:
        # A nameless column (a saved index, usually) is named by its place, so that nothing disappears.
        names = [cell.strip() or f"column_{place}" for place, cell in enumerate(cells, 1)]
        duplicates = [name for name, count in Counter(names).items() if count > 1]
        if duplicates:
            raise RepeatedColumnError(
                names,
                f"{self._report.source}: the header names {', '.join(map(repr, duplicates))} more than once; "
                "allowed: each column once. Rename or remove the others.",
            )
        positions = [names.index(name) for name in self._select(names)]
        least = 1 + max((names.index(name) for name in self._required if name in names), default=0)
        return _Header(list(cells), names, positions, least, cells[least - 1])

    def _is_header(self, cells: Sequence[str]) -> bool:
        """Returns whether a row names the columns again; takes its order of them if so."""
        if self.header.lead not in cells:
            return len(cells) == 1 < len(self.header.cells) and self._is_other_header(cells[0])
        width = len(self.header.cells)
        alike = all(cell in ("", own) for cell, own in zip(cells, self.header.cells, strict=False))
        if alike and len(cells) >= width and not any(cells[width:]):
            return True
        if not self._required or missing_columns([cell.strip() for cell in cells], self._required):
            return False
        self.header = self._header_of(cells)
        return True

    def _is_other_header(self, line: str) -> bool:
        """Returns whether a line of one cell is a `sep=` line, or a header with another delimiter, which it takes."""
        if separator_line(line) is not None:
            return True
        for delimiter in DELIMITERS if self._required else "":
            dialect = Dialect(delimiter)
            cells = dialect.split(line)
            if not missing_columns(cells, self._required):
                self._dialect, self._reader = dialect, dialect.reader(self._lines)
                self.header = self._header_of(cells)
                return True
        return False

    def _text_problem(self) -> tuple[str, str]:
        """Returns why a record is no text, or two rows that stray quotes join, and more about it; else nothing.

        On one line a quote inside a cell (6" nail) is harmless, and many programs write it so. Across lines, accepting
        it would hide a row inside its neighbour's cell.
        """
        for line in self._lines.record:
            if "\0" in line:
                return "holds a NUL byte", ""
            if self._encoding.undecodable(line):
                return self._encoding.problem, self._encoding.remedy
        if len(self._lines.record) > 1:
            try:
                next(self._dialect.reader(iter(self._lines.record), strict=True))
            except csv.Error as error:
                return f"a stray quote ({error})", ""
        return "", ""

    def _with_quotes_as_written(self, start: int, cells: list[str]) -> list[str]:
        """Returns a row's cells with the quotes that enclose only a part of a cell, which the csv module leaves out."""
        record = self._lines.record
        if len(record) != 1 or not self._dialect.has_quote_inside(record[0]):
            return cells
        try:
            next(self._dialect.reader(iter(record), strict=True))
        except csv.Error:
            unmarked = self._dialect.split_as_written(record[0].replace('\\"', '""'))
            if '\\"' in record[0] and len(unmarked) == len(self.header.names):
                self._report.warn(start, BACKSLASH)
                return unmarked
            self._report.warn(start, QUOTE_INSIDE)
            return self._dialect.split_as_written(record[0])
        return cells

    def _fit(self, start: int, cells: list[str]) -> tuple[str, str]:
        """Makes a row as wide as the header where that loses nothing; returns why not, and more about it, else."""
        width, found = len(self.header.names), len(cells)
        if found < width:
            if found >= self.header.least:
                cells += [""] * (width - found)
                self._report.warn(start, SHORT)
                return "", ""
        elif not any(cell.strip() for cell in cells[width:]):
            if found > width:
                del cells[width:]
                self._report.warn(start, LONG)
            return "", ""
        detail = f"found {found}, the header has {width}"
        if found > width:
            detail += f"; a cell that holds {self._dialect.delimiter!r} stands in quotes"
        return "wrong number of cells", detail

    def _put_back_header(self) -> bool:
        """Puts back a row and the header behind it, which files have on one line whose last line has no end."""
        line = self._lines.record[0]
        place = line.find(self._dialect.join(self.header.cells)) if len(self._lines.record) == 1 else -1
        if place > 0:
            self._lines.put_back([line[:place].rstrip(BYTE_ORDER_MARK) + "\n", line[place:]])
        return place > 0

    def _put_back_rows(self) -> None:
        """Puts back a malformed record's lines from the second on, if one of them reads as a row.

        Otherwise a stray quote would swallow every row up to the next quote, or to the end of the file.
        """
        rest = self._lines.record[1:]
        if any(len(self._dialect.split(line)) == len(self.header.names) for line in rest):
            self._lines.put_back(rest)


def read_delimited(
    text: TextIO,
    encoding: TextEncoding,
    dialect: Dialect,
    report: RowReport,
    select: Callable[[list[str]], list[str]],
    *,
    required: Collection[str],
    chunk_rows: int,
    before: int = 0,
) -> Iterator[pd.DataFrame]:
    """Reads a delimited text file with a header.

    Args:
        text: The file's text, lines as they are.
        encoding: What it was decoded with.
        dialect: How it is written.
        report: Counts the rows, and gets those that cannot be read.
        select: Takes the names of all columns and returns those to keep.
        required: Columns that the file must have: a row that names them all is a header.
        chunk_rows: The most rows in a chunk.
        before: The number of the line before the first, see `RowReport.begin_part`.

    Yields:
        Chunks of `str` cells; the index is the 1-based line on which each row begins. The first chunk comes
        even if there is no row, so that the header can be checked.

    Raises:
        InputError: The header is missing, not text, or names a column twice.
    """
    lines = _Lines(iter(text), encoding, before)
    records = _Records(lines, encoding, dialect, report, select, required)
    header = records.header

    def chunk(rows: list[list[str]], starts: list[int]) -> pd.DataFrame:
        frame = pd.DataFrame(rows, columns=pd.Index(header.names), index=pd.Index(starts, dtype="int64"), dtype=object)
        return frame.iloc[:, header.positions]

    rows: list[list[str]] = []
    starts: list[int] = []
    characters, first = 0, True
    for start, cells in records:
        other = records.header is not header
        if rows and (other or len(rows) >= chunk_rows or characters >= CHUNK_CHARACTERS):
            yield chunk(rows, starts)
            rows, starts, characters, first = [], [], 0, False
        header = records.header
        rows.append(cells)
        starts.append(start)
        characters += sum(map(len, lines.record))
    if rows or first:
        yield chunk(rows, starts)
