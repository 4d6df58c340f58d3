"""Opens an input file of any supported format and reads its rows in chunks."""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import pandas as pd

from fuserank_export.layouts.recognise import offer_mapping
from fuserank_export.sources.formats.delimited import read_delimited
from fuserank_export.sources.formats.jsonlines import read_jsonlines
from fuserank_export.sources.formats.parquet import read_parquet
from fuserank_export.sources.report import InputError, RowReport, closest

SelectColumns = Callable[[list[str]], list[str]]  # names of all columns -> names of those to read

CHUNK_ROWS = 100_000
FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}


def read_rows(
    path: str | Path,
    report: RowReport,
    *,
    required: Collection[str],
    columns: Collection[str] | None = None,
    chunk_rows: int = CHUNK_ROWS,
) -> Iterator[pd.DataFrame]:
    """Reads the rows of a file in chunks of bounded size.

    Args:
        path: Parquet (.parquet, .pq), CSV (.csv), TSV (.tsv) or JSONL (.jsonl, .ndjson), each also with .gz.
        report: Counts the rows as `read`, and gets those that cannot be read.
        required: Columns that the file must have.
        columns: The columns to read; None reads all.
        chunk_rows: The most rows in a chunk.

    Yields:
        Chunks whose index is the line, counted from 1 (CSV: where the row begins; Parquet: the row number). Cells
        are text (CSV), JSON values (JSONL), or of the file's own types (Parquet).

    Raises:
        InputError: The file is missing, empty, of an unknown kind, broken, or lacks a required column.
    """
    path = Path(path)
    kind, gzipped = detect_format(path)
    select = _make_selection(path, required, columns)
    try:
        with _open_stream(path, kind, gzipped) as stream:
            yield from _read_chunks(kind, stream, report, select, chunk_rows)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: found a broken gzip file ({error}); write or copy it anew") from None


def detect_format(path: Path) -> tuple[str, bool]:
    """Returns a file's format by its extension (parquet, csv, tsv or jsonl), and whether it is gzipped.

    Raises:
        InputError: The extension is unknown or the file is not there.
    """
    name = path.name.lower()
    gzipped = name.endswith(".gz")
    suffix = Path(name.removesuffix(".gz")).suffix
    known = ", ".join(FORMATS)
    if suffix not in FORMATS:
        near = closest(suffix, FORMATS) if suffix else None
        hint = f" Did you mean {near}?" if near else ""
        raise InputError(
            f"{path}: found the extension {suffix or 'none'!r}; allowed: {known}, each also with .gz.{hint}"
        )
    if path.is_dir():
        raise InputError(f"{path}: found a folder; allowed: one file ({known})")
    if not path.is_file():
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        near = closest(path.name, beside)
        hint = f" Did you mean {path.parent / near}?" if near else " Check the path."
        raise InputError(f"{path}: found no such file; allowed: an existing file ({known}).{hint}")
    return FORMATS[suffix], gzipped


@contextmanager
def _open_stream(path: Path, kind: str, gzipped: bool) -> Iterator[BinaryIO]:
    """Yields the decompressed bytes; refuses an empty file and UTF-16."""
    with path.open("rb") as stream:
        head = stream.read(4)
        stream.seek(0)
        if not head:
            raise InputError(f"{path}: found an empty file; allowed: a file with columns and rows")
        if head.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise InputError(f"{path}: found UTF-16 text; allowed: UTF-8. Save the file as UTF-8.")
        if not gzipped:
            yield stream
            return
        with gzip.open(stream) as unzipped:
            if kind != "parquet":
                yield cast(BinaryIO, unzipped)
                return
            # Parquet is read from its end, which a gzip stream cannot offer.
            with tempfile.TemporaryFile() as copy:
                shutil.copyfileobj(unzipped, copy)
                copy.seek(0)
                yield cast(BinaryIO, copy)


def _read_chunks(
    kind: str, stream: BinaryIO, report: RowReport, select: SelectColumns, chunk_rows: int
) -> Iterator[pd.DataFrame]:
    if kind == "parquet":
        return read_parquet(stream, report, select, chunk_rows)
    if kind == "jsonl":
        return read_jsonlines(stream, report, select, chunk_rows)
    return read_delimited(stream, report, select, chunk_rows, delimiter="\t" if kind == "tsv" else None)


def _make_selection(path: Path, required: Collection[str], columns: Collection[str] | None) -> SelectColumns:
    """Returns the function that takes a file's column names and returns those to read.

    It raises `InputError` where a required column is missing.
    """
    checked = False

    def select(names: list[str]) -> list[str]:
        nonlocal checked
        if not checked:
            # Only once: in JSONL a later chunk may lack a key, which makes its rows bad and not the file.
            _check_columns(path, names, required)
            checked = True
        return names if columns is None else [name for name in names if name in columns]

    return select


def _check_columns(path: Path, names: list[str], required: Collection[str]) -> None:
    missing = [name for name in required if name not in names]
    if not missing:
        return
    optional = [name for name in names if name not in required]
    hints = [f" Did you mean {near!r}? Rename it to {name!r}." for name in missing if (near := closest(name, optional))]
    listed = ", ".join(names[:30]) + (", …" if len(names) > 30 else "")
    raise InputError(
        f"{path}: the required column {', '.join(map(repr, missing))} is missing; "
        f"found: {listed or 'none'}; required: {', '.join(required)}.{''.join(hints)}"
        f"{offer_mapping(str(path), names, required)}"
    )
