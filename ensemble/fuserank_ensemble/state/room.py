"""How much more a log may take: who appends what people did or were shown, or what the shop changed, asks before."""

from __future__ import annotations

import time

from fuserank_ensemble.state.log import EventLog, StateFullError

COUNT_SECONDS = 1.0  # how long the number of entries is taken for the same, but for those of this process


class Room:
    """The room that is left in a log. For one thread."""

    def __init__(self, most: int) -> None:
        """Takes how many entries the log may hold."""
        self._most = most
        self._size, self._counted_at = 0, float("-inf")

    def take(self, log: EventLog, more: int) -> None:
        """Takes room for some entries.

        Raises:
            StateFullError: Where there is none.
            StateUnavailableError: Where the log does not answer.
        """
        if time.monotonic() - self._counted_at > COUNT_SECONDS:
            self._size, self._counted_at = log.size(), time.monotonic()
        if self._size + more > self._most:
            raise StateFullError(
                f"the event log holds {self._size:,} entries of at most {self._most:,}: promote what `fuserank export "
                "refresh` makes, which lets it be trimmed, or raise --state-max-entries"
            )
        self._size += more
