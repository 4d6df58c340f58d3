"""Keeps the valid rows of a log in the input format, so that a bundle can be made from another one and what came since.

Users and sessions have the names that a bundle gives them. The folder is a log itself: `--interactions <bundle>/events`
reads all of its parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

SCHEMA = pa.schema(
    {
        "user_id": pa.string(),
        "item_id": pa.string(),
        "event": pa.string(),
        "timestamp": pa.int64(),
        "value": pa.float32(),
        "query": pa.string(),
        "store": pa.string(),
        "region": pa.string(),
        "device": pa.string(),
        "position": pa.int32(),
        "session_id": pa.string(),
        "propensity": pa.float32(),
        "bundle": pa.string(),
        "arm": pa.string(),  # of an experiment; an export does not read it
    }
)


def rename_archived_users(path: Path, names: Mapping[str, str]) -> None:
    """Gives users of an archive other names."""
    renamed = path.with_name(f"{path.name}.renamed")
    position = SCHEMA.get_field_index("user_id")
    with pq.ParquetFile(path) as old, pq.ParquetWriter(renamed, SCHEMA, compression="zstd") as new:
        for batch in old.iter_batches():
            table = pa.Table.from_batches([batch])
            users = [names.get(user, user) for user in table["user_id"].to_pylist()]
            new.write_table(table.set_column(position, "user_id", pa.array(users, pa.string())))
    renamed.replace(path)


class EventArchive:
    """A Parquet file of events, written part by part; it is there when the first rows are."""

    def __init__(self, path: Path) -> None:
        """Takes the file, which must not exist. Users and sessions that it gets have their names in a bundle."""
        self._path = path
        self._writer: pq.ParquetWriter | None = None

    def add(self, columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> None:
        """Writes rows: None or NaN where a value is missing; columns that are left out have none."""
        rows = len(columns["user_id"])
        if not rows:
            return
        if self._writer is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self._path, SCHEMA, compression="zstd")
        arrays = [
            pa.array(columns[field.name], field.type, from_pandas=True)
            if field.name in columns
            else pa.nulls(rows, field.type)
            for field in SCHEMA
        ]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()
