"""A catalogue's records, made or read when they are asked for: a million of them as Python objects take a gigabyte."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import msgspec
import numpy as np
import pandas as pd

from fuserank_ensemble.catalog.items import Records
from fuserank_export.index.columns import is_known

BLOCK = 10_000  # rows that are made at once
Record = dict[str, Any]


class LazyRecords(Sequence[Record]):
    """Records that a function makes, a block of rows at a time."""

    def __init__(self, count: int, make: Callable[[range], list[Record]]) -> None:
        """Takes how many there are, and what makes those of some rows."""
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, row: int) -> Record: ...
    @overload
    def __getitem__(self, row: slice) -> list[Record]: ...
    def __getitem__(self, row: int | slice) -> Record | list[Record]:
        rows = range(self._count)[row]
        return self._make(rows) if isinstance(rows, range) else self._make(range(rows, rows + 1))[0]

    def __iter__(self) -> Iterator[Record]:
        for start in range(0, self._count, BLOCK):
            yield from self._make(range(start, min(start + BLOCK, self._count)))

    def map(self, change: Callable[[Record], Record]) -> LazyRecords:
        """Returns the records as a function changes each, when it is asked for."""
        return LazyRecords(self._count, lambda rows: [change(record) for record in self._make(rows)])


def frame_records(frame: pd.DataFrame) -> LazyRecords:
    """Returns each row's fields without the missing ones, as JSON's types."""

    def make(rows: range) -> list[Record]:
        return [_record(row) for row in frame.iloc[rows.start : rows.stop : rows.step].to_dict("records")]

    return LazyRecords(len(frame), make)


def written_records(folder: Path, count: int) -> LazyRecords:
    """Returns the records that `Records.save` wrote to a folder."""
    records, decoder = Records(folder), msgspec.json.Decoder()

    def make(rows: range) -> list[Record]:
        made = [decoder.decode(records.raw(row)) for row in rows]
        if len(rows) == BLOCK:  # one of many, that are read in turn
            records.release()
        return made

    return LazyRecords(count, make)


def _record(row: Mapping[Any, Any]) -> Record:
    return {str(name): _plain(value) for name, value in row.items() if is_known(value)}


def _plain(value: Any) -> Any:
    """JSON knows Python's types, not numpy's."""
    return value.item() if isinstance(value, np.generic) else value
