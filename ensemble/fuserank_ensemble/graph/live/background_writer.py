"""Entries of the log that nobody waits for: a thread appends them, and drops what comes faster than it can write."""

from __future__ import annotations

import logging
import queue
import threading
from contextlib import suppress
from typing import Any

from fuserank_ensemble.state.log import StateError
from fuserank_ensemble.state.room import Room
from fuserank_ensemble.state.settings import State, StateSettings

MAX_WAITING = 1_000
BATCH = 100
_LOG = logging.getLogger("fuserank")


class BackgroundWriter:
    """Appends entries to the log in a thread of its own, which starts with the first entry."""

    def __init__(self, settings: StateSettings) -> None:
        """Takes where the log is."""
        self._settings = settings
        self._waiting: queue.Queue[Any] = queue.Queue(MAX_WAITING)
        self._thread: threading.Thread | None = None
        self.dropped = 0

    def write(self, entry: Any) -> None:
        """Hands an entry over; it is dropped, and counted, where too many wait."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._follow, name="background-writer", daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait(entry)
        except queue.Full:
            self.dropped += 1
            if self.dropped % MAX_WAITING == 1:
                _LOG.warning(
                    "entries of the log come faster than they are written: %d were dropped so far", self.dropped
                )

    def stop(self) -> None:
        """Ends the thread when what was handed over is written or dropped."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()
            self._thread = None

    def flush(self) -> None:
        """Waits until what was handed over is written or dropped."""
        self._waiting.join()

    def _follow(self) -> None:
        state: State | None = None
        room = Room(self._settings.max_entries)
        going_on = True
        while going_on:
            taken = [self._waiting.get()]
            with suppress(queue.Empty):
                while len(taken) < BATCH:
                    taken.append(self._waiting.get_nowait())
            going_on = None not in taken
            batch = [entry for entry in taken if entry is not None]
            try:
                state = state or State.open(self._settings)
                room.take(state.log, len(batch))
                state.log.append(batch)
            except StateError as error:
                self.dropped += len(batch)
                _LOG.warning("entries of the log were dropped: %s", error)
            except Exception:  # the boundary: what one batch holds must not end the thread
                self.dropped += len(batch)
                _LOG.exception("entries of the log were dropped")
            for _ in taken:
                self._waiting.task_done()
        if state is not None:
            state.log.close()
