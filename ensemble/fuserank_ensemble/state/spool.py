"""Keeps events on this machine's disk while the log is away, and delivers each of them once when it is back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from fuserank_ensemble.state.entries import Interaction
from fuserank_ensemble.state.identity import Subject
from fuserank_ensemble.state.log import Appended, EventLog, StateUnavailableError
from fuserank_ensemble.state.sqlite import SqliteLog

MAX_EVENTS = 100_000  # on disk; beyond it events are refused
BATCH = 1_000
AWAY_SECONDS = 1.0  # how long after a failure the log is not asked again: each call would wait for it
_LOG = logging.getLogger("fuserank")


def erase_waiting(path: Path, subject: Subject) -> int:
    """Removes a user's or a session's events from those that wait in a file; returns how many."""
    if not path.exists():
        return 0
    file = SqliteLog(path)
    try:
        return file.erase(subject, file.last_position() + 1)
    finally:
        file.close()


class Spool:
    """Appends events to a log, or to a file as long as the log does not answer. Processes may share the file.

    Those of somebody who was forgotten while they waited are left out when they are delivered, on whatever machine that
    was asked for: each notes how far the log was known when it came. It is asked once a second, so that of somebody who
    comes back right after, the events of such a second are left out, too, where the log went away within it.
    """

    def __init__(self, log: EventLog, path: Path, *, known: int, max_events: int = MAX_EVENTS) -> None:
        """Takes the log, and the file; what an earlier process left in it is delivered.

        Args:
            log: The log.
            path: The file.
            known: The log's last position as of now: it may not answer any more when events come.
            max_events: How many may wait.

        Raises:
            StateError: Where the file cannot be used.
        """
        self._log, self._file, self._known, self._max_events = log, SqliteLog(path), known, max_events
        self._away_until = 0.0
        self._stopping, self._news = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._deliver, name="spool", daemon=True)
        self._thread.start()

    def append(self, events: Sequence[Interaction]) -> list[Appended | None]:
        """Adds events to the log and returns their places; None for each where they are on this machine's disk.

        Raises:
            StateUnavailableError: Where the log is away and the file is full.
        """
        known = self._known  # before the log is asked, which takes a while
        if time.monotonic() >= self._away_until:
            try:
                return list(self._log.append(events))
            except StateUnavailableError as error:
                _LOG.warning("events are kept on this machine's disk: %s", error)
                self._away_until = time.monotonic() + AWAY_SECONDS
        waiting = len(self)
        if waiting + len(events) > self._max_events:
            raise StateUnavailableError(
                f"the event log does not answer, and {waiting:,} events wait for it on this machine's disk; at most "
                f"{self._max_events:,} may: send these again later"
            )
        self._file.append([msgspec.structs.replace(event, known=known) for event in events])
        self._news.set()
        return [None] * len(events)

    def __len__(self) -> int:
        """How many events wait."""
        return self._file.size()

    def close(self) -> None:
        """Ends the deliveries; what waits stays on the disk."""
        self._stopping.set()
        self._news.set()
        self._thread.join(30)
        self._file.close()

    def _deliver(self) -> None:
        while not self._stopping.is_set():
            try:
                waiting = self._file.read(0, BATCH)
                if waiting:
                    # One that had been delivered before the process ended is known by its id.
                    events = [logged.entry for logged in waiting if isinstance(logged.entry, Interaction)]
                    forgotten = sum(place.forgotten for place in self._log.append(events))
                    self._file.trim(waiting[-1].position, keep_seconds=0.0)
                    _LOG.warning(
                        "events that waited on this machine's disk were delivered: %d; left out, of who was forgotten "
                        "meanwhile: %d",
                        len(events) - forgotten,
                        forgotten,
                    )
                    if len(events) < len(waiting):
                        lost = len(waiting) - len(events)
                        _LOG.error("entries on this machine's disk that a newer version wrote were left out: %d", lost)
                    continue
                self._known = self._log.last_position()
            except StateUnavailableError:
                self._stopping.wait(AWAY_SECONDS)
                continue
            self._news.wait(AWAY_SECONDS)
            self._news.clear()
