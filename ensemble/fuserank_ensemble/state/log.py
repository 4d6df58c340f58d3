"""What a log of events promises, whatever keeps it; `tests/unit/ensemble/state` holds every implementation to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from fuserank_ensemble.state.entries import Entry, Logged
from fuserank_ensemble.state.identity import Subject

# How long an event that is sent again is recognised at least: trimming keeps entries so long.
KEEP_SECONDS = 86_400.0


class StateError(RuntimeError):
    """The state cannot be used as it is configured; the message says why and what to do."""


class StateUnavailableError(StateError):
    """The state does not answer at present, or has no room left; nothing of the call was kept."""


class StateFullError(StateUnavailableError):
    """The log has no room left, until it is trimmed."""


class Appended(NamedTuple):
    """What became of an entry.

    Attributes:
        position: Where it is, 0 of one that was left out.
        duplicate: Whether it had been there before.
        forgotten: Whether it was left out, since it waited while somebody whose it is was forgotten.
    """

    position: int
    duplicate: bool
    forgotten: bool = False


class EventLog(Protocol):
    """An ordered log. Positions are positive integers that grow; gaps are allowed.

    Every method but `close` raises `StateUnavailableError` where the state does not answer.
    """

    @property
    def tells_of_news(self) -> bool:
        """Whether a `read` can wait for an entry; where not, readers have to look again and again."""
        ...

    @property
    def id(self) -> str:
        """Names this log among all: positions of another mean nothing here."""
        ...

    def append(self, entries: Sequence[Entry]) -> list[Appended]:
        """Adds entries, all or none, and returns when they survive the end of any process.

        An entry whose `event_id` is in the log already is not added again, nor one that waited for the log
        (`waited_since`) while somebody whose it is was forgotten.
        """
        ...

    def read(self, after: int, limit: int, wait: float = 0.0) -> list[Logged]:
        """Returns the first entries behind a position, in order.

        Args:
            after: The position; 0 begins at the oldest.
            limit: How many to return at most.
            wait: Seconds to wait for the first, where there is none and the log `tells_of_news`.
        """
        ...

    def read_subject(self, subject: Subject, upto: int | None = None) -> list[Logged]:
        """Returns the entries of a user or a session in order, up to a position."""
        ...

    def wishes(self, subject: Subject | None = None) -> list[Logged]:
        """Returns the latest `Forget` and the latest `Personalise` of a user, or of all, in order.

        Trimming and erasing leave them: a bundle that is made from older files must not bring somebody back.
        """
        ...

    def last_position(self) -> int:
        """Position of the newest entry that was ever added, 0 of an empty log."""
        ...

    def trimmed_position(self) -> int:
        """Up to where entries were trimmed, 0 where none were."""
        ...

    def trim(self, position: int, keep_seconds: float = KEEP_SECONDS) -> int:
        """Removes entries up to a position, which a snapshot holds; returns how many.

        Args:
            position: The last to remove.
            keep_seconds: Entries that were added later than so long ago stay: their ids are still recognised.
        """
        ...

    def expire(self, seconds: float) -> int:
        """Removes what people did and were shown longer ago, whether or not a snapshot holds it; returns how many.

        What the shop said of its items and what people asked for stays.
        """
        ...

    def size(self) -> int:
        """How many entries the log holds."""
        ...

    def erase(self, subject: Subject, before: int) -> int:
        """Removes a user's or a session's entries before a position; returns how many."""
        ...

    def advance(self, position: int) -> None:
        """Makes every later entry's position larger than this one, as a log restored from a backup needs."""
        ...

    def setting(self, name: str, default: str = "") -> str:
        """Returns a setting of the log, empty where there is none; the first who asks with a default sets it."""
        ...

    def close(self) -> None:
        """Lets go of connections and files."""
        ...
