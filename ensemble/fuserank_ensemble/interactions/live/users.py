"""What is known of who asks: the bundle's histories joined with the events since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.interactions.events import EventTable
from fuserank_ensemble.interactions.history import History, HistorySnapshot
from fuserank_ensemble.interactions.live.overlay import NOBODY, LiveOverlay
from fuserank_ensemble.interactions.live.person import KIND_CODES, Events, LivePerson
from fuserank_ensemble.state.identity import IdentityKey, Subject, hashed_name, subject_named
from fuserank_ensemble.state.log import StateUnavailableError

_NO_ROWS = np.empty(0, np.int32)


@dataclass(frozen=True)
class KnownUser:
    """What an answer may use of who asks.

    Attributes:
        name: What the bundle calls the user; empty for nobody, and for one whose past counts no more.
        row: Position in the bundle's histories, -1 for one who is not there or whose past counts no more.
        seen: What was had.
        disliked: What was returned, disliked or rated low, and how strongly; None where nothing was.
        hidden: Rows of the items that are never shown again, int32 `[items]`.
        live: Whether there are events since the bundle.
        personalised: False for one who opted out: nothing else is known then but what is hidden.
        upto: The newest entry of the log that counts.
        complete: False where the events since the bundle could not be read, or there is no key to look the user up.
    """

    name: str = ""
    row: int = -1
    seen: History = field(default_factory=History.empty)
    disliked: History | None = None
    hidden: NDArray[np.int32] = field(default_factory=lambda: _NO_ROWS)
    live: bool = False
    personalised: bool = True
    upto: int = 0
    complete: bool = True


class Users:
    """Looks users and sessions up."""

    def __init__(
        self,
        histories: HistorySnapshot,
        dislikes: HistorySnapshot | None,
        hidden: HistorySnapshot | None,
        table: EventTable,
        overlay: LiveOverlay | None,
        key: IdentityKey | None = None,
    ) -> None:
        """Joins what is known of users.

        Args:
            histories: What users had, as of the bundle.
            dislikes: What they disliked; None where nobody did.
            hidden: What they want never to see again; None where nobody does.
            table: What one event of each kind counts.
            overlay: The events since; None where no state is kept.
            key: The key under which the bundle names users; None where the state keeps it, or there is none.
        """
        self._histories, self._dislikes, self._hidden, self._overlay = histories, dislikes, hidden, overlay
        self._table, self._key = table, key
        self._names_anybody = len(histories) > 0 or dislikes is not None or hidden is not None

    @property
    def key(self) -> IdentityKey | None:
        """The key of users and sessions; None as long as none is known."""
        return self._key or (self._overlay.key if self._overlay else None)

    def find(self, user_id: str, session_id: str) -> KnownUser:
        """Returns what is known of a user in a session; either may be empty."""
        user, session = self.subjects(user_id, session_id)
        name = hashed_name(user) if user else ""
        # Without a key nobody is found who is in the bundle, and that must not look like somebody new.
        complete = bool(user) or not user_id or not self._names_anybody
        if self._overlay is None or self._overlay.key is None:
            return self._joined([name], name, NOBODY.events, complete)
        try:
            person = self._overlay.person(user) if user else NOBODY
            visit = self._overlay.person(session) if session else NOBODY
        except StateUnavailableError:
            return self._joined([name], name, NOBODY.events, complete=False)
        # What names its user counts under the user alone; without one it is all that is known.
        of_visit = visit.anonymous_events() if user else visit.events
        events = np.concatenate([person.events, of_visit]) if len(of_visit) else person.events
        name = "" if person.forgotten else name
        # A bundle that was made from the log holds sessions, too.
        names = [name, hashed_name(session) if session and not visit.forgotten else ""]
        if not person.personalised:
            return KnownUser(hidden=self._hidden_rows(names, events), personalised=False)
        return replace(self._joined(names, name, events), upto=max(person.upto, visit.upto))

    def of_person(self, subject: Subject, person: LivePerson) -> KnownUser:
        """Returns what is known of a user or a session by what the bundle has and by some entries of the log."""
        name = "" if person.forgotten else hashed_name(subject)
        return self._joined([name], name, person.events)

    def subjects(self, user_id: str, session_id: str) -> tuple[Subject, Subject]:
        """Returns the hashes of a user and a session; empty of who is not given, or cannot be hashed."""
        key = self.key
        if key is None:
            return subject_named(user_id) or b"", subject_named(session_id) or b""
        return key.user(user_id) if user_id else b"", key.session(session_id) if session_id else b""

    def _joined(self, names: Sequence[str], user: str, events: Events, complete: bool = True) -> KnownUser:
        """Joins what the bundle holds under some names with events; `user` is the name of who asks."""
        rows = [row for name in names if name and (row := self._histories.row(name)) >= 0]
        seen, disliked = History.empty(), None
        for row in rows:
            seen = seen.joined(self._histories.at(row)) if len(seen) else self._histories.at(row)
        for held in _held_in(self._dislikes, names):
            disliked = held if disliked is None else disliked.joined(held)
        if len(events):
            strengths = self._strengths(events)
            liked, lowered = strengths > 0, (strengths < 0) & (events["kind"] != KIND_CODES["hide"])
            seen = seen.joined(_history(events[liked], strengths[liked]))
            if lowered.any():
                taken_away = _history(events[lowered], -strengths[lowered])
                seen, disliked = seen.less(taken_away), (disliked or History.empty()).joined(taken_away)
        hidden = self._hidden_rows(names, events)
        row = rows[0] if rows else -1
        return KnownUser(user, row, seen, disliked, hidden, live=len(events) > 0, complete=complete)

    def _strengths(self, events: Events) -> NDArray[np.float32]:
        """What each event counts, float32 `[events]`; a rating is measured from the mean of those among them."""
        of_kind = [self._table.kinds[kind].strength if kind in self._table.kinds else 0.0 for kind in KIND_CODES]
        strengths: NDArray[np.float32] = np.asarray(of_kind, np.float32)[events["kind"]]
        ratings = np.flatnonzero((events["kind"] == KIND_CODES["rating"]) & ~np.isnan(events["value"]))
        if len(ratings) and self._table.ratings is not None:
            values = events["value"][ratings].astype(np.float64)
            centres = self._table.ratings.centres(np.cumsum(values), np.arange(1, len(values) + 1))
            strengths[ratings] *= self._table.ratings.strengths(values, centres)
        return strengths

    def _hidden_rows(self, names: Sequence[str], events: Events) -> NDArray[np.int32]:
        """Rows of the items that are hidden, in the bundle or by the events, int32 `[items]`."""
        rows: NDArray[np.int32] = np.unique(events["row"][events["kind"] == KIND_CODES["hide"]])
        for held in _held_in(self._hidden, names):
            rows = np.union1d(held.rows, rows)
        return rows


def _held_in(snapshot: HistorySnapshot | None, names: Sequence[str]) -> list[History]:
    """What a snapshot holds under some names."""
    if snapshot is None:
        return []
    return [held for name in names if name and (held := snapshot.get(name)) is not None]


def _history(events: Events, strengths: NDArray[np.float32]) -> History:
    return History.from_events(events["row"], events["time"], strengths)
