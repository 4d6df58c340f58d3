"""What is known of who asks: the bundle's histories joined with the events since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.interactions.history import History, HistorySnapshot
from fuserank_ensemble.interactions.live.overlay import NOBODY, LiveOverlay
from fuserank_ensemble.interactions.live.person import KIND_CODES, Events
from fuserank_ensemble.state.log import StateUnavailableError

# What one event of each kind counts; below 0 it lowers. An impression is no event of a user.
STRENGTHS: Mapping[str, float] = {
    **dict.fromkeys(("view", "click", "cart", "purchase", "rating", "favourite", "share"), 1.0),
    **dict.fromkeys(("return", "dislike", "hide"), -1.0),
    "impression": 0.0,
}
_STRENGTH_OF_CODE = np.asarray([STRENGTHS[kind] for kind in KIND_CODES], np.float32)
_NO_ROWS = np.empty(0, np.int32)


@dataclass(frozen=True)
class KnownUser:
    """What an answer may use of who asks.

    Attributes:
        row: Position in the bundle's histories, -1 for one who is not there or whose past counts no more.
        seen: What was had.
        disliked: What was disliked; None where nothing was.
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
        self, histories: HistorySnapshot, dislikes: HistorySnapshot | None, overlay: LiveOverlay | None
    ) -> None:
        """Takes what the bundle knows of users, and the events since; None where no state is kept."""
        self._histories, self._dislikes, self._overlay = histories, dislikes, overlay

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
            return KnownUser(hidden=_hidden(events), personalised=False)
        return self._joined(user_id, person.forgotten, events)

    def _joined(self, user_id: str, forgotten: bool, events: Events, complete: bool = True) -> KnownUser:
        known = bool(user_id) and not forgotten
        row = self._histories.row(user_id) if known else -1
        seen = self._histories.at(row) if row >= 0 else History.empty()
        disliked = self._dislikes.get(user_id) if known and self._dislikes is not None else None
        if not len(events):
            return KnownUser(row, seen, disliked, complete=complete)
        strengths = _STRENGTH_OF_CODE[events["kind"]]
        hides = events["kind"] == KIND_CODES["hide"]
        liked, lowered = strengths > 0, (strengths < 0) & ~hides
        if lowered.any():
            disliked = (disliked or History.empty()).joined(_history(events[lowered], -strengths[lowered]))
        return KnownUser(
            row,
            seen.joined(_history(events[liked], strengths[liked])),
            disliked,
            _hidden(events),
            live=True,
            complete=complete,
        )


def _history(events: Events, strengths: NDArray[np.float32]) -> History:
    return History.from_events(events["row"], events["time"], strengths)


def _hidden(events: Events) -> NDArray[np.int32]:
    """Rows of the items that the events hide, int32 `[items]`."""
    rows: NDArray[np.int32] = np.unique(events["row"][events["kind"] == KIND_CODES["hide"]])
    return rows
