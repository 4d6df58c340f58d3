"""Writes and opens the folders of tantivy indexes in a bundle, which nobody writes to afterwards."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

import tantivy

_HEAP_BYTES = 1_500_000_000


def open_searcher(folder: Path) -> tantivy.Searcher:
    """Opens a tantivy index without leaving a lock file in its folder, which may be read-only."""
    # Locks are made in this folder; the files stay mapped when the links to them are gone.
    links = tempfile.mkdtemp(prefix="fuserank-")
    try:
        for file in folder.resolve().iterdir():
            (Path(links) / file.name).symlink_to(file)
        index = tantivy.Index.open(links)
        index.config_reader("manual")
        return index.searcher()
    finally:
        # A thread of tantivy's may be making a lock just now: what is left goes when the process does.
        shutil.rmtree(links, ignore_errors=True)
        if Path(links).exists():
            atexit.register(shutil.rmtree, links, ignore_errors=True)


def index_writer(folder: Path, schema: tantivy.Schema) -> tantivy.IndexWriter:
    """A writer to a new index; `finish` ends it."""
    # One thread and room for all: documents stay in order and in one segment.
    return tantivy.Index(schema, str(folder)).writer(_HEAP_BYTES, 1)


def finish(writer: tantivy.IndexWriter, folder: Path) -> None:
    """Makes what was written durable and takes the writer's lock files away."""
    writer.commit()
    writer.wait_merging_threads()
    for lock in folder.glob(".tantivy-*.lock"):
        lock.unlink()
