"""Reads the rows of an input in chunks: of one file of any supported format, of part files, or of a query."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from fuserank_export.layouts.recognise import init_command, kind_of, looks_like_a_row, offer_mapping
from fuserank_export.sources.formats.delimited import read_delimited
from fuserank_export.sources.formats.dialect import detect_dialect
from fuserank_export.sources.formats.encoding import TextEncoding, detect_encoding, open_text
from fuserank_export.sources.formats.feed import read_feed
from fuserank_export.sources.formats.json_list import holds_list, read_json_list
from fuserank_export.sources.formats.jsonlines import read_jsonlines
from fuserank_export.sources.formats.parquet import read_parquet
from fuserank_export.sources.formats.parts import Part, Parts, find_parts
from fuserank_export.sources.formats.sql import read_sql
from fuserank_export.sources.formats.stream import open_stream
from fuserank_export.sources.formats.text_format import FOUND, HeaderNames, TextFormat
from fuserank_export.sources.report import InputError, RowReport, closest

SelectColumns = Callable[[list[str]], list[str]]  # names of all columns -> names of those to read

CHUNK_ROWS = 100_000


def read_rows(
    path: str | Path,
    report: RowReport,
    *,
    required: Collection[str],
    columns: Collection[str] | None = None,
    chunk_rows: int = CHUNK_ROWS,
    text: TextFormat = FOUND,
    header: HeaderNames | None = None,
) -> Iterator[pd.DataFrame]:
    """Reads the rows of an input in chunks of bounded size.

    Args:
        path: A file of one of `parts.FORMATS`, plain, gzip or zstd; a DuckDB query (.sql); or a folder or pattern of
            such files, see `find_parts`.
        report: Counts the rows as `read`, and gets those that cannot be read.
        required: Columns that each file must have.
        columns: The columns to read; None reads all.
        chunk_rows: The most rows in a chunk.
        text: What is declared of how text files are written; the rest is found, and guesses are said in the report.
        header: Columns by which a header is found that other lines stand before; by default the required ones.

    Yields:
        Chunks whose index is the line, counted from 1 (CSV: where the row begins; Parquet, SQL, XML and lists of JSON:
        the row number; of part files, see `RowReport.begin_part`). Cells are text (CSV, XML), JSON values, or of the
        file's own types.

    Raises:
        InputError: A file is missing, empty, of an unknown kind, broken, or lacks a required column.
    """
    parts = find_parts(Path(path))
    header = header or HeaderNames([(name,) for name in required])
    _note_left_out(parts, report)
    guessed: set[str] = set()
    for part in parts.files:
        before = 0 if parts.single else report.begin_part(str(part.path))
        constants: list[str] = []
        select = _make_selection(part, required, columns, constants)
        for chunk in _read_part(part, report, select, required, chunk_rows, before, text, header, guessed):
            given = {name: part.constants[name] for name in constants if name not in chunk.columns}
            yield chunk.assign(**{name: np.full(len(chunk), value, object) for name, value in given.items()})


def _read_part(
    part: Part,
    report: RowReport,
    select: SelectColumns,
    required: Collection[str],
    chunk_rows: int,
    before: int,
    text_format: TextFormat,
    header: HeaderNames,
    guessed: set[str],
) -> Iterator[pd.DataFrame]:
    """Reads one file; see `read_rows`. Names of guessed encodings that the report has are in `guessed`."""
    if part.kind == "sql":
        yield from read_sql(part.path, report, select, chunk_rows=chunk_rows, before=before)
        return
    if part.kind == "parquet":
        with open_stream(part.path, seekable=True) as stream:
            yield from read_parquet(stream, report, select, chunk_rows=chunk_rows, before=before)
        return
    if part.kind == "xml":
        with open_stream(part.path) as stream:
            yield from read_feed(stream, report, select, chunk_rows=chunk_rows, before=before)
        return
    detected = detect_encoding(part.path, text_format.encoding)
    if detected.example and detected.name not in guessed:
        guessed.add(detected.name)
        note_guess(detected, report)
    if part.kind == "jsonl":
        with open_text(part.path, detected, newline="\n") as text:
            is_list = holds_list(text)
        read = read_json_list if is_list else read_jsonlines
        with open_text(part.path, detected, newline="\n") as text:
            yield from read(text, detected, report, select, chunk_rows=chunk_rows, before=before)
        return
    with open_text(part.path, detected) as text:
        dialect = detect_dialect(text, required, "\t" if part.kind == "tsv" else ",", text_format, header)
    if not dialect.quoted:
        report.note("quotes do not enclose cells here: they are read as part of the text")
    if dialect.lines_before and text_format.skip_lines is None:
        report.note(
            f"{part.path}: {dialect.lines_before} lines before the header are left out; --skip-lines says otherwise"
        )
    with open_text(part.path, detected) as text:
        yield from read_delimited(
            text, detected, dialect, report, select, required=required, chunk_rows=chunk_rows, before=before
        )


def note_guess(encoding: TextEncoding, report: RowReport) -> None:
    """Notes a guessed encoding with an example, so that a wrong guess is seen."""
    report.note(
        f"{report.source} is not UTF-8 and was read as {encoding.name}, with words such as {encoding.example!r}; "
        "where that is wrong, name its encoding with --encoding"
    )


def _note_left_out(parts: Parts, report: RowReport) -> None:
    if parts.left_out:
        more = ", …" if len(parts.left_out) > 5 else ""
        report.note(
            f"left out, since of no format that is read: {len(parts.left_out):,} files in the folder "
            f"({', '.join(parts.left_out[:5])}{more})"
        )


def _make_selection(
    part: Part, required: Collection[str], columns: Collection[str] | None, constants: list[str]
) -> SelectColumns:
    """Returns the function that takes a file's column names and returns those to read.

    It adds the columns that the names of the file's folders give to `constants`, and raises `InputError` where a
    required column is missing.
    """
    checked = False

    def select(names: list[str]) -> list[str]:
        nonlocal checked
        given = [name for name in part.constants if name not in names]
        if not checked:
            # Only once: in JSONL a later chunk may lack a key, which makes its rows bad and not the file.
            _check_columns(part.path, [*names, *given], required)
            checked = True
        constants[:] = [name for name in given if columns is None or name in columns]
        return names if columns is None else [name for name in names if name in columns]

    return select


def _check_columns(path: Path, names: list[str], required: Collection[str]) -> None:
    missing = [name for name in required if name not in names]
    if not missing:
        return
    optional = [name for name in names if name not in required]
    hints = [f" Did you mean {near!r}? Rename it to {name!r}." for name in missing if (near := closest(name, optional))]
    listed = ", ".join(names[:30]) + (", …" if len(names) > 30 else "")
    if looks_like_a_row(names):
        raise InputError(
            f"{path}: found no header: the first line is a row ({listed}); allowed: a first line that names the "
            f"columns, or their names in `header` in the TOML file of `{init_command(str(path), kind_of(required))}`. "
            "Where lines stand before the header, give their number with --skip-lines."
        )
    if len(names) == 1 and all(name in names[0] for name in required):
        raise InputError(
            f"{path}: found one column, {names[0]!r}; allowed: columns {', '.join(required)}. Name what stands between "
            "cells with --delimiter, such as --delimiter '^'; where each line stands in quotes as a whole, remove them."
        )
    raise InputError(
        f"{path}: the required column {', '.join(map(repr, missing))} is missing; "
        f"found: {listed or 'none'}; required: {', '.join(required)}.{''.join(hints)}"
        f"{offer_mapping(str(path), names, required)}"
    )
