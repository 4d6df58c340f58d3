"""What is known of who asks: the bundle's histories joined with the events since."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.interactions.events import EventTable
from fuserank_ensemble.interactions.history import History, HistorySnapshot
from fuserank_ensemble.interactions.live.overlay import NOBODY, LiveOverlay
from fuserank_ensemble.interactions.live.person import KIND_CODES, Events, LivePerson
from fuserank_ensemble.state.identity import Subject, hashed_name
from fuserank_ensemble.state.log import StateUnavailableError

_NO_ROWS = np.empty(0, np.int32)


@dataclass(frozen=True)
class KnownUser:
    """What an answer may use of who asks.

    Attributes:
        row: Position in the bundle's histories, -1 for one who is not there or whose past counts no more.
        seen: What was had.
        disliked: What was returned, disliked or rated low, and how strongly; None where nothing was.
        hidden: Rows of the items that are never shown again, int32 `[items]`.
        live: Whether there are events since the bundle.
        personalised: False for one who opted out: nothing else is known then but what is hidden.
        complete: False where the events since the bundle could not be read.
    """

    row: int = -1
    seen: History = field(default_factory=History.empty)
    disliked: History | None = None
    hidden: NDArray[np.int32] = field(default_factory=lambda: _NO_ROWS)
    live: bool = False
    personalised: bool = True
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
    ) -> None:
        """Joins what is known of users.

        Args:
            histories: What users had, as of the bundle.
            dislikes: What they disliked; None where nobody did.
            hidden: What they want never to see again; None where nobody does.
            table: What one event of each kind counts.
            overlay: The events since; None where no state is kept.
        """
        self._histories, self._dislikes, self._hidden, self._overlay = histories, dislikes, hidden, overlay
        self._table = table

    def find(self, user_id: str, session_id: str) -> KnownUser:
        """Returns what is known of a user in a session; either may be empty."""
        key = self._overlay.key if self._overlay else None
        if self._overlay is None or key is None:
            return self._joined([user_id], NOBODY.events)
        try:
            person = self._overlay.person(key.user(user_id)) if user_id else NOBODY
            session = self._overlay.person(key.session(session_id)) if session_id else NOBODY
        except StateUnavailableError:
            return self._joined(self._names(user_id), NOBODY.events, complete=False)
        # What names its user counts under the user alone; without one it is all that is known.
        of_session = session.anonymous_events() if user_id else session.events
        events = np.concatenate([person.events, of_session]) if len(of_session) else person.events
        # A bundle that was made from the log holds sessions, too, and users whose ids it does not know.
        names = [] if person.forgotten else self._names(user_id)
        names += [hashed_name(key.session(session_id))] if session_id and not session.forgotten else []
        if not person.personalised:
            return KnownUser(hidden=self._hidden_rows(names, events), personalised=False)
        return self._joined(names, events)

    def of_person(self, subject: Subject, person: LivePerson) -> KnownUser:
        """Returns what is known of a user or a session by what the bundle has and by some entries of the log."""
        return self._joined([] if person.forgotten else [hashed_name(subject)], person.events)

    def hidden_rows(self, user_id: str) -> NDArray[np.int32]:
        """Returns the rows of the items that a user never wants to see again, int32 `[items]`."""
        key = self._overlay.key if self._overlay else None
        person = NOBODY
        if self._overlay is not None and key is not None and user_id:
            with suppress(StateUnavailableError):
                person = self._overlay.person(key.user(user_id))
        return self._hidden_rows([] if person.forgotten else self._names(user_id), person.events)

    def _names(self, user_id: str) -> list[str]:
        """What the bundle may call a user: by id, or by the hash where the log alone knew of the user."""
        key = self._overlay.key if self._overlay else None
        return [user_id, *([hashed_name(key.user(user_id))] if key else [])] if user_id else []

    def _joined(self, names: Sequence[str], events: Events, complete: bool = True) -> KnownUser:
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
        return KnownUser(rows[0] if rows else -1, seen, disliked, hidden, live=len(events) > 0, complete=complete)

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
