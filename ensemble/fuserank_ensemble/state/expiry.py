"""Lets the log forget events after a time to live."""

from __future__ import annotations

import logging
import threading
from contextlib import closing

from fuserank_ensemble.state.log import StateError
from fuserank_ensemble.state.settings import State, StateSettings

EVERY_SECONDS = 3_600.0
STOP_SECONDS = 10.0
SECONDS_PER_DAY = 86_400.0
_LOG = logging.getLogger("fuserank")


class Expiry:
    """Removes what is too old once an hour, in a thread; processes may do so at once."""

    def __init__(self, settings: StateSettings, days: float) -> None:
        """Takes where the log is, and for how many days an event is kept."""
        self._settings, self._seconds = settings, days * SECONDS_PER_DAY
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="expiry", daemon=True)

    def start(self) -> Expiry:
        """Begins with what is too old now."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Ends the thread, after what it removes at present."""
        self._stopping.set()
        self._thread.join(STOP_SECONDS)

    def _follow(self) -> None:
        while True:
            try:
                with closing(State.open(self._settings).log) as log:
                    removed = log.expire(self._seconds)
                if removed:
                    _LOG.info("events were removed from the log after their time to live: %d", removed)
            except StateError as error:
                _LOG.warning("the event log cannot forget what is too old: %s", error)
            if self._stopping.wait(EVERY_SECONDS):
                return
