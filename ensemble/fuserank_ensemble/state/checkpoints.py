"""Moves what SQLite has written ahead into its file, in a thread: no commit that somebody waits for has to."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable

EVERY_SECONDS = 2.0  # while something is written: 200 events a second are about 10 MB ahead by then
_LOG = logging.getLogger("fuserank")


class Checkpoints:
    """Makes checkpoints of a file in WAL mode a moment after something was written."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        """Takes what opens a connection, which the thread calls and closes; it begins with the first write."""
        self._connect = connect
        self._written, self._stopping = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        # The first one of a process empties: one before may have been killed between erasing and emptying.
        self._erased, self._emptied = 1, 0

    def note_write(self) -> None:
        """Has a checkpoint made soon; any thread may say so."""
        self._written.set()
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._follow, name="checkpoints", daemon=True)
                    self._thread.start()

    def empty(self, connection: sqlite3.Connection) -> None:
        """Empties what was written ahead: what was erased also lies there.

        Where others are at the file the thread tries again, until it is empty.
        """
        with self._lock:
            self._erased += 1
        if not self._empty(connection):
            self.note_write()

    def stop(self) -> None:
        """Ends the thread; whoever closes the file last makes the last checkpoint."""
        self._stopping.set()
        self._written.set()
        if self._thread is not None:
            self._thread.join()

    def _follow(self) -> None:
        connection: sqlite3.Connection | None = None
        while self._written.wait():
            ending = self._stopping.wait(EVERY_SECONDS)
            if ending and self._emptied == self._erased:
                break
            self._written.clear()
            try:
                connection = connection or self._connect()
                self._checkpoint(connection)
            except sqlite3.Error as error:
                _LOG.warning("what was written ahead of the event log stays there for now: %s", error)
            if ending:
                break
        if connection is not None:
            connection.close()

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        # Most of it beside the writers, then what they added meanwhile, for which the next one waits: what is written
        # ahead begins at the start of its file again only where nothing is left.
        _run(connection, "PASSIVE")
        if self._emptied == self._erased:
            _run(connection, "FULL")
        elif not self._empty(connection):
            self._written.set()

    def _empty(self, connection: sqlite3.Connection) -> bool:
        """Returns whether what was written ahead is empty, but for what comes meanwhile."""
        erased = self._erased
        if not _run(connection, "TRUNCATE"):
            return False
        with self._lock:
            self._emptied = max(self._emptied, erased)
        return True


def _run(connection: sqlite3.Connection, mode: str) -> bool:
    """Makes a checkpoint; returns whether nothing was in its way."""
    busy, _, _ = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
    return not busy
