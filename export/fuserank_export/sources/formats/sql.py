"""Reads the result of a SQL query as chunks, each row with its number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from fuserank_export.sources.formats.parquet import build_chunk, select_columns
from fuserank_export.sources.report import InputError, RowReport


def read_sql(
    path: Path,
    report: RowReport,
    select: Callable[[list[str]], list[str]],
    *,
    chunk_rows: int,
    before: int = 0,
) -> Iterator[pd.DataFrame]:
    """Runs the statements of a file with DuckDB and reads the rows of the last one.

    They can read files (relative to the query's folder) and, by DuckDB's ATTACH, SQLite, PostgreSQL and MySQL.

    Args:
        path: The statements, UTF-8, in DuckDB's SQL.
        report: Counts the rows, and gets those that cannot be read.
        select: Takes the names of all columns and returns those to keep.
        chunk_rows: The most rows in a chunk.
        before: The number of the row before the first, see `RowReport.begin_part`.

    Yields:
        Chunks in the query's own types; see `read_parquet`.

    Raises:
        InputError: DuckDB is not installed or refuses the query, or it names a column twice.
    """
    try:
        import duckdb  # noqa: PLC0415
    except ModuleNotFoundError:
        raise InputError(f"{path}: a query needs DuckDB; install fuserank[sql], or give the rows as a file") from None
    try:
        statements = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: found a query that is not UTF-8 text; save it as UTF-8") from None
    with duckdb.connect() as connection:
        try:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET file_search_path = ?", [str(path.absolute().parent)])
            rows = connection.sql(statements)
            if rows is None:
                raise InputError(f"{path}: the last statement returns no rows; allowed: a SELECT at the end")
            columns = select_columns(rows.columns, report.source, select)
            row = before + 1
            for batch in rows.to_arrow_reader(chunk_rows):
                yield build_chunk(batch.select(columns), row, report)
                row += batch.num_rows
        except duckdb.Error as error:
            raise InputError(f"{path}: DuckDB cannot run the query: {error}") from None
    if row == before + 1:
        yield pd.DataFrame(columns=pd.Index(columns), dtype=object)
