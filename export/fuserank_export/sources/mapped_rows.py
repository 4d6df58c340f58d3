"""Reads the rows of a file with its columns named, and its values meant, as the product's are."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fuserank_ensemble.interactions.events import EVENT_NAMES
from fuserank_export.layouts.known import find_layout
from fuserank_export.layouts.layout import Prepare
from fuserank_export.layouts.mapping import IGNORE, FileMapping, LogMapping, find_name, fold
from fuserank_export.layouts.nested import join_pairs, root_column, take_column, unfold_rows
from fuserank_export.layouts.recognise import kind_of, offer_mapping
from fuserank_export.sources.columns.cells import is_missing
from fuserank_export.sources.formats.rows import CHUNK_ROWS, read_rows
from fuserank_export.sources.formats.text_format import FOUND, HeaderNames, TextFormat
from fuserank_export.sources.report import InputError, RowReport, closest, shorten

JOINED = "joined to the product of another row"
WITHOUT_ITEM = "event without an item"


def read_mapped_rows(
    path: str | Path,
    report: RowReport,
    *,
    mapping: FileMapping,
    required: Collection[str],
    columns: Collection[str] | None = None,
    chunk_rows: int = CHUNK_ROWS,
    text: TextFormat = FOUND,
) -> Iterator[pd.DataFrame]:
    """Reads the rows of a file in chunks of bounded size, with the columns and values that a mapping makes of them.

    Args:
        path: The file, see `rows.read_rows`.
        report: Counts the rows, those that the mapping adds or leaves out included.
        mapping: What the columns become; an empty one leaves the file as it is.
        required: Our columns that there must be.
        columns: Our columns to read; None reads all.
        chunk_rows: The most rows in a chunk of the file.
        text: What is declared of how text files are written.

    Yields:
        Chunks as `rows.read_rows` yields them. A row that was made of a list's entry has its row's line.

    Raises:
        InputError: As `rows.read_rows`, or a required column is not where the mapping says.
    """
    if mapping == type(mapping)():
        yield from read_rows(path, report, required=required, columns=columns, chunk_rows=chunk_rows, text=text)
        return
    layout = find_layout(mapping.layout) if mapping.layout is not None else None
    text = replace(text, header=tuple(mapping.header))
    names = HeaderNames([_roots(mapping, ours) for ours in required if not _is_constant(mapping, ours)])
    chunks = read_rows(path, report, required=(), chunk_rows=chunk_rows, text=text, header=names)
    if layout is not None and layout.prepare is not None:
        chunks = _count_joined(layout.prepare, chunks, report)
    for number, chunk in enumerate(chunks):
        rows, has_no_entry = _unfold_rows(chunk, mapping, report)
        if number == 0:
            _check_columns(report, rows, mapping, required, has_entries=not has_no_entry.all())
        mapped = _name_columns(rows, mapping, required, columns)
        if isinstance(mapping, LogMapping):
            mapped = _name_events(mapped, mapping, has_no_entry, report)
        yield _keep_only(mapped, mapping, report)


def _roots(mapping: FileMapping, ours: str) -> list[str]:
    """Returns the file's columns that one of ours may be made of, its own name included."""
    return [ours, *(name.partition(".")[0] for name in mapping.names(ours))]


def _is_constant(mapping: FileMapping, ours: str) -> bool:
    """Returns whether a column is the same in all rows."""
    return ours == "event" and isinstance(mapping, LogMapping) and mapping.event is not None


def _count_joined(prepare: Prepare, chunks: Iterator[pd.DataFrame], report: RowReport) -> Iterator[pd.DataFrame]:
    """Yields prepared chunks, and counts the rows that are none of their own any more."""
    read, prepared = 0, 0

    def count_read() -> Iterator[pd.DataFrame]:
        nonlocal read
        for chunk in chunks:
            read += len(chunk)
            yield chunk

    for chunk in prepare(count_read()):
        prepared += len(chunk)
        yield chunk
    if read > prepared:
        report.left_out[JOINED] += read - prepared


def _unfold_rows(
    chunk: pd.DataFrame, mapping: FileMapping, report: RowReport
) -> tuple[pd.DataFrame, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Returns a row for each entry of the mapping's list, and which rows had a list without an entry, `[rows]`."""
    chunk = chunk.copy()
    for path in mapping.pairs:
        name = root_column(chunk, path)
        if name is not None:
            chunk[name] = join_pairs(chunk[name])
    if mapping.rows is None:
        return chunk, np.zeros(len(chunk), dtype=bool)
    rows, came_from_list = unfold_rows(chunk, mapping.rows)
    report.unfolded += len(rows) - len(chunk)
    return rows, ~came_from_list.to_numpy(dtype=bool)


def _check_columns(
    report: RowReport, chunk: pd.DataFrame, mapping: FileMapping, required: Collection[str], *, has_entries: bool
) -> None:
    """Raises InputError where a required column is not there; notes the others that are not.

    A field of nested values may be in later rows, where those of this chunk are empty (`has_entries` is false).
    """
    table = kind_of(required)
    names = [str(name) for name in chunk.columns]
    for ours in dict.fromkeys([*required, *mapping.columns]):
        paths = mapping.names(ours)
        if _is_constant(mapping, ours) or any(take_column(chunk, path) is not None for path in paths):
            continue
        near = closest(paths[0], names)
        where = "its first rows have no such field" if "." in paths[0] else "the file has no such column"
        message = (
            f"[{table}.columns] {ours} = {', '.join(map(repr, paths))}: {where}"
            + (f"; did you mean {near!r}?" if near else "")
        )  # fmt: skip
        later = not has_entries and any("." in path and root_column(chunk, path) is not None for path in paths)
        if ours in required and not later:
            listed = ", ".join(names[:30]) + (", …" if len(names) > 30 else "")
            raise InputError(
                f"{report.file}: {message} Found: {listed or 'none'}.{offer_mapping(report.file, names, required)}"
            )
        report.notes.append(message)


def _name_columns(
    chunk: pd.DataFrame, mapping: FileMapping, required: Collection[str], columns: Collection[str] | None
) -> pd.DataFrame:
    """Returns the columns under our names, first those of the mapping; their values mean what the mapping says."""
    mapped: dict[str, pd.Series[Any]] = {}
    used = {str(name) for name in chunk.columns if mapping.ignores(str(name))}
    rest = chunk.drop(columns=list(used))
    for ours in mapping.columns:
        paths = mapping.names(ours)
        found = [column for path in paths if (column := take_column(chunk, path)) is not None]
        used.update(root for path in paths if (root := root_column(chunk, path)) is not None)
        mapped[ours] = _first_value(found, chunk.index)
    for ours in required:  # found in whatever spelling
        name = find_name(map(str, rest.columns), ours)
        if ours not in mapped and name is not None and name not in used:
            mapped[ours] = chunk[name]
            used.add(name)
    for name in map(str, rest.columns):
        if name not in used:
            mapped.setdefault(name, chunk[name])
    if columns is not None:
        mapped = {name: values for name, values in mapped.items() if name in columns}
    for name, meanings in mapping.values.items():
        if name in mapped:
            mapped[name] = _replace_values(mapped[name], meanings)
    for name, separator in mapping.split.items():
        if name in mapped:
            mapped[name] = mapped[name].map(lambda cell, separator=separator: _split(cell, separator))
    return pd.DataFrame(mapped, index=chunk.index)


def _first_value(found: list[pd.Series[Any]], index: pd.Index[Any]) -> pd.Series[Any]:
    """Returns of each row the first value that is not missing, `[rows]`."""
    if not found:
        return pd.Series(None, index=index, dtype=object)
    if len(found) == 1:
        return found[0]
    values = found[0].to_numpy(dtype=object, copy=True)
    for column in found[1:]:
        missing = np.fromiter(map(is_missing, values), dtype=bool, count=len(values))
        values[missing] = column.to_numpy(dtype=object)[missing]
    return pd.Series(values, index=index, dtype=object)


def _replace_values(column: pd.Series[Any], meanings: dict[str, str]) -> pd.Series[Any]:
    """Returns a column with the values that are named replaced; they are equal as `fold` says."""
    by_fold = {fold(value): meaning for value, meaning in meanings.items()}
    return column.map(lambda cell: by_fold.get(fold(str(cell)), cell) if isinstance(cell, str | bool | int) else cell)


def _split(cell: Any, separator: str) -> Any:
    if not isinstance(cell, str) or is_missing(cell):
        return cell
    return [part for entry in cell.split(separator) if (part := entry.strip())]


def _name_events(
    chunk: pd.DataFrame, mapping: LogMapping, has_no_entry: np.ndarray[Any, np.dtype[np.bool_]], report: RowReport
) -> pd.DataFrame:
    """Returns a log with our names of its events, without the rows that the mapping leaves out."""
    column = chunk["event"] if "event" in chunk.columns else pd.Series(None, index=chunk.index, dtype=object)
    if mapping.event is not None:
        column = _first_value([column, pd.Series(mapping.event, index=chunk.index, dtype=object)], chunk.index)
    by_fold = {fold(name): name for name in EVENT_NAMES} | {fold(name): ours for name, ours in mapping.events.items()}
    codes, names = pd.factorize(column.astype(object), use_na_sentinel=False)
    ours, ignored = [], []
    for name in names:
        known = by_fold.get(fold(str(name)))
        ours.append(name if known is None else known)
        ignored.append(known == IGNORE or (known is None and mapping.other_events == "ignore"))
        if ignored[-1]:
            count = int((codes == len(ours) - 1).sum())
            report.left_out[f"event {shorten('(none)' if is_missing(name) else name, 60)}"] += count
    keep = ~np.array(ignored, dtype=bool)[codes] if len(codes) else np.zeros(0, dtype=bool)
    if has_no_entry.any() and "item_id" in chunk.columns:
        without = keep & has_no_entry & chunk["item_id"].map(is_missing).to_numpy(dtype=bool)
        if without.any():
            report.left_out[WITHOUT_ITEM] += int(without.sum())
        keep &= ~without
    named = chunk.assign(event=pd.Series(np.array([*ours, None], dtype=object)[codes], index=chunk.index, dtype=object))
    return named if keep.all() else named[keep]


def _keep_only(chunk: pd.DataFrame, mapping: FileMapping, report: RowReport) -> pd.DataFrame:
    """Returns the rows whose values the mapping keeps; a missing value is kept."""
    for name, allowed in mapping.only.items():
        if name not in chunk.columns:
            continue
        folded = {fold(value) for value in allowed}
        keep = np.fromiter(
            (is_missing(cell) or fold(str(cell)) in folded for cell in chunk[name]), dtype=bool, count=len(chunk)
        )
        for value, count in chunk.loc[~keep, name].map(str).value_counts().items():
            report.left_out[f"{name} {shorten(value, 60)}"] += int(count)
        chunk = chunk[keep]
        if len(folded) == 1:  # the same in all rows that are left
            chunk = chunk.drop(columns=name)
    return chunk
