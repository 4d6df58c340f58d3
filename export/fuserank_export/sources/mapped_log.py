"""Keeps a large log in files that are mapped: a column that no step reads at the moment takes no memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.arrays import map_array, release_pages
from fuserank_export.sources.interactions import Interactions

MAPPED_FROM = 1_000_000  # events; fewer take less memory than the libraries that read them


def map_log(log: Interactions, folder: Path) -> Interactions:
    """Returns the same log with its columns mapped from files without a name, which go when nobody reads them.

    Args:
        log: The log; a small one stays in memory.
        folder: A folder on a disk, which is as it was when this returns.
    """
    if len(log) < MAPPED_FROM:
        return log

    def map_column(column: NDArray[Any]) -> NDArray[Any]:
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".npy") as stream:
            np.save(stream, column)
            stream.flush()
            return map_array(Path(stream.name))

    columns: dict[str, Any] = {name: map_column(column) for name, column in _columns(log)}
    places = {kind: (map_column(codes), names) for kind, (codes, names) in log.places.items()}
    return replace(log, places=places, **columns)


def release_log(log: Interactions) -> None:
    """Takes what is mapped of a log out of this process's memory, until it is read again."""
    for column in (*(column for _, column in _columns(log)), *(codes for codes, _ in log.places.values())):
        release_pages(column)


def _columns(log: Interactions) -> Iterator[tuple[str, NDArray[Any]]]:
    """The columns of the events by the names of their attributes."""
    for attribute in fields(log):
        column = getattr(log, attribute.name)
        if isinstance(column, np.ndarray):
            yield attribute.name, column
