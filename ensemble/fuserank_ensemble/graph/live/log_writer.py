"""A model that writes the log: values of JSON are checked one by one, and answered when they are durable."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec

from fuserank_ensemble.contract.errors import InvalidRequestError, format_value
from fuserank_ensemble.graph.step import UnavailableError, UnsupportedError
from fuserank_ensemble.graph.tensors import Tensors, string_tensor
from fuserank_ensemble.state.entries import Entry
from fuserank_ensemble.state.log import Appended, StateError, StateFullError, StateUnavailableError
from fuserank_ensemble.state.room import Room
from fuserank_ensemble.state.settings import MOST_ENTRIES, State, StateSettings
from fuserank_ensemble.state.spool import Spool

NO_STATE = "this server keeps no state: start it with `fuserank serve --state sqlite:/path`, or set FUSERANK_STATE"


class FieldError(msgspec.Struct):
    """Why a value was not taken."""

    field: str
    found: str
    allowed: str


class Outcome(msgspec.Struct, omit_defaults=True):
    """What became of one value: its position, or its error; neither where it waits for a log that is away."""

    position: int | None = None
    duplicate: bool = False
    spooled: bool = False
    error: FieldError | None = None


@dataclass
class CheckedRow:
    """One row of a request.

    Attributes:
        outcomes: For each value of it its error; None where it goes into the log.
        entries: Those that do.
    """

    outcomes: list[Outcome | None] = field(default_factory=list)
    entries: list[Any] = field(default_factory=list)

    @classmethod
    def of(cls, values: Iterable[Any], read: Callable[[Any], Entry]) -> CheckedRow:
        """Checks values, each by `read`, which raises `InvalidRequestError` for one that cannot be taken."""
        row = cls()
        for value in values:
            try:
                row.entries.append(read(value))
                row.outcomes.append(None)
            except InvalidRequestError as error:
                described = FieldError(error.field, format_value(error.found), error.allowed)
                row.outcomes.append(Outcome(error=described))
        return row


@dataclass(frozen=True)
class WrittenRow:
    """What became of a row.

    Attributes:
        outcomes: Of each value.
        position: Of the last entry, 0 where nothing was kept.
        new: How many entries are new.
        duplicates: How many had been there before.
        spooled: How many wait for a log that is away.
        rejected: How many values were not taken.
        microseconds: Since the request came.
    """

    outcomes: list[Outcome]
    position: int
    new: int
    duplicates: int
    spooled: int
    rejected: int
    microseconds: int

    @classmethod
    def of(cls, row: CheckedRow, appended: Sequence[Appended | None], started: int) -> WrittenRow:
        """Joins a row with where its entries are, None for one that waits; `started` by `time.monotonic_ns`."""
        places = iter(appended)
        outcomes = [outcome or _place(next(places)) for outcome in row.outcomes]
        duplicates, spooled = (sum(getattr(outcome, name) for outcome in outcomes) for name in ("duplicate", "spooled"))
        return cls(
            outcomes,
            max((outcome.position or 0 for outcome in outcomes), default=0),
            len(appended) - duplicates - spooled,
            duplicates,
            spooled,
            len(outcomes) - len(appended),
            (time.monotonic_ns() - started) // 1_000,
        )


def _place(place: Appended | None) -> Outcome:
    return Outcome(spooled=True) if place is None else Outcome(place.position, place.duplicate)


class StateHolder:
    """Opens the state when it is first needed: it need not answer when the server starts."""

    def __init__(self, settings: StateSettings | None, *, spool: bool = False) -> None:
        """Takes where the state is, and whether entries may wait on the disk for a log that is away."""
        self._settings = settings
        self._spools = spool
        self._state: State | None = None
        self._spool: Spool | None = None
        self._room = Room(settings.max_entries if settings else MOST_ENTRIES)

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
                self._state = self._open(self._settings)
            except StateError as error:
                raise UnavailableError(str(error)) from None
        return self._state

    def _open(self, settings: StateSettings) -> State:
        state = State.open(settings)
        try:
            if self._spools and settings.spool:
                self._spool = Spool(state.log, settings.spool, known=state.log.last_position())
        except StateError:
            state.log.close()
            raise
        return state

    def close(self) -> None:
        """Lets go of the log; what waits on the disk stays there."""
        if self._spool:
            self._spool.close()
        if self._state:
            self._state.log.close()

    def append(self, entries: Sequence[Any]) -> list[Appended | None]:
        """Adds entries to the log, all or none; None stands for each that waits on the disk for a log that is away.

        Raises:
            UnavailableError: Where the log does not answer or has no room; nothing was kept.
        """
        state = self.get()
        try:
            self._take_room(state, len(entries))
            return self._spool.append(entries) if self._spool else list(state.log.append(entries))
        except StateError as error:
            raise UnavailableError(str(error)) from None

    def _take_room(self, state: State, more: int) -> None:
        try:
            self._room.take(state.log, more)
        except StateFullError:
            raise
        except StateUnavailableError:
            pass  # what cannot be counted cannot be written, either, and may wait on the disk


class LogWriter(ABC):
    """Checks the values of requests and appends them to the log: all of a batch in one commit.

    Attributes:
        input_name: The input with the values.
        spool: Whether they may wait on the disk for a log that is away.
    """

    input_name: ClassVar[str]
    spool: ClassVar[bool]

    def __init__(self, settings: StateSettings | None) -> None:
        """Takes where the log is; None where no state is kept."""
        self._holder = StateHolder(settings, spool=self.spool)
        self._encode = msgspec.json.Encoder().encode

    def close(self) -> None:
        """Lets go of the log."""
        self._holder.close()

    @abstractmethod
    def check(self, raw: bytes, state: State) -> CheckedRow:
        """Checks one row.

        Raises:
            InvalidRequestError: Where the row as a whole cannot be read.
        """

    @abstractmethod
    def status(self, row: CheckedRow, written: WrittenRow) -> msgspec.Struct:
        """Returns the `STATUS` of one row."""

    def execute(self, requests: Sequence[Tensors]) -> list[Tensors | InvalidRequestError]:
        """See `Step`.

        Raises:
            UnsupportedError: Where no state is kept.
            UnavailableError: Where the log does not answer or has no room; nothing of the batch was kept.
        """
        started = time.monotonic_ns()
        state = self._holder.get()
        checked = [self._check_request(tensors, state) for tensors in requests]
        entries = [
            e for rows in checked if not isinstance(rows, InvalidRequestError) for row in rows for e in row.entries
        ]
        appended = iter(self._holder.append(entries) if entries else [])
        out: list[Tensors | InvalidRequestError] = []
        for rows in checked:
            if isinstance(rows, InvalidRequestError):
                out.append(rows)
                continue
            written = [WrittenRow.of(row, [next(appended) for _ in row.entries], started) for row in rows]
            statuses = [self.status(row, of_row) for row, of_row in zip(rows, written, strict=True)]
            out.append(
                {
                    "RESULT": string_tensor([[self._encode(of_row.outcomes)] for of_row in written]),
                    "STATUS": string_tensor([[self._encode(status)] for status in statuses]),
                }
            )
        return out

    def _check_request(self, tensors: Tensors, state: State) -> list[CheckedRow] | InvalidRequestError:
        try:
            return [self.check(raw, state) for raw in tensors[self.input_name][:, 0]]
        except InvalidRequestError as error:
            return error
