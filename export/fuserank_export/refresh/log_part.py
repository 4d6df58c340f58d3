"""What the log holds that a bundle does not: events, changed items, and what people asked for.

This is the one place that says what of an entry goes into the next bundle. Of a changed item that is its `fields`,
texts included: an item that the bundle has not is a new one where they name a title. Vectors that an entry may carry
are not read, since a refresh embeds what has another text with the bundle's own encoder.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

from fuserank_ensemble.state.entries import FeatureSample, Forget, Interaction, ItemChange, ItemDelete, Logged, Merge
from fuserank_ensemble.state.identity import Subject, hashed_name
from fuserank_ensemble.state.settings import State
from fuserank_ensemble.state.tail import SnapshotPosition
from fuserank_export.sources.report import InputError

BATCH = 10_000  # entries that are read at once
MOST_SAMPLES = 5_000  # of 8 KB or so


@dataclass
class ItemState:
    """An item as the log leaves it.

    Attributes:
        fields: New values by field, None where there is none any more.
        deleted: Whether it is gone.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    deleted: bool = False


@dataclass
class LogPart:
    """The entries behind a bundle's position, up to the end of the log when it was read.

    Attributes:
        held: What the bundle holds.
        position: Of the last entry, that of the bundle where there is none.
        entries: How many were read.
        events: What users and sessions did, in the order of the log.
        owners: Whose each of the events is; empty of who was forgotten.
        items: The items that changed, by id.
        forgotten: Users and sessions that the bundle may hold, and the next one must not.
        merged: For each session or visitor that logged in, the user.
        samples: What the ranker read of searches, the newest `MOST_SAMPLES`.
    """

    held: SnapshotPosition
    position: int
    entries: int = 0
    events: list[Interaction] = field(default_factory=list)
    owners: list[Subject] = field(default_factory=list)
    items: defaultdict[str, ItemState] = field(default_factory=lambda: defaultdict(ItemState))
    forgotten: set[Subject] = field(default_factory=set)
    merged: dict[Subject, Subject] = field(default_factory=dict)
    samples: deque[FeatureSample] = field(default_factory=lambda: deque(maxlen=MOST_SAMPLES))
    _of: defaultdict[Subject, list[int]] = field(default_factory=lambda: defaultdict(list))  # places in `events`

    @classmethod
    def read(cls, state: State, snapshot: SnapshotPosition) -> LogPart:
        """Reads the log from where a bundle ends.

        Raises:
            InputError: Where entries between the two are in neither.
            StateUnavailableError: Where the log does not answer.
        """
        log = state.log
        start = snapshot.position if snapshot.id == log.id else 0
        trimmed = log.trimmed_position()
        if trimmed > start:
            raise InputError(
                f"the log was trimmed up to position {trimmed}, and the bundle holds it up to {start}: what came "
                "between is in neither; refresh the bundle that was promoted last, or export anew from the shop's files"
            )
        part = cls(SnapshotPosition(log.id, start), start)
        while batch := log.read(part.position, BATCH):
            for logged in batch:
                part._take(logged)
            part.position, part.entries = batch[-1].position, part.entries + len(batch)
        # Also those whose entry was trimmed before this log was read for the first time.
        part.forgotten |= {
            logged.entry.user
            for logged in log.wishes()
            if isinstance(logged.entry, Forget) and start < logged.position <= part.position
        }
        return part

    def _take(self, logged: Logged) -> None:
        entry = logged.entry
        if isinstance(entry, Interaction):
            owner = entry.user or entry.session
            self._of[owner].append(len(self.events))
            self.events.append(entry)
            self.owners.append(owner)
        elif isinstance(entry, FeatureSample):
            self.samples.append(entry)
        elif isinstance(entry, ItemChange):
            item = self.items[entry.item_id]
            item.fields.update(entry.fields)
            item.deleted = False
        elif isinstance(entry, ItemDelete):
            self.items[entry.item_id].deleted = True
        elif isinstance(entry, Merge):
            # What the source did so far without a name is the user's; what it does later is its own.
            self._hand_over(entry.source, entry.user)
            self.merged[entry.source] = entry.user
        elif isinstance(entry, Forget):
            self._hand_over(entry.user, b"")
            self.forgotten.add(entry.user)

    def _hand_over(self, owner: Subject, to: Subject) -> None:
        places = self._of.pop(owner, [])
        for place in places:
            self.owners[place] = to
        if to:
            self._of[to] += places

    def columns(self) -> dict[str, list[Any]]:
        """Returns the events as columns of the input format."""
        owned = [(owner, event) for owner, event in zip(self.owners, self.events, strict=True) if owner]
        events = [event for _, event in owned]
        return {
            "user_id": [hashed_name(owner) for owner, _ in owned],
            "item_id": [event.item_id for event in events],
            "event": [event.event for event in events],
            "timestamp": [int(event.timestamp) for event in events],
            "value": [event.value for event in events],
            "query": [event.query or None for event in events],
            "position": [event.position for event in events],
            "session_id": [hashed_name(event.session) if event.session else None for event in events],
            "propensity": [event.propensity for event in events],
            "bundle": [event.bundle or None for event in events],
            "arm": [event.arm or None for event in events],
        }
