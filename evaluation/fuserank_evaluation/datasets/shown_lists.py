"""Lists that were shown to people and what came of them, read from a server's log of events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.state.entries import Interaction, Logged
from fuserank_ensemble.state.identity import Subject
from fuserank_ensemble.state.log import EventLog, StateError
from fuserank_ensemble.state.settings import SQLITE, State, StateSettings

REWARDS = ("click", "purchase")  # what may come of an impression
WINDOW_HOURS = 24.0  # how long after an impression what is done with its item counts for it
LIST_GAP_SECONDS = 1_800.0  # between two impressions of one list at most
BATCH = 10_000


class ListKey(NamedTuple):
    """What all impressions of one list have in common."""

    user: Subject
    session: Subject
    query: str
    bundle: str
    arm: str

    @property
    def subject(self) -> Subject:
        """Who it was shown to: the user, else the session."""
        return self.user or self.session


@dataclass(frozen=True, eq=False)
class ShownLists:
    """Lists as the log tells them, in the order of their first impressions. An impression is an item at a place.

    Attributes:
        keys: What each list was shown for, `[lists]`.
        times: Epoch seconds of its first impression, float64 `[lists]`.
        log_positions: Of its first impression in the log, int64 `[lists]`.
        list_of: The list of each impression, increasing, int64 `[impressions]`.
        items: Item ids, `[impressions]`.
        places: From 1, int64 `[impressions]`.
        propensities: As the reply gave them, NaN where the event names none, float64 `[impressions]`.
        rewarded: For each of `REWARDS` whether it came of the impression, bool `[impressions]`.
    """

    keys: list[ListKey]
    times: NDArray[np.float64]
    log_positions: NDArray[np.int64]
    list_of: NDArray[np.int64]
    items: list[str]
    places: NDArray[np.int64]
    propensities: NDArray[np.float64]
    rewarded: dict[str, NDArray[np.bool_]]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def subjects(self) -> NDArray[np.int64]:
        """Who each list was shown to, as a number that is the same for the same user or session, int64 `[lists]`."""
        numbers: dict[Subject, int] = {}
        return np.asarray([numbers.setdefault(key.subject, len(numbers)) for key in self.keys], np.int64)


def open_kept_state(settings: StateSettings) -> State:
    """Opens the state that a server keeps.

    Raises:
        StateError: Where there is none, or it cannot be used.
    """
    path = Path(settings.place.removeprefix(SQLITE))
    if settings.place.startswith(SQLITE) and not path.exists():
        raise StateError(f"state {settings.place}: there is no such file; give the log that `fuserank serve` names")
    return State.open(settings)


def read_log(log: EventLog) -> Iterator[Logged]:
    """Yields all entries of a log."""
    position = 0
    while batch := log.read(position, BATCH):
        yield from batch
        position = batch[-1].position


def read_shown_lists(log: EventLog, window_hours: float = WINDOW_HOURS) -> ShownLists:
    """Joins impressions to lists, and what was done later to the impressions that it came of.

    Impressions are of one list where user, session, query, bundle and arm are the same, no place comes twice, and no
    half hour lies between two of them. A click or purchase counts for the latest impression of its item to that user,
    else to that session, within the window. Impressions without a position are passed over.

    Args:
        log: The log.
        window_hours: How long after an impression what is done with its item counts for it.
    """
    impressions: list[tuple[float, int, Interaction]] = []
    outcomes: list[tuple[float, int, Interaction]] = []
    for position, entry in read_log(log):
        if not isinstance(entry, Interaction):
            continue
        if entry.event == "impression" and entry.position is not None:
            impressions.append((entry.timestamp, position, entry))
        elif entry.event in REWARDS:
            outcomes.append((entry.timestamp, position, entry))
    # Clients record in batches, so the log's order is not that of the moments.
    impressions.sort(key=lambda timed: timed[:2])
    outcomes.sort(key=lambda timed: timed[:2])
    list_of = _join_lists(impressions)
    rewarded = _attribute(impressions, outcomes, window_hours * 3_600)
    order = np.argsort(list_of, kind="stable")
    ordered = [impressions[i] for i in order]
    firsts = np.flatnonzero(np.diff(list_of[order], prepend=-1))
    return ShownLists(
        [_key(ordered[first][2]) for first in firsts],
        np.asarray([ordered[first][0] for first in firsts], np.float64),
        np.asarray([ordered[first][1] for first in firsts], np.int64),
        list_of[order],
        [entry.item_id for _, _, entry in ordered],
        np.asarray([entry.position for _, _, entry in ordered], np.int64),
        np.asarray([np.nan if e.propensity is None else e.propensity for _, _, e in ordered], np.float64),
        {reward: flags[order] for reward, flags in rewarded.items()},
    )


def _key(entry: Interaction) -> ListKey:
    return ListKey(entry.user, entry.session, entry.query, entry.bundle, entry.arm)


def _join_lists(impressions: list[tuple[float, int, Interaction]]) -> NDArray[np.int64]:
    """The list of each impression, numbered in the order of their first impressions, int64 `[impressions]`."""
    current: dict[ListKey, tuple[int, float, set[int]]] = {}  # a list's number, its latest moment and its places
    list_of = np.empty(len(impressions), np.int64)
    lists = 0
    for i, (moment, _, entry) in enumerate(impressions):
        key, place = _key(entry), entry.position or 0
        number, latest, places = current.get(key, (-1, 0.0, set[int]()))
        if number < 0 or place in places or moment - latest > LIST_GAP_SECONDS:
            number, places = lists, set()
            lists += 1
        places.add(place)
        current[key] = (number, moment, places)
        list_of[i] = number
    return list_of


def _attribute(
    impressions: list[tuple[float, int, Interaction]],
    outcomes: list[tuple[float, int, Interaction]],
    window: float,
) -> dict[str, NDArray[np.bool_]]:
    """For each of `REWARDS` the impressions that it came of, bool `[impressions]`."""
    rewarded = {reward: np.zeros(len(impressions), np.bool_) for reward in REWARDS}
    latest: dict[tuple[Subject, str], int] = {}
    following = 0
    for moment, _, outcome in outcomes:
        while following < len(impressions) and impressions[following][0] <= moment:
            entry = impressions[following][2]
            latest.update({(subject, entry.item_id): following for subject in entry.subjects})
            following += 1
        for subject in outcome.subjects:
            shown = latest.get((subject, outcome.item_id))
            if shown is not None and moment - impressions[shown][0] <= window:
                rewarded[outcome.event][shown] = True
                break
    return rewarded
