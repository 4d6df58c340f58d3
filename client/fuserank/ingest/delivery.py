"""Hands what a batch of messages holds to the server, and what it does not take to the dead-letter topic."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fuserank.changes import CatalogResult, ChangeOutcome
from fuserank.errors import FuseRankError, InvalidRequestError
from fuserank.events import EventOutcome, FieldError, RecordResult
from fuserank.ingest.messages import Message, MessageFormat, Part, Reason
from fuserank.ingest.metrics import IngestMetrics

MOST_PARTS = 1_000  # events or changes of one call
MOST_REASONS = 100  # that a dead letter quotes
_REASON = re.compile(r"(?P<field>.*?): found (?P<found>.*?)(?:; allowed: (?P<allowed>.*))?", re.DOTALL)


class NotTakenError(Exception):
    """A batch is not wholly dealt with: nothing of it may be committed, and it has to be delivered again.

    Attributes:
        call: What failed: `server` or `kafka`.
    """

    def __init__(self, call: str, reason: str) -> None:
        super().__init__(reason)
        self.call = call


@dataclass(frozen=True)
class DeadLetter:
    """A message of which something is not taken.

    Attributes:
        message: The message, as it came.
        reasons: Why, for each event or change of it that is not taken.
    """

    message: Message
    reasons: Sequence[Reason]

    def headers(self) -> dict[str, str]:
        """Returns whence the message is and why it was not taken, as the dead-letter topic has it."""
        reasons = [reason.to_json() for reason in self.reasons[:MOST_REASONS]]
        return {
            "fuserank.topic": self.message.topic,
            "fuserank.partition": str(self.message.partition),
            "fuserank.offset": str(self.message.offset),
            "fuserank.timestamp": str(self.message.timestamp),
            "fuserank.reason_count": str(len(self.reasons)),
            "fuserank.reasons": json.dumps(reasons, ensure_ascii=False),
        }


class Recorder(Protocol):
    """What a delivery needs of `fuserank.Client`."""

    def record(self, events: Sequence[Any]) -> RecordResult:
        """See `Client.record`."""
        ...

    def change(self, changes: Sequence[Any]) -> CatalogResult:
        """See `Client.change`."""
        ...


class DeadLetters(Protocol):
    """Where messages go that cannot be taken."""

    def send(self, letters: Sequence[DeadLetter]) -> None:
        """Keeps messages with their reasons; returns when all are kept.

        Raises:
            NotTakenError: Where some are not.
        """
        ...


@dataclass
class Batch:
    """Messages, and what of them is not delivered yet.

    Attributes:
        messages: The messages, in their order.
        events: Parts for `record`, each with its message.
        changes: Parts for `catalog`, each with its message.
        reasons: What is wrong with the parts that are not taken, by the message's topic, partition and offset.
    """

    messages: list[Message]
    events: list[tuple[Message, Part]] = field(default_factory=list)
    changes: list[tuple[Message, Part]] = field(default_factory=list)
    reasons: dict[tuple[str, int, int], list[Reason]] = field(default_factory=dict)

    def refuse(self, message: Message, reasons: Iterable[Reason]) -> None:
        """Notes why parts of a message are not taken."""
        self.reasons.setdefault((*message.place, message.offset), []).extend(reasons)

    def letters(self) -> list[DeadLetter]:
        """Returns the messages that go to the dead-letter topic, in their order."""
        refused = ((message, self.reasons.get((*message.place, message.offset))) for message in self.messages)
        return [DeadLetter(message, reasons) for message, reasons in refused if reasons]


class Delivery:
    """Delivers batches; at least once, and by their ids only once into the log."""

    def __init__(
        self, server: Recorder, dead_letters: DeadLetters, formats: dict[str, MessageFormat], metrics: IngestMetrics
    ) -> None:
        """Takes where everything goes, and what reads each topic's messages."""
        self._server, self._dead_letters, self._formats, self._metrics = server, dead_letters, formats, metrics

    def open_batch(self, messages: Sequence[Message]) -> Batch:
        """Returns what messages hold."""
        batch = Batch(list(messages))
        for message in messages:
            reading = self._formats[message.topic].read(message)
            batch.events += [(message, part) for part in reading.events]
            batch.changes += [(message, part) for part in reading.changes]
            if reading.reasons:
                batch.refuse(message, reading.reasons)
                self._count(message, "rejected", len(reading.reasons))
            if reading.ignored:
                self._count(message, "ignored", reading.ignored)
        return batch

    def deliver(self, batch: Batch) -> None:
        """Delivers what is left of a batch.

        Raises:
            NotTakenError: Where the server or the dead-letter topic does not take it at present; what was delivered
                is no longer in the batch.
        """
        self._send(batch, batch.changes, lambda changes: self._server.change(changes).changes)
        self._send(batch, batch.events, self._record)
        if letters := batch.letters():
            self._dead_letters.send(letters)
            batch.reasons.clear()
            for letter in letters:
                self._metrics.dead_letters.labels(letter.message.topic).inc()
        now = time.time()
        for message in batch.messages:
            if message.timestamp:
                self._metrics.age.observe(max(now - message.timestamp / 1_000, 0.0))

    def _record(self, events: Sequence[Any]) -> Sequence[EventOutcome]:
        result = self._server.record(events)
        if result.spooled:
            # They lie on one server's own disk: Kafka keeps them better.
            raise NotTakenError("server", "the event log is away, and the server keeps events on its own disk")
        return result.events

    def _send(
        self,
        batch: Batch,
        parts: list[tuple[Message, Part]],
        call: Callable[[Sequence[Any]], Sequence[EventOutcome | ChangeOutcome]],
    ) -> None:
        """Sends parts in their order; each that is dealt with leaves the list."""
        size = MOST_PARTS
        while parts:
            sent = parts[:size]
            try:
                outcomes = call([part.value for _, part in sent])
            except InvalidRequestError as error:
                if len(sent) > 1:  # the call as a whole: too large, or one part breaks it
                    size = len(sent) // 2
                    continue
                outcomes = [EventOutcome(error=_field_error(error))]
            except FuseRankError as error:
                raise NotTakenError("server", error.message) from None
            for (message, part), outcome in zip(sent, outcomes, strict=True):
                if (wrong := outcome.error) is not None:
                    reason = Reason(wrong.field, wrong.found, wrong.allowed, part.event, part.item)
                    batch.refuse(message, [reason])
                self._count(message, _result(outcome))
            del parts[: len(sent)]
            size = MOST_PARTS

    def _count(self, message: Message, result: str, count: int = 1) -> None:
        self._metrics.parts.labels(message.topic, result).inc(count)


def _result(outcome: EventOutcome | ChangeOutcome) -> str:
    if outcome.error is not None:
        return "rejected"
    return "duplicate" if outcome.duplicate else "new"


def _field_error(error: InvalidRequestError) -> FieldError:
    """Returns what a call that was refused as a whole says of its only part."""
    match = _REASON.fullmatch(error.message)
    if match is None:
        return FieldError(error.field or "message", error.message, "what the server's contract says")
    return FieldError(match["field"], match["found"], match["allowed"] or "what the server's contract says")
