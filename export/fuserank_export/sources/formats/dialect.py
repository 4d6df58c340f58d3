"""Tells how a delimited text file is written: its delimiter, whether quotes enclose cells, and a `sep=` line."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TextIO

from fuserank_export.sources.formats.encoding import BYTE_ORDER_MARK

MAX_CELL_CHARACTERS = 4 * 1024 * 1024  # also how far an unclosed quote can reach before it is noticed
DELIMITERS = ",;\t|"
_ENCLOSING = ",;"  # delimiters of formats in which quotes always enclose cells
_SAMPLE_LINES = 200
_QUOTED_LINES = 5_000  # that decide whether quotes enclose cells
_BLOCK_CHARACTERS = 1024 * 1024
_SEP_LINE = re.compile(r'\s*"?sep=(.|\\t|tab|)"?[,;\t|\s]*', re.IGNORECASE)


@dataclass(frozen=True)
class Dialect:
    """How a delimited file is written.

    Attributes:
        delimiter: The character between cells.
        quoted: Whether quotes enclose cells; else they are part of the text.
    """

    delimiter: str
    quoted: bool = True

    def split(self, line: str) -> list[str]:
        """Returns the cells of one line; a line that cannot be read has none."""
        try:
            return next(self.reader(iter([line])), [])
        except csv.Error:
            return []

    @cached_property
    def _quote_inside(self) -> re.Pattern[str]:
        mark = re.escape(self.delimiter)
        # The quote comes first, so that the search jumps from one to the next.
        return re.compile(rf'"(?<=[^"{mark}]")(?=[^"{mark}\r\n])')

    def has_quote_inside(self, line: str) -> bool:
        """Returns whether a line may have a quote that neither opens nor closes a cell."""
        return self.quoted and '"' in line and self._quote_inside.search(line) is not None

    def split_as_written(self, line: str) -> list[str]:
        """Returns the cells of one line, with all quotes of a cell that they do not enclose as a whole."""
        mark = re.escape(self.delimiter)
        cells = re.findall(rf'(?:^|{mark})("(?:[^"]|"")*"(?={mark}|$)|[^{mark}]*)', line.rstrip("\r\n"))
        whole = re.compile(r'"(?:[^"]|"")*"')
        return [cell[1:-1].replace('""', '"') if whole.fullmatch(cell) else cell for cell in cells]

    def join(self, cells: Sequence[str]) -> str:
        """Returns cells as a line that has no quotes."""
        return self.delimiter.join(cells)

    def reader(self, lines: Iterator[str], *, strict: bool = False) -> Iterator[list[str]]:
        """Returns a reader of the records of lines; a strict one raises `csv.Error` where quotes break the rules."""
        csv.field_size_limit(max(csv.field_size_limit(), MAX_CELL_CHARACTERS))
        if not self.quoted:
            return csv.reader(lines, delimiter=self.delimiter, quoting=csv.QUOTE_NONE)
        # Some programs write a space behind the delimiter, and then the quote that encloses the cell.
        return csv.reader(lines, delimiter=self.delimiter, skipinitialspace=True, strict=strict)


def separator_line(line: str) -> str | None:
    """Returns the delimiter that an Excel line such as `sep=;` names, and None of any other line."""
    match = _SEP_LINE.fullmatch(line.rstrip("\r\n"))
    if match is None:
        return None
    return "\t" if match[1].lower() in ("\\t", "tab", "") else match[1]


def detect_dialect(text: TextIO, required: Collection[str], usual: str) -> Dialect:
    """Tells a file's dialect from its beginning, and from all lines with quotes where quotes may be text.

    The columns that a shop's file must have decide, which no general sniffer knows; then how many lines have as many
    cells as the header.

    Args:
        text: The file, from its beginning.
        required: Columns that the header should name.
        usual: The delimiter where nothing says otherwise.
    """
    lines = _read_sample(text)
    named = separator_line(lines[0]) if lines else None
    if named is not None:
        lines = lines[1:]
    candidates = dict.fromkeys([*([named] if named else []), usual, *DELIMITERS])
    best = max(candidates, key=lambda delimiter: _score(lines, Dialect(delimiter), required))
    if best in _ENCLOSING or not lines:
        return Dialect(best)
    return Dialect(best, not _quotes_are_text([*lines, *_quoted_lines(text)], best))


def missing_columns(cells: Sequence[str], required: Collection[str]) -> bool:
    """Returns whether the cells of a line lack the name of a required column."""
    return any(name not in cells for name in required)


def _read_sample(text: TextIO) -> list[str]:
    """Returns the first lines that are not blank."""
    lines = (line.removeprefix(BYTE_ORDER_MARK) for line in islice(text, _SAMPLE_LINES))
    return [line for line in lines if line.strip()]


def _score(lines: Sequence[str], dialect: Dialect, required: Collection[str]) -> tuple[bool, float, int]:
    """Returns how well a dialect explains lines: whether the header is whole, the share of lines like it, its width."""
    if not lines:
        return False, 0.0, 0
    try:
        records = list(islice(dialect.reader(iter(lines)), _SAMPLE_LINES))
    except csv.Error:
        records = [dialect.split(line) for line in lines]
    header = [cell.strip() for cell in records[0]]
    width = len(header)
    whole = bool(required) and not missing_columns(header, required)
    alike = sum(len(cells) == width for cells in records) if width > 1 else 0
    return whole, alike / len(records), width


def _quoted_lines(text: TextIO) -> list[str]:
    """Returns the rest of a file's lines that hold a quote, up to a limit."""
    found: list[str] = []
    rest = ""
    while len(found) < _QUOTED_LINES and (block := text.read(_BLOCK_CHARACTERS)):
        if '"' not in block and '"' not in rest:
            rest = block[block.rfind("\n") + 1 :]
            continue
        lines = (rest + block).splitlines(keepends=True)
        rest = lines.pop() if not lines[-1].endswith("\n") else ""
        found += [line for line in lines if '"' in line]
    return [*found, rest] if '"' in rest else found


def _quotes_are_text(lines: Sequence[str], delimiter: str) -> bool:
    """Returns whether quotes are part of the text: cells begin with one that no rule of CSV explains.

    Args:
        lines: The header, the lines after it, and others that hold a quote.
        delimiter: Between cells.
    """
    header = lines[0].rstrip("\r\n").split(delimiter)
    if any(cell.startswith('"') for cell in header):
        return False
    rows = [line.rstrip("\r\n").split(delimiter) for line in lines[1:]]
    unlike = enclosing = needless = 0
    for cells in rows:
        quoted = [cell for cell in cells if cell.startswith('"')]
        if len(cells) != len(header):
            enclosing += any('"' in cell for cell in cells)  # a delimiter or a line end inside quotes
            continue
        for cell in quoted:
            inner = cell[1:-1]
            if len(cell) == 1 or not cell.endswith('"') or '"' in inner.replace('""', ""):
                unlike += 1
            elif '"' in inner or "," in inner or not inner:  # Excel quotes a cell with a comma, whatever the delimiter
                enclosing += 1
            else:
                needless += 1
    if unlike:
        return unlike > enclosing
    return bool(needless) and not enclosing and not _whole_column_quoted(rows[:_SAMPLE_LINES])


def _whole_column_quoted(rows: Sequence[Sequence[str]]) -> bool:
    """Returns whether most cells of a column are quoted, as programs write that quote every text."""
    width = max(map(len, rows), default=0)
    for place in range(width):
        cells = [row[place] for row in rows if place < len(row) and row[place]]
        if cells and sum(cell.startswith('"') for cell in cells) > len(cells) / 2:
            return True
    return False
