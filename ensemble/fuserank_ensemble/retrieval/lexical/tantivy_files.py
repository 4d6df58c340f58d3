"""Writes and opens the folders of tantivy indexes in a bundle, which nobody writes to afterwards.

What comes while a bundle is served goes into a folder of the process, see `GrowingIndex`.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

import tantivy

_HEAP_BYTES = 1_500_000_000
_LIVE_HEAP_BYTES = 15_000_000  # the least that tantivy takes


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


class GrowingIndex:
    """A bundle's index and what came since, which are one index to tantivy: a word is as rare as it is in both.

    The bundle's files are linked into a folder of this process, where new ones are written beside them. They stay as
    they are: tantivy's segments are immutable. Nothing is deleted either, since how words count would then depend on
    when segments are merged, which differs between processes.
    """

    def __init__(self, folder: Path) -> None:
        """Opens a bundle's index to be written to. One thread may write."""
        self._links = Path(tempfile.mkdtemp(prefix="fuserank-"))
        atexit.register(self.close)
        for file in folder.resolve().iterdir():
            if file.suffix == ".json":  # the list of segments, which changes
                shutil.copyfile(file, self._links / file.name)
            else:
                (self._links / file.name).symlink_to(file)
        self._index = tantivy.Index.open(str(self._links))
        self._index.config_reader("manual")
        self._writer = self._index.writer(_LIVE_HEAP_BYTES, 1)

    def add(self, document: tantivy.Document) -> None:
        """Adds a document."""
        self._writer.add_document(document)

    def commit(self) -> tantivy.Searcher:
        """Returns a view of all that was added up to now, which stays as it is."""
        self._writer.commit()
        self._index.reload()
        return self._index.searcher()

    def close(self) -> None:
        """Removes the folder; views of it stay as long as somebody reads them."""
        atexit.unregister(self.close)
        shutil.rmtree(self._links, ignore_errors=True)


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
