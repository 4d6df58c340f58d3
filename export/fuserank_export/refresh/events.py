"""The events of the next bundle: those of the last one, without who was forgotten, and those of the log."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fuserank_ensemble.state.identity import hashed_name
from fuserank_export.refresh.log_part import LogPart
from fuserank_export.sources.archive import EventArchive


def write_events(old: Path, new: Path, part: LogPart) -> None:
    """Writes the events of the next bundle; parts in which nothing changes are linked.

    Args:
        old: The last bundle's `events/`.
        new: The next one's; it is made where there is any event.
        part: What the log holds beyond the bundle.
    """
    dropped = {hashed_name(who) for who in part.forgotten}
    renamed = {hashed_name(source): hashed_name(user) for source, user in part.merged.items()}
    for path in sorted(old.glob("*.parquet")):
        new.mkdir(exist_ok=True)
        _write_part(path, new / path.name, dropped, renamed)
    with EventArchive(new / f"log-{part.position:012}.parquet") as archive:
        archive.add(part.columns())


def _write_part(old: Path, new: Path, dropped: set[str], renamed: Mapping[str, str]) -> None:
    users = pq.read_table(old, columns=["user_id"])["user_id"]
    if not pc.any(pc.is_in(users, pa.array(sorted({*dropped, *renamed}), pa.string()))).as_py():
        link(old, new)
        return
    table = pq.read_table(old)
    table = table.filter(pc.invert(pc.is_in(table["user_id"], pa.array(sorted(dropped), pa.string()))))
    names = [renamed.get(name, name) for name in table["user_id"].to_pylist()]
    position = table.schema.get_field_index("user_id")
    pq.write_table(table.set_column(position, "user_id", pa.array(names, pa.string())), new, compression="zstd")


def link(old: Path, new: Path) -> None:
    """Gives a file a second name; copies it where the file system cannot do that."""
    new.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(old, new)
    except OSError:
        shutil.copyfile(old, new)
