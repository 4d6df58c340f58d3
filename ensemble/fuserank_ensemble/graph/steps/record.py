"""The model `record`: takes what shoppers do, and answers when it is durable."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.contract.errors import InvalidRequestError, format_value
from fuserank_ensemble.contract.events import EventError, RecordedEvent, parse_events, read_event
from fuserank_ensemble.graph.step import Host, UnavailableError, UnsupportedError
from fuserank_ensemble.graph.tensors import Tensors, string_tensor
from fuserank_ensemble.state.entries import EVENT_KINDS, EventKind, Interaction
from fuserank_ensemble.state.identity import IdentityKey
from fuserank_ensemble.state.log import Appended, StateError
from fuserank_ensemble.state.settings import State, StateSettings
from fuserank_ensemble.state.spool import Spool

NO_STATE = "this server keeps no state: start it with `fuserank serve --state sqlite:/path`, or set FUSERANK_STATE"


class FieldError(msgspec.Struct):
    """Why an event was not taken."""

    field: str
    found: str
    allowed: str


class EventAnswer(msgspec.Struct, omit_defaults=True):
    """What became of one event: its position, or its error; neither where it waits for a log that is away."""

    position: int | None = None
    duplicate: bool = False
    spooled: bool = False
    error: FieldError | None = None


class RecordStatus(msgspec.Struct):
    """The `STATUS` of `record`."""

    position: int  # send it as `min_position` to read what was written; 0 where nothing was kept
    recorded: int
    duplicates: int
    spooled: int  # kept on this machine's disk until the log answers
    rejected: int
    unknown_items: int  # of the events that were kept, those with items that the bundle has not
    microseconds: int


@dataclass
class _Row:
    """One row of a request.

    Attributes:
        answers: For each event of it its error; None where it goes into the log.
        events: Those that do.
    """

    answers: list[EventAnswer | None]
    events: list[RecordedEvent]


class StateHolder:
    """Opens the state when it is first needed: it need not answer when the server starts."""

    def __init__(self, settings: StateSettings | None) -> None:
        self._settings = settings
        self._state: State | None = None
        self._spool: Spool | None = None

    def append(self, events: Sequence[Interaction]) -> list[Appended | None]:
        """Adds events to the log, or to the disk where it is away; None for each of those.

        Raises:
            UnavailableError: Where neither has room; nothing was kept.
        """
        state = self.get()
        try:
            if self._spool is None and self._settings and self._settings.spool:
                self._spool = Spool(state.log, self._settings.spool)
            return self._spool.append(events) if self._spool else list(state.log.append(events))
        except StateError as error:
            raise UnavailableError(str(error)) from None

    def get(self) -> State:
        """Returns the state.

        Raises:
            UnsupportedError: Where none is kept.
            UnavailableError: Where it does not answer.
        """
        if self._settings is None:
            raise UnsupportedError(NO_STATE)
        if self._state is None:
            try:
                self._state = State.open(self._settings)
            except StateError as error:
                raise UnavailableError(str(error)) from None
        return self._state


class Record:
    """Checks events and appends them to the log: all requests of a batch in one commit."""

    name = "record"

    def __init__(self, bundle: Bundle, settings: StateSettings | None) -> None:
        self._items = bundle.items
        self._state = StateHolder(settings)
        self._encode = msgspec.json.Encoder().encode

    @classmethod
    def open(cls, bundle_root: Path, device: str, host: Host) -> Record:
        """See `Model`. Maps the catalogue's ids; always on the CPU."""
        del device
        return cls(Bundle.open(bundle_root, verify=("index/items/",)), host.state())

    def execute(self, requests: Sequence[Tensors]) -> list[Tensors | InvalidRequestError]:
        """See `Step`.

        Raises:
            UnsupportedError: Where no state is kept.
            UnavailableError: Where the log does not answer or has no room; nothing of the batch was kept.
        """
        started = time.monotonic_ns()
        state = self._state.get()
        now = time.time()
        parsed = [self._parsed(tensors, now) for tensors in requests]
        rows = [row for of_request in parsed if isinstance(of_request, list) for row in of_request]
        entries = [to_entry(event, state.key) for row in rows for event in row.events]
        appended = iter(self._state.append(entries) if entries else [])
        out: list[Tensors | InvalidRequestError] = []
        for of_request in parsed:
            if isinstance(of_request, InvalidRequestError):
                out.append(of_request)
                continue
            answered = [self._answer(row, [next(appended) for _ in row.events], started) for row in of_request]
            results, statuses = zip(*answered, strict=True)
            out.append(
                {
                    "RESULT": string_tensor([[self._encode(result)] for result in results]),
                    "STATUS": string_tensor([[self._encode(status)] for status in statuses]),
                }
            )
        return out

    def _parsed(self, tensors: Tensors, now: float) -> list[_Row] | InvalidRequestError:
        try:
            return [self._row(raw, now) for raw in tensors["EVENTS"][:, 0]]
        except InvalidRequestError as error:
            return error

    @staticmethod
    def _row(raw: bytes, now: float) -> _Row:
        row = _Row([], [])
        for value in parse_events(raw):
            try:
                row.events.append(read_event(value, EVENT_KINDS, now))
                row.answers.append(None)
            except EventError as error:
                described = FieldError(error.field, format_value(error.found), error.allowed)
                row.answers.append(EventAnswer(error=described))
        return row

    def _answer(
        self, row: _Row, appended: Sequence[Appended | None], started: int
    ) -> tuple[list[EventAnswer], RecordStatus]:
        places = iter(appended)
        answers = [answer or _placed(next(places)) for answer in row.answers]
        duplicates, spooled = (sum(getattr(answer, name) for answer in answers) for name in ("duplicate", "spooled"))
        return answers, RecordStatus(
            position=max((answer.position or 0 for answer in answers), default=0),
            recorded=len(appended) - duplicates - spooled,
            duplicates=duplicates,
            spooled=spooled,
            rejected=len(answers) - len(appended),
            unknown_items=sum(self._items.row(event.item_id) < 0 for event in row.events),
            microseconds=(time.monotonic_ns() - started) // 1_000,
        )


def _placed(place: Appended | None) -> EventAnswer:
    return EventAnswer(spooled=True) if place is None else EventAnswer(*place)


def to_entry(event: RecordedEvent, key: IdentityKey) -> Interaction:
    """Returns an event as the log keeps it: with hashes of who did it."""
    fields: dict[str, Any] = {
        "item_id": event.item_id,
        "value": event.value,
        "query": event.query,
        "position": event.position,
        "propensity": event.propensity,
        "bundle": event.bundle,
    }
    return Interaction(
        event_id=event.event_id,
        event=cast(EventKind, event.event),
        timestamp=event.timestamp,
        user=key.user(event.user_id) if event.user_id else b"",
        session=key.session(event.session_id) if event.session_id else b"",
        **fields,
    )
