"""How cells are read: null markers, decimal marks, types of columns, category separators."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from fuserank_export.sources.columns.numbers import DECIMAL_MARKS, DecimalMark
from fuserank_export.sources.report import InputError, closest

ColumnType = Literal["text", "number", "integer", "flag", "time", "list"]
COLUMN_TYPES: tuple[ColumnType, ...] = get_args(ColumnType)
# Of databases' dumps, of pandas and R, and of spreadsheets.
NULL_MARKERS = frozenset(
    {"NULL", "null", "Null", "(null)", "\\N", "NaN", "nan", "NAN", "-nan", "-NaN", "<NA>", "NA", "N/A", "n/a", "#N/A"}
    | {"#NA", "#N/A N/A", "NaT", "nil", "None", "none", "undefined", "-", "--", "---", "–", "—"}
)
ALL = "all"
SEPARATORS = (">", "/", "|", ";", ",", ".", "\\", "::", ":")


@dataclass(frozen=True)
class Reading:
    """What a shop declares of its cells.

    Attributes:
        types: Types of the catalogue's extra columns; those of other columns are taken from the file, or proven.
        decimals: Decimal marks by column, `all` standing for every column: its numbers are written as people write
            them, with thousands and a currency. Without a mark only plain numbers are numbers.
        null_markers: Texts that stand for a missing value.
        kept_markers: Columns in which they are values; `all` is every column.
        keep_html: Whether the raw HTML is kept beside the text, as `<column>_html`.
        category_levels: What separates a category's levels; None finds it.
        category_list: What separates several categories of a cell, `none` nothing; None finds it.
    """

    types: Mapping[str, ColumnType] = field(default_factory=dict)
    decimals: Mapping[str, DecimalMark] = field(default_factory=dict)
    null_markers: frozenset[str] = NULL_MARKERS
    kept_markers: frozenset[str] = frozenset()
    keep_html: bool = False
    category_levels: str | None = None
    category_list: str | None = None

    def decimal(self, column: str) -> DecimalMark | None:
        """Returns the decimal mark of a column."""
        return self.decimals.get(column, self.decimals.get(ALL))

    def nulls(self, column: str) -> frozenset[str]:
        """Returns the texts that stand for a missing value in a column."""
        return frozenset() if {column, ALL} & self.kept_markers else self.null_markers

    def type_of(self, column: str) -> ColumnType | None:
        """Returns the declared type of a column; a column whose decimal mark is named holds numbers."""
        return self.types.get(column, "number" if column in self.decimals else None)


DEFAULT_READING = Reading()


def parse_reading(
    *,
    types: Iterable[str] = (),
    decimals: Iterable[str] = (),
    null_markers: Iterable[str] = (),
    kept_markers: Iterable[str] = (),
    keep_html: bool = False,
    category_levels: str | None = None,
    category_list: str | None = None,
) -> Reading:
    """Returns what the command line says of cells.

    Args:
        types: `column=type`, several separated by commas.
        decimals: `comma` or `point`, for one column `column=comma`.
        null_markers: Markers beside the usual ones.
        kept_markers: Columns in which markers are values.
        keep_html: See `Reading`.
        category_levels: See `Reading`.
        category_list: See `Reading`.

    Raises:
        InputError: Where one of them cannot be read.
    """
    return Reading(
        types=_assignments("--types", types, COLUMN_TYPES),
        decimals=_assignments("--decimal", decimals, DECIMAL_MARKS, default_name=ALL),
        null_markers=NULL_MARKERS | frozenset(null_markers),
        kept_markers=frozenset(kept_markers),
        keep_html=keep_html,
        category_levels=_separator("--category-levels", category_levels, SEPARATORS),
        category_list=_separator("--category-list", category_list, (*SEPARATORS[2:5], "none")),
    )


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


def _separator(option: str, separator: str | None, allowed: tuple[str, ...]) -> str | None:
    cleaned = separator.strip() if separator else separator
    if cleaned is not None and cleaned not in allowed:
        raise InputError(f"{option}: found {separator!r}; allowed: {' '.join(allowed)}")
    return cleaned
