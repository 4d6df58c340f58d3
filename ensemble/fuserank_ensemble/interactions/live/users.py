"""What is known of who asks: the bundle's histories joined with the events since."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.interactions.events import EventTable
from fuserank_ensemble.interactions.history import History, HistorySnapshot
from fuserank_ensemble.interactions.live.overlay import NOBODY, LiveOverlay
from fuserank_ensemble.interactions.live.person import KIND_CODES, Events
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
            return self._joined(user_id, NOBODY.forgotten, NOBODY.events)
        try:
            person = self._overlay.person(key.user(user_id)) if user_id else NOBODY
            session = self._overlay.person(key.session(session_id)) if session_id else NOBODY
        except StateUnavailableError:
            return self._joined(user_id, NOBODY.forgotten, NOBODY.events, complete=False)
        # What names its user counts under the user alone; without one it is all that is known.
        of_session = session.anonymous_events() if user_id else session.events
        events = np.concatenate([person.events, of_session]) if len(of_session) else person.events
        if not person.personalised:
            return KnownUser(hidden=self._hidden_rows(user_id, person.forgotten, events), personalised=False)
        return self._joined(user_id, person.forgotten, events)

    def hidden_rows(self, user_id: str) -> NDArray[np.int32]:
        """Returns the rows of the items that a user never wants to see again, int32 `[items]`."""
        key = self._overlay.key if self._overlay else None
        person = NOBODY
        if self._overlay is not None and key is not None and user_id:
            with suppress(StateUnavailableError):
                person = self._overlay.person(key.user(user_id))
        return self._hidden_rows(user_id, person.forgotten, person.events)

    def _joined(self, user_id: str, forgotten: bool, events: Events, complete: bool = True) -> KnownUser:
        known = bool(user_id) and not forgotten
        row = self._histories.row(user_id) if known else -1
        seen = self._histories.at(row) if row >= 0 else History.empty()
        disliked = self._dislikes.get(user_id) if known and self._dislikes is not None else None
        if len(events):
            strengths = self._strengths(events)
            liked, lowered = strengths > 0, (strengths < 0) & (events["kind"] != KIND_CODES["hide"])
            seen = seen.joined(_history(events[liked], strengths[liked]))
            if lowered.any():
                taken_away = _history(events[lowered], -strengths[lowered])
                seen, disliked = seen.less(taken_away), (disliked or History.empty()).joined(taken_away)
        hidden = self._hidden_rows(user_id, forgotten, events)
        return KnownUser(row, seen, disliked, hidden, live=len(events) > 0, complete=complete)

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

    def _hidden_rows(self, user_id: str, forgotten: bool, events: Events) -> NDArray[np.int32]:
        """Rows of the items that are hidden, in the bundle or by the events, int32 `[items]`."""
        live = np.unique(events["row"][events["kind"] == KIND_CODES["hide"]])
        held = self._hidden.get(user_id) if self._hidden is not None and user_id and not forgotten else None
        rows: NDArray[np.int32] = live if held is None else np.union1d(held.rows, live)
        return rows


def _history(events: Events, strengths: NDArray[np.float32]) -> History:
    return History.from_events(events["row"], events["time"], strengths)
