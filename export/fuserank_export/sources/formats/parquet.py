"""Reads Parquet as chunks, each row with its row number."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fuserank_export.sources.report import InputError, RowReport

# How pandas stores a nameless index, which is not a column of the shop.
_SAVED_INDEX = re.compile(r"__index_level_\d+__")


def read_parquet(
    stream: BinaryIO,
    report: RowReport,
    select: Callable[[list[str]], list[str]],
    *,
    chunk_rows: int,
    before: int = 0,
) -> Iterator[pd.DataFrame]:
    """Reads a Parquet file batch by batch.

    Args:
        stream: The file, seekable.
        report: Counts the rows, and gets those that cannot be read.
        select: Takes the names of all columns and returns those to keep.
        chunk_rows: The most rows in a chunk.
        before: The number of the row before the first, see `RowReport.begin_part`.

    Yields:
        Chunks in the file's own types; integers beside missing values stay integers, nested values are lists
        and dicts; the index is the 1-based row number. The first chunk comes even if there is no row.

    Raises:
        InputError: The file is not Parquet, or names a column twice.
    """
    try:
        file = pq.ParquetFile(stream)
    except pa.ArrowInvalid as error:
        raise InputError(
            f"{report.source}: found no readable Parquet ({error}); allowed: Parquet under this extension"
        ) from None
    columns = select_columns(file.schema_arrow.names, report.source, select)
    row = before + 1
    try:
        for batch in file.iter_batches(batch_size=chunk_rows, columns=columns):
            yield build_chunk(batch, row, report)
            row += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        last = row - 1 - before
        raise InputError(f"{report.source}: unreadable after row {last:,} ({error}); write the file anew") from None
    if row == before + 1:
        yield pd.DataFrame(columns=pd.Index(columns), dtype=object)


def select_columns(names: Sequence[str], source: str, select: Callable[[list[str]], list[str]]) -> list[str]:
    """Returns the names of the columns to keep, without a saved index of pandas.

    Raises:
        InputError: A column is there twice.
    """
    duplicates = [name for name, count in Counter(names).items() if count > 1]
    if duplicates:
        raise InputError(
            f"{source}: {', '.join(map(repr, duplicates))} is there more than once; allowed: each column once"
        )
    return select([name for name in names if not _SAVED_INDEX.fullmatch(name)])


def build_chunk(batch: Any, first_row: int, report: RowReport) -> pd.DataFrame:
    """Returns a batch's rows that are readable; counts all of them in the report.

    Args:
        batch: Arrow's record batch.
        first_row: The number of its first row.
        report: Gets the rows that cannot be read.
    """
    rows = batch.num_rows
    index = pd.RangeIndex(first_row, first_row + rows)
    unreadable = np.zeros(rows, dtype=bool)
    columns: dict[str, pd.Series[Any]] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        values, undecodable = _convert(column)
        for position in undecodable:
            if not unreadable[position]:
                report.reject(first_row + position, name, values[position], "not UTF-8 text")
            unreadable[position] = True
        columns[name] = pd.Series(values, index=index)
    report.read += rows
    frame = pd.DataFrame(columns, index=index)
    return frame[~unreadable] if unreadable.any() else frame


def _convert(column: Any) -> tuple[Any, list[int]]:
    """Returns a column as pandas can hold it `[rows]`, and the positions of its cells that are not UTF-8."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string_view(column.type):
        column = column.cast(pa.large_string())
    column = _as_shortest_decimals(column)
    kind = column.type
    if pa.types.is_nested(kind):
        return _convert_nested(column)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        try:
            return column.to_pandas().to_numpy(dtype=object), []
        except (UnicodeDecodeError, pa.ArrowException):  # which of them depends on pyarrow's version
            column = column.cast(pa.large_binary())
            kind = column.type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return _decode_cells(column.to_pylist())
    # The bare array: the series' own index starts at 0 and would be matched against the row numbers.
    return column.to_pandas(integer_object_nulls=True).array, []


def _as_shortest_decimals(column: Any) -> Any:
    """Returns a column whose float32 (also inside lists and structs) are the float64 of their shortest decimal.

    19.99 as float32 is 19.989999771118164 as float64, which no filter on 19.99 finds. Maps stay as they are.
    """
    texts, decimals = (_replace_floats(column.type, kind) for kind in (pa.string(), pa.float64()))
    return column if decimals.equals(column.type) else column.cast(texts).cast(decimals)


def _replace_floats(kind: Any, by: Any) -> Any:
    """Returns an Arrow type with another type in the place of float16 and float32."""
    if pa.types.is_float32(kind) or pa.types.is_float16(kind):
        return by
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        make = pa.list_ if pa.types.is_list(kind) else pa.large_list
        return make(kind.value_field.with_type(_replace_floats(kind.value_type, by)))
    if pa.types.is_struct(kind):
        return pa.struct([inner.with_type(_replace_floats(inner.type, by)) for inner in kind])
    return kind


def _convert_nested(column: Any) -> tuple[Any, list[int]]:
    values = np.empty(len(column), dtype=object)
    undecodable = []
    for position, cell in enumerate(column):
        try:
            values[position] = cell.as_py()
        except UnicodeDecodeError:
            values[position] = "(text inside that is not UTF-8)"
            undecodable.append(position)
    return values, undecodable


def _decode_cells(cells: list[bytes | None]) -> tuple[Any, list[int]]:
    values = np.empty(len(cells), dtype=object)
    undecodable = []
    for position, cell in enumerate(cells):
        if cell is None:
            continue
        try:
            values[position] = cell.decode("utf-8")
        except UnicodeDecodeError:
            values[position] = cell[:1000].decode("utf-8", "backslashreplace")
            undecodable.append(position)
    return values, undecodable
