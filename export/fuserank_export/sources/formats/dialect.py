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
from fuserank_export.sources.formats.text_format import FOUND, HeaderNames, TextFormat

MAX_CELL_CHARACTERS = 4 * 1024 * 1024  # also how far an unclosed quote can reach before it is noticed
DELIMITERS = (",", ";", "\t", "|")
LONGER_DELIMITERS = ("::", "||", ";;", "|~|", "~|~", "<>", "\t\t")
_ONE_CHARACTER = "\x1f"  # the unit separator of ASCII, in place of a delimiter of several characters
_ENCLOSING = ",;"  # delimiters of formats in which quotes always enclose cells
_SAMPLE_LINES = 200
_QUOTED_LINES = 5_000  # that decide whether quotes enclose cells
_BLOCK_CHARACTERS = 1024 * 1024
_LINES_BEFORE = 30  # the header at most
_SEP_LINE = re.compile(r'\s*"?sep=(.|\\t|tab|)"?[,;\t|\s]*', re.IGNORECASE)


@dataclass(frozen=True)
class Dialect:
    """How a delimited file is written.

    Attributes:
        delimiter: What stands between cells, one character or several.
        quoted: Whether quotes enclose cells; else they are part of the text.
        lines_before: How many lines stand before the header, those without a cell included.
        header: The names of the columns, where the file has none; empty where it names them.
    """

    delimiter: str
    quoted: bool = True
    lines_before: int = 0
    header: tuple[str, ...] = ()

    def split(self, line: str) -> list[str]:
        """Returns the cells of one line; a line that cannot be read has none."""
        try:
            return next(self.reader(iter([line])), [])
        except csv.Error:
            return []

    @property
    def _mark(self) -> str:
        """The one character that a csv reader takes for the delimiter."""
        return self.delimiter if len(self.delimiter) == 1 else _ONE_CHARACTER

    def _marked(self, line: str) -> str:
        return line if len(self.delimiter) == 1 else line.replace(self.delimiter, _ONE_CHARACTER)

    @cached_property
    def _quote_inside(self) -> re.Pattern[str]:
        mark = re.escape(self._mark)
        # The quote comes first, so that the search jumps from one to the next.
        return re.compile(rf'"(?<=[^"{mark}]")(?=[^"{mark}\r\n])')

    def has_quote_inside(self, line: str) -> bool:
        """Returns whether a line may have a quote that neither opens nor closes a cell."""
        return self.quoted and '"' in line and self._quote_inside.search(self._marked(line)) is not None

    def split_as_written(self, line: str) -> list[str]:
        """Returns the cells of one line, with all quotes of a cell that they do not enclose as a whole."""
        mark = re.escape(self._mark)
        cells = re.findall(rf'(?:^|{mark})("(?:[^"]|"")*"(?={mark}|$)|[^{mark}]*)', self._marked(line.rstrip("\r\n")))
        whole = re.compile(r'"(?:[^"]|"")*"')
        return _unmarked([cell[1:-1].replace('""', '"') if whole.fullmatch(cell) else cell for cell in cells], self)

    def join(self, cells: Sequence[str]) -> str:
        """Returns cells as a line that has no quotes."""
        return self.delimiter.join(cells)

    def reader(self, lines: Iterator[str], *, strict: bool = False) -> Iterator[list[str]]:
        """Returns a reader of the records of lines; a strict one raises `csv.Error` where quotes break the rules."""
        csv.field_size_limit(max(csv.field_size_limit(), MAX_CELL_CHARACTERS))
        if len(self.delimiter) > 1:
            return _MarkedReader(self, lines, strict=strict)
        return self.one_character_reader(lines, strict=strict)

    def one_character_reader(self, lines: Iterator[str], *, strict: bool) -> Iterator[list[str]]:
        """Returns a reader of lines in which one character stands between cells."""
        if not self.quoted:
            return csv.reader(lines, delimiter=self._mark, quoting=csv.QUOTE_NONE)
        # Some programs write a space behind the delimiter, and then the quote that encloses the cell.
        return csv.reader(lines, delimiter=self._mark, skipinitialspace=True, strict=strict)


class _MarkedReader:
    """Iterator of the records of lines whose delimiter has several characters, which the csv module cannot read.

    A generator would end at the first record that cannot be read.
    """

    def __init__(self, dialect: Dialect, lines: Iterator[str], *, strict: bool) -> None:
        self._dialect = dialect
        marked = (line.replace(dialect.delimiter, _ONE_CHARACTER) for line in lines)
        self._reader = dialect.one_character_reader(marked, strict=strict)

    def __iter__(self) -> _MarkedReader:
        return self

    def __next__(self) -> list[str]:
        return _unmarked(next(self._reader), self._dialect)


def _unmarked(cells: list[str], dialect: Dialect) -> list[str]:
    """Returns cells with the delimiter where quotes enclosed it."""
    if len(dialect.delimiter) == 1:
        return cells
    return [cell.replace(_ONE_CHARACTER, dialect.delimiter) for cell in cells]


def separator_line(line: str) -> str | None:
    """Returns the delimiter that an Excel line such as `sep=;` names, and None of any other line."""
    match = _SEP_LINE.fullmatch(line.rstrip("\r\n"))
    if match is None:
        return None
    return "\t" if match[1].lower() in ("\\t", "tab", "") else match[1]


def detect_dialect(
    text: TextIO,
    required: Collection[str],
    usual: str,
    declared: TextFormat = FOUND,
    header: HeaderNames | None = None,
) -> Dialect:
    """Tells a file's dialect from its beginning, and from all lines with quotes where quotes may be text.

    The columns that a shop's file must have decide, which no general sniffer knows; then how many lines have as many
    cells as the header.

    Args:
        text: The file, from its beginning.
        required: Columns that the header should name.
        usual: The delimiter where nothing says otherwise.
        declared: What is declared of the file.
        header: Columns by which a header is found that other lines stand before.
    """
    sample = list(islice(text, _SAMPLE_LINES))
    candidates = [declared.delimiter] if declared.delimiter else _candidates(sample, usual, header or HeaderNames())
    before = declared.skip_lines
    if declared.header:
        before = before or 0
    if before is None:
        before = _count_lines_before(sample, [Dialect(delimiter) for delimiter in candidates], header or HeaderNames())
    lines = [line.removeprefix(BYTE_ORDER_MARK) for line in sample[before:]]
    lines = [line for line in lines if line.strip()]
    if lines and separator_line(lines[0]) is not None:
        lines = lines[1:]
    best = max(candidates, key=lambda delimiter: _score(lines, Dialect(delimiter), required))
    quoted = best in _ENCLOSING or not lines or not _quotes_are_text([*lines, *_quoted_lines(text)], best)
    return Dialect(best, quoted, before, declared.header)


def _candidates(sample: Sequence[str], usual: str, names: HeaderNames) -> list[str]:
    """Returns the delimiters that a file may have, that of its `sep=` line first."""
    named = next((separator_line(line.removeprefix(BYTE_ORDER_MARK)) for line in sample if line.strip()), None)
    longer = [delimiter for delimiter in LONGER_DELIMITERS if any(delimiter in line for line in sample)]
    between = [mark for line in sample[:_LINES_BEFORE] if (mark := _mark_behind_a_name(line, names))]
    return list(dict.fromkeys([*([named] if named else []), usual, *DELIMITERS, *longer, *between]))


def _mark_behind_a_name(line: str, names: HeaderNames) -> str:
    """Returns what stands behind the name of a required column and before another word; empty where none is there."""
    for column in names.columns:
        for name in column:
            match = re.search(rf'(?<!\w){re.escape(name)}"?(?P<mark>[^\w"\r\n]{{1,8}})"?\w', line)
            if match is not None:
                return match["mark"].strip(" ")
    return ""


def _count_lines_before(sample: Sequence[str], dialects: Sequence[Dialect], names: HeaderNames) -> int:
    """Returns how many lines stand before the header, such as the title of a report that was exported.

    The header is the first line that names the columns, if those before it have fewer cells; else the first line with
    at least half of the cells that most lines have, if each before it has fewer.
    """
    for dialect in dialects:
        widths = [sum(bool(cell.strip()) for cell in dialect.split(line)) for line in sample]
        for place, line in enumerate(sample[:_LINES_BEFORE]):
            if names.match([cell.strip() for cell in dialect.split(line.removeprefix(BYTE_ORDER_MARK))]):
                return place if _has_text(sample[:place]) and max(widths[:place]) < widths[place] else 0
    best = max(dialects, key=lambda dialect: _usual_width(sample, dialect))
    usual = _usual_width(sample, best)
    for place, line in enumerate(sample[:_LINES_BEFORE]):
        width = sum(bool(cell.strip()) for cell in best.split(line))
        if width > usual / 2:
            is_named = separator_line(sample[place - 1].removeprefix(BYTE_ORDER_MARK)) is not None if place else False
            return place if usual > 1 and _has_text(sample[:place]) and not is_named else 0
    return 0


def _has_text(lines: Sequence[str]) -> bool:
    """Returns whether any of some lines is neither blank nor a `sep=` line."""
    stripped = [line.removeprefix(BYTE_ORDER_MARK) for line in lines]
    return any(line.strip() and separator_line(line) is None for line in stripped)


def _usual_width(sample: Sequence[str], dialect: Dialect) -> int:
    """Returns how many cells with text most lines have, at least."""
    widths = sorted(sum(bool(cell.strip()) for cell in dialect.split(line)) for line in sample if line.strip())
    return widths[len(widths) // 2] if widths else 0


def missing_columns(cells: Sequence[str], required: Collection[str]) -> bool:
    """Returns whether the cells of a line lack the name of a required column."""
    return any(name not in cells for name in required)


def _score(lines: Sequence[str], dialect: Dialect, required: Collection[str]) -> tuple[bool, float, int, int]:
    """Returns how well a dialect explains lines.

    Whether the header is whole, the share of lines like it, the number of columns without a name of their own
    below 0, and its width.
    """
    if not lines:
        return False, 0.0, 0, 0
    try:
        records = list(islice(dialect.reader(iter(lines)), _SAMPLE_LINES))
    except csv.Error:
        records = [dialect.split(line) for line in lines]
    header = [cell.strip() for cell in records[0]]
    width = len(header)
    whole = bool(required) and not missing_columns(header, required)
    alike = sum(len(cells) == width for cells in records) if width > 1 else 0
    return whole, alike / len(records), len(set(header) - {""}) - width, width


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
