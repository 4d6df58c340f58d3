"""Reads JSONL as chunks of JSON values, each row with its line number."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, TextIO

import pandas as pd

from fuserank_export.sources.formats.encoding import BYTE_ORDER_MARK, TextEncoding
from fuserank_export.sources.report import InputError, RowReport, shorten

CHUNK_CHARACTERS = 32 * 1024 * 1024  # long values must not make a chunk of many rows outgrow memory
MAX_COLUMNS = 2_000
_MONGO_TYPES = frozenset(
    ("$oid", "$date", "$numberInt", "$numberLong", "$numberDouble", "$numberDecimal", "$symbol", "$uuid")
)


def read_jsonlines(
    text: TextIO,
    encoding: TextEncoding,
    report: RowReport,
    select: Callable[[list[str]], list[str]],
    *,
    chunk_rows: int,
    before: int = 0,
) -> Iterator[pd.DataFrame]:
    """Reads one JSON object a line.

    Args:
        text: The file's text; lines end with a line feed.
        encoding: What it was decoded with.
        report: Counts the rows, and gets those that cannot be read.
        select: Takes the names of all keys and returns those to keep.
        chunk_rows: The most rows in a chunk.
        before: The number of the line before the first, see `RowReport.begin_part`.

    Yields:
        Chunks whose columns are their objects' keys, in order of appearance; a missing key is None. The index is
        the line, counted from 1.

    Raises:
        InputError: The objects have more than `MAX_COLUMNS` different keys.
    """
    records: list[dict[str, Any]] = []
    starts: list[int] = []
    size = 0
    for number, marked in enumerate(text, before + 1):
        line = encoding.repair(marked).lstrip(BYTE_ORDER_MARK)  # also inside a file that was joined of several
        if not line.strip():
            continue
        report.read += 1
        record = _parse_record(line, encoding, number, report)
        if record is None:
            continue
        records.append(record)
        starts.append(number)
        size += len(line)
        if len(records) >= chunk_rows or size >= CHUNK_CHARACTERS:
            yield build_chunk(records, starts, select, report.source)
            records, starts, size = [], [], 0
    if records:
        yield build_chunk(records, starts, select, report.source)


def _parse_record(text: str, encoding: TextEncoding, number: int, report: RowReport) -> dict[str, Any] | None:
    if encoding.undecodable(text):
        report.reject(number, "row", text[:1000].strip(), encoding.problem, encoding.remedy)
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        report.reject(number, "row", text[:1000].strip(), "malformed JSON", str(error))
        return None
    return check_record(value, number, report, may_escape="\\ud" in text or "\\uD" in text)


def check_record(value: Any, number: int, report: RowReport, *, may_escape: bool = True) -> dict[str, Any] | None:
    """Returns a row's object; reports the row and returns None where it is none, or cannot be written again.

    Args:
        value: What the row holds.
        number: Its line or number.
        report: Gets a row that is rejected.
        may_escape: Whether its text has an escape of half a surrogate pair, which no UTF-8 file can hold afterwards.
    """
    if not isinstance(value, dict):
        report.reject(number, "row", shorten(value, 1000), "not a JSON object", "allowed: objects")
        return None
    if may_escape:
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            report.reject(number, "row", shorten(value, 1000), "holds half a surrogate pair")
            return None
    return value


def build_chunk(
    records: list[dict[str, Any]], starts: list[int], select: Callable[[list[str]], list[str]], file: str
) -> pd.DataFrame:
    """Returns objects as a chunk: their keys are its columns, and the lines or row numbers its index."""
    names = select(list(dict.fromkeys(key for record in records for key in record)))
    if len(names) > MAX_COLUMNS:
        raise InputError(
            f"{file}: found {len(names):,} different keys; allowed: {MAX_COLUMNS:,}. "
            "Put free-form attributes into one object under one key."
        )
    index = pd.Index(starts, dtype="int64")
    # Column by column and as objects: pandas would turn integers beside missing values into floats.
    columns = {
        name: pd.Series([_plain(record.get(name)) for record in records], index=index, dtype=object) for name in names
    }
    return pd.DataFrame(columns, index=index)


def _plain(value: Any) -> Any:
    """Returns what MongoDB's extended JSON says of a type, such as `{"$oid": "5f1"}`, as a plain value."""
    while isinstance(value, dict) and len(value) == 1 and next(iter(value)) in _MONGO_TYPES:
        (value,) = value.values()
    return value
