"""Reads and validates a shop's catalogue, and gives every item its row number."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fuserank_ensemble.interactions.history import SECONDS_PER_DAY
from fuserank_export.layouts.mapping import FileMapping
from fuserank_export.sources.columns import cells
from fuserank_export.sources.columns.parser import NO_TIME, ColumnParser, ObjectArray
from fuserank_export.sources.formats.rows import CHUNK_ROWS
from fuserank_export.sources.mapped_rows import read_mapped_rows
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
    numeric: Collection[str] = (),
    now: float | None = None,
    chunk_rows: int = CHUNK_ROWS,
) -> Catalog:
    """Reads and validates a catalogue.

    Extra columns keep their type: numbers, truth values, text, lists and objects stay what they are in Parquet
    and JSONL. In CSV everything is text and stays text ("007" is not 7), unless `numeric` names the column.
    An extra column without a single value is left out and named in the report.

    Args:
        path: Parquet, CSV, TSV or JSONL; see `rows.read_rows`.
        mapping: What its columns become; None leaves them as they are.
        max_bad_share: The largest accepted share of bad rows.
        bad_rows_path: A JSONL file for all bad rows.
        numeric: Extra columns that must hold numbers; other values there make a row bad.
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
    with report:
        for chunk in read_mapped_rows(path, report, mapping or FileMapping(), required=REQUIRED, chunk_rows=chunk_rows):
            if not blocks:
                _check_numeric(report.file, chunk, numeric)
            blocks.append(_parse_chunk(chunk, report, first_lines, frozenset(numeric), latest))
    report.check(max_bad_share)
    if not report.kept:
        raise InputError(
            f"{path}: found no valid item in {report.read:,} rows; allowed: one item or more. "
            "Add rows with item_id and title."
        )
    items = _assemble(blocks, report)
    return Catalog(items.sort_values("item_id", kind="stable", ignore_index=True), report)


def _check_numeric(file: str, chunk: pd.DataFrame, numeric: Collection[str]) -> None:
    extras = [str(name) for name in chunk.columns if name not in COLUMNS]
    for name in numeric:
        if name not in extras:
            near = closest(name, extras)
            raise InputError(
                f"{file}: numeric names {name!r}; allowed: the extra columns {', '.join(extras) or '(none)'}."
                + (f" Did you mean {near!r}?" if near else "")
            )


def _parse_chunk(
    chunk: pd.DataFrame,
    report: RowReport,
    first_lines: dict[str, int],
    numeric: Collection[str],
    latest: int,
) -> dict[str, ObjectArray]:
    """Returns the valid rows of a chunk as columns, each `[rows]`, and counts them in the report."""
    parser = ColumnParser(chunk, report)
    item_ids = parser.parse("item_id", cells.parse_identifier)
    columns: dict[str, ObjectArray] = {
        "item_id": item_ids,
        "title": parser.parse("title", cells.require(cells.parse_text), cleans=True),
        "description": parser.parse("description", cells.parse_text, cleans=True),
        "category": parser.parse("category", cells.parse_category_path, cleans=True),
        "brand": parser.parse("brand", cells.parse_text, cleans=True),
        "price": parser.parse("price", cells.parse_price),
        "in_stock": parser.parse("in_stock", cells.parse_flag),
        "image_url": parser.parse("image_url", cells.parse_text, cleans=True),
    }
    created = parser.parse_epoch("created_at", required=False)
    columns["created_at"] = created.astype(object)
    columns["created_at"][created == NO_TIME] = None
    for name in map(str, chunk.columns):
        if name in numeric:
            columns[name] = parser.parse(name, cells.parse_number)
        elif name not in COLUMNS:
            columns[name] = parser.parse(name, cells.parse_attribute, cleans=True)
    # Last, so that the first *valid* row of an id is kept.
    for row in np.flatnonzero(parser.ok).tolist():
        line = int(parser.lines[row])
        first = first_lines.setdefault(item_ids[row], line)
        if first != line:
            parser.ok[row] = False
            report.reject(line, "item_id", item_ids[row], "duplicate", f"first in line {first}")
    parser.count_cleaned()
    future = int((created[parser.ok] > latest).sum())
    if future:
        report.warnings["created_at in the future"] += future
    report.kept += int(parser.ok.sum())
    return {name: values[parser.ok] for name, values in columns.items()}


def _assemble(blocks: list[dict[str, ObjectArray]], report: RowReport) -> pd.DataFrame:
    """Joins the blocks of all chunks, with a type for each column; extra columns without a value are left out."""
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
        elif name in COLUMNS:
            columns[name] = pd.Series(values, dtype=object)
        else:
            column = _narrow_type(values)
            if column is None:
                report.dropped_columns.append(name)
            else:
                columns[name] = column
    return pd.DataFrame(columns)


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
