"""Reads and validates a shop's catalogue, and gives every item its row number."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fuserank_ensemble.catalog.filters import CATEGORY_SEPARATOR
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY
from fuserank_export.layouts.mapping import FileMapping
from fuserank_export.sources.columns import cells
from fuserank_export.sources.columns.categories import parse_category, read_categories
from fuserank_export.sources.columns.numbers import parse_number, parse_price
from fuserank_export.sources.columns.parser import NO_TIME, ColumnParser, ObjectArray
from fuserank_export.sources.columns.proofs import prove_reading
from fuserank_export.sources.columns.times import parse_epoch_seconds
from fuserank_export.sources.columns.types import name_type, prove_type, restore_integers, split_list
from fuserank_export.sources.formats.parts import find_parts
from fuserank_export.sources.formats.rows import CHUNK_ROWS
from fuserank_export.sources.mapped_rows import read_mapped_rows
from fuserank_export.sources.reading import DEFAULT_READING, ColumnType, Reading
from fuserank_export.sources.report import DEFAULT_MAX_BAD_SHARE, InputError, RowReport, closest

REQUIRED = ("item_id", "title")
COLUMNS = (
    "item_id",
    "title",
    "description",
    "category",
    "brand",
    "price",
    "in_stock",
    "created_at",
    "image_url",
)
RAW_SUFFIX = "_html"  # of the column that keeps a text column's raw HTML


@dataclass(frozen=True)
class Catalog:
    """The items of a shop.

    Attributes:
        items: One row an item, sorted by the UTF-8 bytes of `item_id`; the index (0, 1, …) is the item's row
            number everywhere in a bundle. Always there: `COLUMNS`, of which item_id and title are text;
            description, category, brand and image_url text or None; price float64 (NaN: missing); in_stock
            boolean (nullable); created_at Int64 epoch seconds (nullable). Then the extra columns, in the file's
            order.
        report: The counts of rows read, kept and rejected.
    """

    items: pd.DataFrame
    report: RowReport

    def __len__(self) -> int:
        return len(self.items)

    @property
    def item_ids(self) -> list[str]:
        """Ids of the items by row number."""
        return list(self.items["item_id"])

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """Names of the columns beyond `COLUMNS`."""
        return tuple(name for name in map(str, self.items.columns) if name not in COLUMNS)


def read_catalog(
    path: str | Path,
    *,
    mapping: FileMapping | None = None,
    max_bad_share: float = DEFAULT_MAX_BAD_SHARE,
    bad_rows_path: str | Path | None = None,
    reading: Reading = DEFAULT_READING,
    now: float | None = None,
    chunk_rows: int = CHUNK_ROWS,
) -> Catalog:
    """Reads and validates a catalogue.

    Extra columns keep their type: numbers, truth values, text, lists and objects stay what they are in Parquet
    and JSONL. In CSV everything is text; a column becomes one of numbers only where every value is written as the
    number itself is ("007" and "10.10" are not), or where `reading` says so. An extra column without a single value is
    left out and named in the report, which also names the types.

    Args:
        path: A file, a folder, a pattern or a query; see `rows.read_rows`.
        mapping: What its columns become; None leaves them as they are.
        max_bad_share: The largest accepted share of bad rows.
        bad_rows_path: A JSONL file for all bad rows.
        reading: What the shop declares of its files and cells.
        now: Epoch seconds; `created_at` more than a day later counts as future. None takes the clock.
        chunk_rows: The most rows that are held unparsed.

    Returns:
        The valid items.

    Raises:
        InputError: The file cannot be used, too many rows are bad, or none is left.
    """
    latest = int(time.time() if now is None else now) + SECONDS_PER_DAY
    report = RowReport(str(path), Path(bad_rows_path) if bad_rows_path is not None else None)
    blocks: list[dict[str, ObjectArray]] = []
    first_lines: dict[str, int] = {}
    read = partial(
        read_mapped_rows,
        path,
        mapping=mapping or FileMapping(),
        required=REQUIRED,
        chunk_rows=chunk_rows,
        text=reading.text_format("catalog"),
    )
    with report:
        times = ["created_at", *(name for name, kind in reading.types.items() if kind == "time")]
        chunks, reading = prove_reading(
            read(report),
            lambda columns: read(RowReport(str(path)), columns=columns),
            reading,
            report,
            numbers=("price",),
            times=times,
        )
        for chunk in chunks:
            if not blocks:
                _check_declared(report.file, chunk, reading)
            blocks.append(_parse_chunk(chunk, report, first_lines, reading, latest))
    report.check(max_bad_share)
    if not report.kept:
        raise InputError(
            f"{path}: found no valid item in {report.read:,} rows; allowed: one item or more. "
            "Add rows with item_id and title."
        )
    untyped = not find_parts(Path(path)).typed
    items = _assemble(blocks, report, reading, untyped)
    return Catalog(items.sort_values("item_id", kind="stable", ignore_index=True), report)


def catalog_of_records(records: Sequence[Mapping[str, Any]], source: str) -> Catalog:
    """Returns a catalogue of records that were validated before, such as a bundle's own with changes of some items.

    Args:
        records: Each item's fields without the missing ones, of the kinds that `read_catalog` gives them.
        source: Where they are from, for the report.
    """
    names = dict.fromkeys(name for record in records for name in record)
    columns = {name: np.full(len(records), None, object) for name in names}
    for row, record in enumerate(records):
        for name, value in record.items():
            columns[name][row] = value
    paths = lru_cache(maxsize=None)(lambda path: (tuple(path.split(CATEGORY_SEPARATOR)),))
    if "category" in columns:
        # As paths: of a text the levels would have to be found anew.
        cells_of = [None if path is None else paths(path) for path in columns["category"]]
        columns["category"] = pd.Series(cells_of, dtype=object).to_numpy(object)
    report = RowReport(source, kept=len(records), read=len(records))
    items = _assemble([columns], report, DEFAULT_READING, untyped=False)
    return Catalog(items.sort_values("item_id", kind="stable", ignore_index=True), report)


def _check_declared(file: str, chunk: pd.DataFrame, reading: Reading) -> None:
    """Refuses a declared type of a column that the file has not, or that has a type of its own."""
    extras = [str(name) for name in chunk.columns if name not in COLUMNS]
    for name in reading.types:
        if name not in extras:
            near = closest(name, extras)
            raise InputError(
                f"{file}: --types names {name!r}; allowed: the extra columns {', '.join(extras) or '(none)'}."
                + (f" Did you mean {near!r}?" if near else "")
            )


def _parse_chunk(
    chunk: pd.DataFrame,
    report: RowReport,
    first_lines: dict[str, int],
    reading: Reading,
    latest: int,
) -> dict[str, ObjectArray]:
    """Returns the valid rows of a chunk as columns, each `[rows]`, and counts them in the report."""
    parser = ColumnParser(chunk, report, reading)
    item_ids = parser.parse("item_id", cells.parse_identifier)
    columns: dict[str, ObjectArray] = {
        "item_id": item_ids,
        "title": parser.parse("title", cells.require(cells.parse_text), cleans=True, markup=True),
        "description": parser.parse("description", cells.parse_text, cleans=True, markup=True),
        "category": parser.parse("category", parse_category, cleans=True, markup=True),
        "brand": parser.parse("brand", cells.parse_text, cleans=True, markup=True),
        "price": parser.parse("price", lambda value: parse_price(value, reading.decimal("price"))),
        "in_stock": parser.parse("in_stock", cells.parse_flag),
        "image_url": parser.parse("image_url", cells.parse_text, cleans=True),
    }
    created = parser.parse_epoch("created_at", required=False)
    columns["created_at"] = created.astype(object)
    columns["created_at"][created == NO_TIME] = None
    for name in map(str, chunk.columns):
        if name not in COLUMNS:
            declared = reading.type_of(name)
            parse = _parser_of(declared, name, reading)
            columns[name] = parser.parse(name, parse, cleans=True, markup=declared in (None, "text", "list"))
    if reading.keep_html:
        for name, rows in parser.marked_up.items():
            if rows.any() and (raw := f"{name}{RAW_SUFFIX}") not in chunk.columns:
                columns[raw] = np.full(len(chunk), None, dtype=object)
                columns[raw][rows] = chunk[name].to_numpy(dtype=object)[rows]
    # Last, so that the first *valid* row of an id is kept.
    for row in np.flatnonzero(parser.ok).tolist():
        line = int(parser.lines[row])
        first = first_lines.setdefault(item_ids[row], line)
        if first != line:
            parser.ok[row] = False
            report.reject(line, "item_id", item_ids[row], "duplicate", f"first in {report.describe_line(first)}")
    parser.count_cleaned()
    future = int((created[parser.ok] > latest).sum())
    if future:
        report.warnings["created_at in the future"] += future
    report.kept += int(parser.ok.sum())
    return {name: values[parser.ok] for name, values in columns.items()}


def _parser_of(declared: ColumnType | None, name: str, reading: Reading) -> Callable[[Any], Any]:
    """Returns the parser of an extra column's cells; each returns None for a missing value."""
    mark = reading.decimal(name)

    def parse_declared_number(value: Any) -> float | int | None:
        number = parse_number(value, mark)
        if math.isnan(number):
            return None
        if declared == "number":
            return number
        if not number.is_integer():
            raise cells.CellError("not an integer", f"allowed: whole numbers; --types {name}=number")
        return int(number)

    def parse_list(value: Any) -> list[Any] | None:
        parsed = cells.parse_attribute(value)
        return split_list(parsed) or None if isinstance(parsed, str) else parsed

    parsers: Mapping[ColumnType | None, Callable[[Any], Any]] = {
        None: cells.parse_attribute,
        "text": cells.parse_text,
        "number": parse_declared_number,
        "integer": parse_declared_number,
        "flag": cells.parse_flag,
        "time": partial(parse_epoch_seconds, order=reading.date_order(name)),
        "list": parse_list,
    }
    return parsers[declared]


def _assemble(blocks: list[dict[str, ObjectArray]], report: RowReport, reading: Reading, untyped: bool) -> pd.DataFrame:
    """Joins the blocks of all chunks, with a type for each column; extra columns without a value are left out.

    `untyped` says that the file holds nothing but text.
    """
    sizes = [len(block["item_id"]) for block in blocks]
    parts_by_name: dict[str, list[ObjectArray]] = defaultdict(list)
    for name in dict.fromkeys([*COLUMNS, *(name for block in blocks for name in block)]):
        for block, size in zip(blocks, sizes, strict=True):
            parts_by_name[name].append(block[name] if name in block else np.full(size, None, dtype=object))
    columns: dict[str, pd.Series[Any]] = {}
    for name, parts in parts_by_name.items():
        values = np.concatenate(parts)
        if name == "price":
            columns[name] = pd.Series(values.astype(np.float64))
        elif name == "in_stock":
            columns[name] = pd.Series(values, dtype="boolean")
        elif name == "created_at":
            columns[name] = pd.Series(values, dtype="Int64")
        elif name == "category":
            columns |= _category_columns(values, report, reading, may_list="categories" not in parts_by_name)
        elif name in COLUMNS:
            columns[name] = pd.Series(values, dtype=object)
        else:
            _add_extra(columns, name, values, report, reading, untyped)
    return pd.DataFrame(columns)


def _category_columns(
    values: ObjectArray, report: RowReport, reading: Reading, *, may_list: bool
) -> dict[str, pd.Series[Any]]:
    """Returns each item's category, its first one, and where any item has several the list of all, `[rows]`.

    `may_list` says that the file has no column `categories` of its own.
    """
    distinct = [cell for cell in dict.fromkeys(values) if cell is not None]
    found = read_categories(distinct, reading.category_levels, reading.category_list)
    report.notes += found.notes
    paths = [found.paths[cell] if cell is not None else [] for cell in values]
    columns = {"category": pd.Series([of_item[0] if of_item else None for of_item in paths], dtype=object)}
    if may_list and any(len(of_item) > 1 for of_item in paths):
        columns["categories"] = pd.Series([of_item or None for of_item in paths], dtype=object)
    return columns


def _add_extra(
    columns: dict[str, pd.Series[Any]],
    name: str,
    values: ObjectArray,
    report: RowReport,
    reading: Reading,
    untyped: bool,
) -> None:
    """Adds an extra column in its declared or proven type, and names that type in the report."""
    column, note = _narrow_type(values), ""
    if column is None:
        report.dropped_columns.append(name)
        return
    declared = reading.type_of(name)
    if untyped and declared is None and column.dtype == object and all(isinstance(v, str) for v in column.dropna()):
        column, note = prove_type(name, values, reading.decimal(name))
    elif column.dtype.kind == "f" and declared is None:
        column = restore_integers(column)
    columns[name] = column
    report.types[name] = declared or name_type(column)
    if note:
        report.notes.append(note)


def _narrow_type(values: ObjectArray) -> pd.Series[Any] | None:
    """Returns an extra column in the narrowest type that holds all its values; None if it has none."""
    column = pd.Series(values, dtype=object)
    present = column.notna()
    if not present.any():
        return None
    column = column.where(present, None)
    missing = not present.all()
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind == "boolean":
        column = column.astype("boolean" if missing else "bool")
    elif kind == "integer" and all(-(2**63) <= value < 2**63 for value in column[present]):
        column = column.astype("Int64" if missing else "int64")
    elif kind in {"floating", "mixed-integer-float"}:
        column = column.astype("float64")
    elif kind != "string" and not any(isinstance(value, list | dict) for value in values):
        # Mixed kinds become text; so do integers beyond 64 bits, which are ids, not quantities.
        column = column.map(_to_text, na_action="ignore")
    return column


def _to_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
