"""Follows the log in a thread: every process of a server learns of each entry in the order of the log."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from fuserank_ensemble.state.entries import Logged
from fuserank_ensemble.state.log import StateError, StateUnavailableError
from fuserank_ensemble.state.settings import State, StateSettings

BATCH = 1_000
READ_SECONDS = 0.5  # how long one read waits for news; the thread can be stopped between two
OFTEN_SECONDS = 0.01  # between two reads: entries that come meanwhile are handed on together
ASKED_SECONDS = 0.002  # the same while somebody waits for a position
RETRY_SECONDS = (0.1, 2.0)  # the first and the longest pause before a log that failed is asked again
_LOG = logging.getLogger("fuserank")


@dataclass(frozen=True)
class SnapshotPosition:
    """What a bundle holds of a log.

    Attributes:
        id: The log's; empty where the bundle was made without one.
        position: The last entry that the bundle holds.
    """

    id: str = ""
    position: int = 0

    @classmethod
    def from_manifest(cls, manifest: dict[str, Any]) -> SnapshotPosition:
        """Reads a bundle's manifest, which names it as `live_log`."""
        return msgspec.convert(manifest["live_log"], cls)


class Consumer(Protocol):
    """What the entries are for, such as users' histories. It is called from one thread alone."""

    def attach(self, state: State, held: int) -> None:
        """Takes the state and up to where the bundle holds its log, once, before the first entry."""
        ...

    def apply(self, batch: Sequence[Logged]) -> None:
        """Takes the next entries; none where there are no more for now.

        Some may come again after an error: they must not count twice.
        """
        ...


class LogTail:
    """Reads the log from where a bundle ends, and hands the entries to consumers."""

    def __init__(
        self,
        settings: StateSettings,
        snapshot: SnapshotPosition,
        consumers: Sequence[Consumer],
        seconds: float = OFTEN_SECONDS,
    ) -> None:
        """Takes what to follow.

        Args:
            settings: Where the log is.
            snapshot: What a bundle holds of it.
            consumers: Who is to have the rest.
            seconds: Between two reads; who waits for a position does not wait for the next one.
        """
        self._settings, self._snapshot, self._consumers, self._seconds = settings, snapshot, consumers, seconds
        self._state: State | None = None
        self._news = threading.Condition()
        self._waiting = 0  # who waits for a position
        self._handed_on = -READ_SECONDS
        self._stopping, self._asked = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._follow, name="log-tail", daemon=True)
        self.position = 0
        self.failing = True
        self.incomplete = False

    def start(self) -> LogTail:
        """Reads all that is there, then goes on in a thread. Where the log does not answer, the thread tries again.

        Raises:
            StateError: Where the state cannot be used as it is configured.
        """
        try:
            while self._read(0.0):
                pass
        except StateUnavailableError as error:
            self._fail(error)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Ends the thread and closes the log."""
        self._stopping.set()
        self._asked.set()
        if self._thread.ident is not None:  # it was started
            self._thread.join(READ_SECONDS * 10)
        if self._state:
            self._state.log.close()

    def wait_for(self, position: int, seconds: float) -> bool:
        """Waits until the entries up to a position have been handed on; returns whether they have been."""
        if self.position >= position:
            return True
        with self._news:
            self._waiting += 1
            self._asked.set()
            try:
                there = self._news.wait_for(lambda: self.position >= position or self.failing, seconds)
            finally:
                self._waiting -= 1
            return there and not self.failing

    def _follow(self) -> None:
        pause = RETRY_SECONDS[0]
        while not self._stopping.is_set():
            try:
                tells = self._state is not None and self._state.log.tells_of_news
                if self._read(READ_SECONDS) or not tells:
                    self._rest()
                pause = RETRY_SECONDS[0]
            except StateError as error:
                self._fail(error)
                self._stopping.wait(pause)
                pause = min(2 * pause, RETRY_SECONDS[1])
            except Exception as error:  # the boundary: whatever happens, the log is followed
                _LOG.exception("the event log could not be followed")
                self._fail(StateError(type(error).__name__))
                self._stopping.wait(RETRY_SECONDS[1])

    def _read(self, wait: float) -> bool:
        """Hands on the next entries; returns whether there were any."""
        state = self._state or self._open()
        batch = state.log.read(self.position, BATCH, wait)
        if batch or time.monotonic() - self._handed_on >= READ_SECONDS:
            for consumer in self._consumers:
                self._hand_on(consumer, batch)
            self._handed_on = time.monotonic()
        if batch or self.failing:
            with self._news:
                self.failing = False
                self.position = batch[-1].position if batch else self.position
                self._news.notify_all()
        return bool(batch)

    def _rest(self) -> None:
        """Lets entries gather before the next read, but for who waits for one."""
        if self._waiting:
            self._stopping.wait(ASKED_SECONDS)
        else:
            self._asked.wait(self._seconds)
        self._asked.clear()

    def _hand_on(self, consumer: Consumer, batch: Sequence[Logged]) -> None:
        """Hands entries to a consumer; where it fails on one, the others are not lost."""
        try:
            consumer.apply(batch)
        except Exception:  # the boundary: whatever an entry holds, the next ones count
            if len(batch) <= 1:  # an empty one says that there is no more for now
                position = batch[0].position if batch else self.position
                _LOG.exception("an entry of the event log could not be used", extra={"position": position})
                self.incomplete = True
                return
            # Consumers take no entry twice.
            for logged in batch:
                self._hand_on(consumer, [logged])

    def _open(self) -> State:
        state = State.open(self._settings)
        try:
            self._attach(state)
        except BaseException:
            state.log.close()
            raise
        self._state = state
        return state

    def _attach(self, state: State) -> None:
        log, snapshot = state.log, self._snapshot
        if log.id == snapshot.id:
            # A log that was restored from a backup must not give the positions that the bundle holds to others.
            log.advance(snapshot.position)
            self.position = snapshot.position
        self.incomplete = self.position < log.trimmed_position()
        if self.incomplete:
            _LOG.warning("the event log was trimmed beyond what the bundle holds: some events do not count")
        for consumer in self._consumers:
            consumer.attach(state, self.position)

    def _fail(self, error: StateError) -> None:
        if not self.failing or self._state is None:
            _LOG.warning("the event log cannot be read: %s", error)
        with self._news:
            self.failing = True
            self._news.notify_all()
