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

    def note_write(self) -> None:
        """Has a checkpoint made soon; any thread may say so."""
        self._written.set()
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._follow, name="checkpoints", daemon=True)
                    self._thread.start()

    def stop(self) -> None:
        """Ends the thread; whoever closes the file last makes the last checkpoint."""
        self._stopping.set()
        self._written.set()
        if self._thread is not None:
            self._thread.join()

    def _follow(self) -> None:
        connection: sqlite3.Connection | None = None
        while self._written.wait() and not self._stopping.wait(EVERY_SECONDS):
            self._written.clear()
            try:
                connection = connection or self._connect()
                # Most of it beside the writers, then what they added meanwhile, for which the next one waits: what is
                # written ahead begins at the start of its file again only where nothing is left.
                for mode in ("PASSIVE", "FULL"):
                    connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
            except sqlite3.Error as error:
                _LOG.warning("what was written ahead of the event log stays there for now: %s", error)
        if connection is not None:
            connection.close()
