"""How files and cells are read: encodings, delimiters, null markers, decimal marks, types, category separators."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from fuserank_export.sources.columns.dates import DATE_ORDERS, DateOrder
from fuserank_export.sources.columns.numbers import DECIMAL_MARKS, DecimalMark
from fuserank_export.sources.formats.encoding import check_encoding
from fuserank_export.sources.formats.text_format import TextFormat
from fuserank_export.sources.report import InputError, closest

ColumnType = Literal["text", "number", "integer", "flag", "time", "list"]
COLUMN_TYPES: tuple[ColumnType, ...] = get_args(ColumnType)
# Of databases' dumps, of pandas and R, and of spreadsheets.
NULL_MARKERS = frozenset(
    {"NULL", "null", "Null", "(null)", "\\N", "NaN", "nan", "NAN", "-nan", "-NaN", "<NA>", "NA", "N/A", "n/a", "#N/A"}
    | {"#NA", "#N/A N/A", "NaT", "nil", "None", "none", "undefined", "n.a.", "N.A.", "(none)", "(not set)"}
    | {"-", "--", "---", "–", "—"}
)
ALL = "all"
FileKind = Literal["catalog", "interactions", "users"]
FILE_KINDS: tuple[FileKind, ...] = get_args(FileKind)
DELIMITER_NAMES = {"tab": "\t", "\\t": "\t", "space": " "}
LONGEST_DELIMITER = 8  # characters
SEPARATORS = (">", "/", "|", ";", ",", ".", "\\", "::", ":")


@dataclass(frozen=True)
class Reading:
    """What a shop declares of its files and their cells.

    Attributes:
        types: Types of the catalogue's extra columns; those of other columns are taken from the file, or proven.
        decimals: Decimal marks by column, `all` standing for every column: its numbers are written as people write
            them, with thousands and a currency. Without a mark it is taken from the column where that proves one.
        dates: By column, `all` standing for every column, whether the day or the month comes first in dates such as
            3/4/2021. Without an order it is taken from the column where that proves one.
        null_markers: Texts that stand for a missing value.
        kept_markers: Columns in which they are values; `all` is every column.
        keep_html: Whether the raw HTML is kept beside the text, as `<column>_html`.
        category_levels: What separates a category's levels; None finds it.
        category_list: What separates several categories of a cell, `none` nothing; None finds it.
        encoding: What text files are written in that are not UTF-8; None guesses.
        delimiters: What stands between the cells of a text file, by file (`catalog`, `interactions`, `users`), `all`
            standing for every file; it is found where nothing is said.
        skip_lines: How many lines stand before the header, by file; the header is found where nothing is said.
    """

    types: Mapping[str, ColumnType] = field(default_factory=dict)
    decimals: Mapping[str, DecimalMark] = field(default_factory=dict)
    dates: Mapping[str, DateOrder] = field(default_factory=dict)
    null_markers: frozenset[str] = NULL_MARKERS
    kept_markers: frozenset[str] = frozenset()
    keep_html: bool = False
    category_levels: str | None = None
    category_list: str | None = None
    encoding: str | None = None
    delimiters: Mapping[str, str] = field(default_factory=dict)
    skip_lines: Mapping[str, int] = field(default_factory=dict)

    def decimal(self, column: str) -> DecimalMark | None:
        """Returns the decimal mark of a column."""
        return self.decimals.get(column, self.decimals.get(ALL))

    def date_order(self, column: str) -> DateOrder | None:
        """Returns whether the day or the month comes first in the dates of a column."""
        return self.dates.get(column, self.dates.get(ALL))

    def nulls(self, column: str) -> frozenset[str]:
        """Returns the texts that stand for a missing value in a column."""
        return frozenset() if {column, ALL} & self.kept_markers else self.null_markers

    def type_of(self, column: str) -> ColumnType | None:
        """Returns the declared type of a column; a column whose decimal mark is named holds numbers."""
        return self.types.get(column, "number" if column in self.decimals else None)

    def text_format(self, kind: FileKind) -> TextFormat:
        """Returns what is declared of the text files of a kind."""
        delimiter = self.delimiters.get(kind, self.delimiters.get(ALL))
        return TextFormat(self.encoding, delimiter, self.skip_lines.get(kind, self.skip_lines.get(ALL)))


DEFAULT_READING = Reading()


def parse_reading(
    default: Reading = DEFAULT_READING,
    *,
    types: Iterable[str] | None = None,
    decimals: Iterable[str] | None = None,
    dates: Iterable[str] | None = None,
    null_markers: Iterable[str] | None = None,
    kept_markers: Iterable[str] | None = None,
    keep_html: bool | None = None,
    category_levels: str | None = None,
    category_list: str | None = None,
    encoding: str | None = None,
    delimiters: Iterable[str] | None = None,
    skip_lines: Iterable[str] | None = None,
) -> Reading:
    """Returns what the command line says of files and cells; what it does not say (None) is as in `default`.

    Args:
        default: What holds where nothing is said.
        types: `column=type`, several separated by commas.
        decimals: `comma` or `point`, for one column `column=comma`.
        dates: `day-first` or `month-first`, for one column `column=day-first`.
        null_markers: Markers beside the usual ones.
        kept_markers: Columns in which markers are values.
        keep_html: See `Reading`, as all that follow.
        category_levels: What separates levels.
        category_list: What separates categories.
        encoding: Of text files.
        delimiters: A delimiter, for one file `catalog=::`.
        skip_lines: A number of lines, for one file `catalog=3`.

    Raises:
        InputError: Where one of them cannot be read.
    """
    texts = {
        "types": types,
        "decimals": decimals,
        "dates": dates,
        "null_markers": null_markers,
        "kept_markers": kept_markers,
        "keep_html": keep_html,
        "category_levels": category_levels,
        "category_list": category_list,
        "encoding": encoding,
        "delimiters": delimiters,
        "skip_lines": skip_lines,
    }
    given = {name: text for name, text in texts.items() if text is not None}
    return replace(default, **{name: _PARSERS[name](text) for name, text in given.items()})


def _assignments(option: str, texts: Iterable[str], allowed: tuple[Any, ...], default_name: str = "") -> dict[str, Any]:
    """Returns the values by name of `name=value,name=value`."""
    assigned = {}
    for text in (part.strip() for whole in texts for part in whole.split(",") if part.strip()):
        name, _, value = text.rpartition("=")
        name, value = name.strip() or default_name, value.strip()
        if value not in allowed or not name:
            near = closest(value, allowed)
            form = (
                f"COLUMN=TYPE with {', '.join(allowed)}"
                if not default_name
                else f"{' or '.join(allowed)}, or COLUMN={allowed[0]}"
            )
            raise InputError(
                f"{option}: found {text!r}; allowed: {form}." + (f" Did you mean {near!r}?" if near else "")
            )
        assigned[name] = value
    return assigned


def _of_files(option: str, texts: Iterable[str], form: str) -> Iterator[tuple[str, str, str]]:
    """Yields file, value and the text itself of each `value` or `file=value`."""
    for text in texts:
        kind, equals, value = text.partition("=")
        if equals and kind.strip() in (*FILE_KINDS, ALL):
            yield kind.strip(), value, text
        elif equals and kind.strip().isalpha():
            near = closest(kind.strip(), FILE_KINDS)
            raise InputError(
                f"{option}: found {text!r}; allowed: {form}, for one file {', '.join(f'{of}=…' for of in FILE_KINDS)}."
                + (f" Did you mean {near!r}?" if near else "")
            )
        else:
            yield ALL, text, text


def _delimiters(texts: Iterable[str]) -> dict[str, str]:
    form = f"what stands between cells, up to {LONGEST_DELIMITER} characters, such as ; or :: or tab"
    delimiters = {}
    for kind, value, text in _of_files("--delimiter", texts, form):
        delimiter = DELIMITER_NAMES.get(value.strip().casefold(), value.strip() or value[:1])
        if not 0 < len(delimiter) <= LONGEST_DELIMITER or set(delimiter) & set('"\r\n'):
            raise InputError(f"--delimiter: found {text!r}; allowed: {form}, and no quote")
        delimiters[kind] = delimiter
    return delimiters


def _line_counts(texts: Iterable[str]) -> dict[str, int]:
    form = "a whole number from 0 to 10,000"
    counts = {}
    for kind, value, text in _of_files("--skip-lines", texts, form):
        if not value.strip().isdecimal() or int(value) > 10_000:
            raise InputError(f"--skip-lines: found {text!r}; allowed: {form}")
        counts[kind] = int(value)
    return counts


def _separator(option: str, separator: str, allowed: tuple[str, ...]) -> str:
    if separator.strip() not in allowed:
        raise InputError(f"{option}: found {separator!r}; allowed: {' '.join(allowed)}")
    return separator.strip()


def _encoding(name: str) -> str:
    check_encoding(name)
    return name


_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "types": lambda texts: _assignments("--types", texts, COLUMN_TYPES),
    "decimals": lambda texts: _assignments("--decimal", texts, DECIMAL_MARKS, default_name=ALL),
    "dates": lambda texts: _assignments("--dates", texts, DATE_ORDERS, default_name=ALL),
    "null_markers": lambda texts: NULL_MARKERS | frozenset(texts),
    "kept_markers": frozenset,
    "keep_html": bool,
    "category_levels": lambda text: _separator("--category-levels", text, SEPARATORS),
    "category_list": lambda text: _separator("--category-list", text, (*SEPARATORS[2:5], "none")),
    "encoding": _encoding,
    "delimiters": _delimiters,
    "skip_lines": _line_counts,
}
