"""The model `record`: takes what shoppers do, and answers when it is durable."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

import msgspec

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.contract.events import RecordedEvent, parse_events, read_event
from fuserank_ensemble.graph.live.bundle import LiveBundle
from fuserank_ensemble.graph.live.log_writer import CheckedRow, LogWriter, WrittenRow
from fuserank_ensemble.graph.live.state import NO_KIND, LiveState, open_live
from fuserank_ensemble.graph.step import Host
from fuserank_ensemble.state.entries import EVENT_KINDS, EventKind, Interaction
from fuserank_ensemble.state.expiry import Expiry
from fuserank_ensemble.state.identity import IdentityKey
from fuserank_ensemble.state.settings import State, StateSettings


class RecordStatus(msgspec.Struct):
    """The `STATUS` of `record`."""

    position: int  # send it as `min_position` to read what was written; 0 where nothing was kept
    recorded: int
    duplicates: int
    spooled: int  # kept on this machine's disk until the log answers
    rejected: int
    unknown_items: int  # of the events that were kept, those with items that the catalogue has not
    microseconds: int


class Record(LogWriter):
    """Checks events and appends them to the log; while that is away they wait on the disk."""

    name = "record"
    input_name = "EVENTS"
    spool = True

    def __init__(self, bundle: Bundle, settings: StateSettings | None, live: LiveState | None = None) -> None:
        """Opens the step.

        Args:
            bundle: The bundle.
            settings: Where the log is; None where no state is kept.
            live: What the shop changed of its items; None where no state is kept.
        """
        super().__init__(settings)
        self._now = LiveBundle(bundle, live)

    @classmethod
    def open(cls, bundle_root: Path, device: str, host: Host) -> Record:
        """See `Model`. Maps the catalogue; always on the CPU."""
        del device
        bundle = Bundle.open(bundle_root, verify=("index/items/",))
        step = cls(bundle, host.state(), open_live(bundle, host, kinds=NO_KIND))
        host.at_close(step.close)
        settings = host.state()
        if settings and settings.ttl_days is not None:
            host.at_close(Expiry(settings, settings.ttl_days).start().stop)
        return step

    def check(self, raw: bytes, state: State) -> CheckedRow:
        """See `LogWriter`."""
        now = time.time()
        return CheckedRow.of(parse_events(raw), lambda value: to_entry(read_event(value, EVENT_KINDS, now), state.key))

    def status(self, row: CheckedRow, written: WrittenRow) -> RecordStatus:
        """See `LogWriter`."""
        unknown = self._count_unknown(row)
        if unknown:  # or new, by a change that came before these events
            self._now.knows(written.position)
            unknown = self._count_unknown(row)
        return RecordStatus(
            written.position,
            written.new,
            written.duplicates,
            written.spooled,
            written.rejected,
            unknown,
            written.microseconds,
        )

    def _count_unknown(self, row: CheckedRow) -> int:
        """How many events are of items that the catalogue has not."""
        items = self._now.catalog.items
        return sum(items.any_row(entry.item_id) < 0 for entry in row.entries)


def to_entry(event: RecordedEvent, key: IdentityKey) -> Interaction:
    """Returns an event as the log keeps it: with hashes of who did it."""
    fields: dict[str, Any] = {
        "item_id": event.item_id,
        "value": event.value,
        "query": event.query,
        "position": event.position,
        "propensity": event.propensity,
        "bundle": event.bundle,
        "arm": event.arm,
    }
    return Interaction(
        event_id=event.event_id,
        event=cast(EventKind, event.event),
        timestamp=event.timestamp,
        user=key.user(event.user_id) if event.user_id else b"",
        session=key.session(event.session_id) if event.session_id else b"",
        **fields,
    )
