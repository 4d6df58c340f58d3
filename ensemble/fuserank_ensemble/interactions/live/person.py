"""What the log says of one user or session since the bundle: a value that is replaced whole with each entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.state.entries import (
    EVENT_KINDS,
    Entry,
    Forget,
    Interaction,
    Logged,
    Merge,
    Personalise,
    Unreadable,
)
from fuserank_ensemble.state.identity import Subject

MAX_EVENTS = 2_048  # of one user, latest kept; those that hide an item stay beyond it
MAX_HIDDEN = 10_000  # events that hide an item, of one user, latest kept
KIND_CODES = {kind: code for code, kind in enumerate(EVENT_KINDS)}
# `identified`: an event of a session that also names its user, under whom it counts already.
EVENT = np.dtype(
    [("row", np.int32), ("time", np.int64), ("kind", np.uint8), ("value", np.float32), ("identified", np.bool_)]
)
Events = NDArray[np.void]  # of dtype EVENT


class ItemRows(Protocol):
    """Knows the rows of items: a catalogue, or one that changes."""

    def row_at(self, item_id: str, position: int) -> int:
        """Row of an item, -1 where the catalogue had it not yet at a position of the log."""
        ...


@dataclass(frozen=True, slots=True)
class LivePerson:
    """A user's or a session's entries.

    Attributes:
        upto: Position of the newest.
        packed: The events with items of the catalogue in the order of the log, as bytes of `EVENT`.
        forgotten: What came before, also in the bundle, counts no more.
        personalised: Whether answers may be personal.
        sources: The sessions and users whose events were merged into this one's.
    """

    upto: int = 0
    packed: bytes = b""
    forgotten: bool = False
    personalised: bool = True
    sources: tuple[Subject, ...] = ()

    @property
    def events(self) -> Events:
        """The events, oldest first, `[events]`."""
        return np.frombuffer(self.packed, EVENT)

    def anonymous_events(self) -> Events:
        """Those of a session that name no user, `[events]`."""
        events = self.events
        return events[~events["identified"]]

    def with_events(self, packed: bytes, upto: int) -> LivePerson:
        """Returns the person with more events, up to `MAX_EVENTS` and `MAX_HIDDEN`."""
        joined = self.packed + packed
        if len(joined) > MAX_EVENTS * EVENT.itemsize:
            joined = _latest(np.frombuffer(joined, EVENT)).tobytes()
        return replace(self, upto=upto, packed=joined)


def pack_event(entry: Interaction, row: int, subject: Subject) -> bytes:
    """Returns an event as bytes of `EVENT`.

    Args:
        entry: The event.
        row: The item's row in the catalogue.
        subject: Whose event it is told as.
    """
    identified = bool(entry.user) and subject != entry.user
    value = np.nan if entry.value is None else entry.value
    return np.array([(row, int(entry.timestamp), KIND_CODES[entry.event], value, identified)], EVENT).tobytes()


def apply_entry(
    person: LivePerson,
    subject: Subject,
    logged: Logged,
    items: ItemRows,
    person_at: Callable[[Subject, int], LivePerson],
) -> LivePerson:
    """Returns the person after one more entry; one that was applied before changes nothing.

    Args:
        person: The person before it.
        subject: Who that is.
        logged: The entry.
        items: The catalogue; an event with an item that it had not yet does not count.
        person_at: Returns a user or a session as it was before a position, to merge from.
    """
    position, entry = logged
    if position <= person.upto:
        return person
    if isinstance(entry, Interaction):
        row = items.row_at(entry.item_id, position)
        return person.with_events(pack_event(entry, row, subject) if row >= 0 else b"", position)
    return _apply_wish(person, entry, position, person_at)


def _apply_wish(
    person: LivePerson, entry: Entry | Unreadable, position: int, person_at: Callable[[Subject, int], LivePerson]
) -> LivePerson:
    """Applies what was asked for a person."""
    if isinstance(entry, Forget):
        return LivePerson(upto=position, forgotten=True, personalised=person.personalised)
    if isinstance(entry, Personalise):
        return replace(person, upto=position, personalised=entry.allowed)
    if isinstance(entry, Merge) and entry.source not in (*person.sources, entry.user):
        source = person_at(entry.source, position)
        merged = person.with_events(source.anonymous_events().tobytes(), position)
        return replace(merged, sources=(*person.sources, entry.source))
    return replace(person, upto=position)


def _latest(events: Events) -> Events:
    """The latest events and those that hide an item, a quarter below the bound, so that it is not cut each time."""
    hides = events["kind"] == KIND_CODES["hide"]
    kept = np.zeros(len(events), np.bool_)
    kept[np.flatnonzero(~hides)[-MAX_EVENTS * 3 // 4 :]] = True
    kept[np.flatnonzero(hides)[-MAX_HIDDEN:]] = True
    return events[kept]
