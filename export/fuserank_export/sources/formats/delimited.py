"""Reads CSV and TSV as chunks of text cells, each row with the line on which it begins.

The standard library parses. Added here are line numbers across quoted newlines, and the limit of a stray quote's
damage to one row instead of the rest of the file.
"""

from __future__ import annotations

import csv
from collections import Counter, deque
from collections.abc import Callable, Iterator
from io import TextIOWrapper
from typing import BinaryIO

import pandas as pd

from fuserank_export.sources.report import InputError, RowReport

MAX_CELL_CHARACTERS = 4 * 1024 * 1024  # also how far an unclosed quote can reach before it is noticed
CHUNK_CHARACTERS = 32 * 1024 * 1024  # long cells must not make a chunk of many rows outgrow memory
DELIMITERS = ",;\t|"


class _Lines:
    """Iterator of physical lines under a csv reader, which counts them and can take some back.

    Attributes:
        number: How many lines were read.
        record: Lines of the current record.
        ended: Whether the reader asked for a line beyond the last one.
    """

    def __init__(self, text: Iterator[str]) -> None:
        self._text = text
        self._pending: deque[str] = deque()
        self.number = 0
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
        self.number += 1
        self.record.append(line)
        return line

    def put_back(self, lines: list[str]) -> None:
        """Takes lines back, so that they are read again next."""
        self._pending.extendleft(reversed(lines))
        self.number -= len(lines)
        self.ended = False


def read_delimited(
    stream: BinaryIO,
    report: RowReport,
    select: Callable[[list[str]], list[str]],
    chunk_rows: int,
    delimiter: str | None,
) -> Iterator[pd.DataFrame]:
    """Reads a delimited text file with a header.

    Args:
        stream: The bytes, decompressed; UTF-8 with or without a byte order mark.
        report: Counts the rows, and gets those that cannot be read.
        select: Takes the names of all columns and returns those to keep.
        chunk_rows: The most rows in a chunk.
        delimiter: None takes the one of `DELIMITERS` that the header uses most.

    Yields:
        Chunks of `str` cells; the index is the 1-based line on which each row begins. The first chunk comes
        even if there is no row, so that the header can be checked.

    Raises:
        InputError: The header is missing, not UTF-8, or names a column twice.
    """
    csv.field_size_limit(max(csv.field_size_limit(), MAX_CELL_CHARACTERS))
    text = TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    lines = _Lines(iter(text))
    names, reader = _read_header(lines, report.file, delimiter)
    positions = [names.index(name) for name in select(names)]

    def chunk(rows: list[list[str]], starts: list[int]) -> pd.DataFrame:
        frame = pd.DataFrame(rows, columns=pd.Index(names), index=pd.Index(starts, dtype="int64"), dtype=object)
        return frame.iloc[:, positions]

    rows: list[list[str]] = []
    starts: list[int] = []
    characters, first = 0, True
    for start, cells in _read_records(lines, reader, len(names), report):
        rows.append(cells)
        starts.append(start)
        characters += sum(map(len, lines.record))
        if len(rows) >= chunk_rows or characters >= CHUNK_CHARACTERS:
            yield chunk(rows, starts)
            rows, starts, characters, first = [], [], 0, False
    if rows or first:
        yield chunk(rows, starts)


def _read_header(lines: _Lines, file: str, delimiter: str | None) -> tuple[list[str], Iterator[list[str]]]:
    first = next(lines, "")
    while first and not first.strip():
        lines.record.clear()
        first = next(lines, "")
    if _encoding_problem(lines.record):
        raise InputError(
            f"{file}: the header is not UTF-8 text; allowed: UTF-8 with or without a byte order mark. "
            "Save the file as UTF-8."
        )
    delimiter = delimiter or max(DELIMITERS, key=first.count)
    lines.put_back(lines.record.copy())
    lines.record.clear()
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        cells = [cell.strip() for cell in next(reader, [])]
    except csv.Error as error:
        raise InputError(f"{file}: the header cannot be read as CSV: {error}") from None
    if not any(cells):
        raise InputError(f"{file}: found no header; allowed: a first line that names the columns")
    # A nameless column (a saved index, usually) is named by its place, so that nothing disappears.
    names = [name or f"column_{place}" for place, name in enumerate(cells, 1)]
    duplicates = [name for name, count in Counter(names).items() if count > 1]
    if duplicates:
        raise InputError(
            f"{file}: the header names {', '.join(map(repr, duplicates))} more than once; "
            "allowed: each column once. Rename or remove the others."
        )
    return names, reader


def _read_records(
    lines: _Lines, reader: Iterator[list[str]], width: int, report: RowReport
) -> Iterator[tuple[int, list[str]]]:
    """Yields line and cells of the rows that are readable and have the header's width; reports the others."""
    while True:
        lines.record.clear()
        start = lines.number + 1
        problem, detail = "", ""
        cells: list[str] = []
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problem, detail = "not readable as CSV", str(error)
        if lines.ended and not problem:
            problem = "a quote that is never closed"
        if not problem:
            if not cells:  # a blank line is no row
                continue
            if len(cells) != width:
                problem = "wrong number of cells"
                detail = f"found {len(cells)}, the header has {width}"
            else:
                problem = _encoding_problem(lines.record) or _quoting_problem(lines.record, reader)
        report.read += 1
        if not problem:
            yield start, cells
            continue
        report.reject(start, "row", "".join(lines.record)[:1000].rstrip("\r\n"), problem, detail)
        _put_back_rows(lines, reader, width)


def _put_back_rows(lines: _Lines, reader: Iterator[list[str]], width: int) -> None:
    """Puts back a malformed record's lines from the second on, if one of them reads as a row.

    Otherwise a stray quote would swallow every row up to the next quote, or to the end of the file.
    """
    rest = lines.record[1:]
    delimiter = _delimiter(reader)
    for line in rest:
        try:
            if len(next(csv.reader([line], delimiter=delimiter), [])) == width:
                lines.put_back(rest)
                return
        except csv.Error:
            continue


def _quoting_problem(record: list[str], reader: Iterator[list[str]]) -> str:
    """Returns why a record over several lines is probably two rows joined by stray quotes, or an empty string.

    On one line a quote inside a cell (6" nail) is harmless, and many programs write it so. Across lines, accepting it
    would hide a row inside its neighbour's cell.
    """
    if len(record) > 1:
        try:
            next(csv.reader(record, delimiter=_delimiter(reader), strict=True))
        except csv.Error as error:
            return f"a stray quote ({error})"
    return ""


def _delimiter(reader: Iterator[list[str]]) -> str:
    delimiter: str = reader.dialect.delimiter  # type: ignore[attr-defined]  # typed as a plain iterator
    return delimiter


def _encoding_problem(record: list[str]) -> str:
    """Returns why the lines of a record are not text, or an empty string."""
    for line in record:
        if "\0" in line:
            return "holds a NUL byte"
        if not line.isascii():
            try:
                line.encode("utf-8")  # fails on what surrogateescape let through
            except UnicodeEncodeError:
                return "not UTF-8 text"
    return ""
