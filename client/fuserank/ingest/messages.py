"""What a Kafka message holds, and what is made of it: events, changes of items, and reasons why some are not taken."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any, Protocol

import msgspec

LONGEST_FOUND = 80  # characters of a value that a reason quotes


@dataclass(frozen=True)
class Message:
    """A message as it came from Kafka.

    Attributes:
        topic: Its topic.
        partition: The topic's partition.
        offset: Its place in the partition.
        timestamp: When it was produced, milliseconds since 1970; 0 where the broker does not say.
        value: Its bytes; None of a tombstone.
        key: Its key.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    value: bytes | None
    key: bytes | None = None

    @property
    def place(self) -> tuple[str, int]:
        """Its topic and partition."""
        return self.topic, self.partition


@dataclass(frozen=True)
class Reason:
    """Why an event or a change of a message was not taken.

    Attributes:
        field: The field at fault; `message` where it is the message as a whole.
        found: What it held.
        allowed: What it may hold.
        event: Which event or change of the message, from 0.
        item: Which of the event's items, from 0.
    """

    field: str
    found: str
    allowed: str
    event: int = 0
    item: int = 0

    def to_json(self) -> dict[str, Any]:
        """Returns it as the dead-letter topic has it."""
        return asdict(self)


@dataclass(frozen=True)
class Part:
    """An event or a change of a message, as `record` or `catalog` takes it.

    Attributes:
        value: The fields.
        event: Which event or change of the message it is, from 0.
        item: Of which of the event's items, from 0.
    """

    value: dict[str, Any]
    event: int = 0
    item: int = 0


@dataclass
class Reading:
    """What is made of one message.

    Attributes:
        events: Those for `record`.
        changes: Those for `catalog`.
        reasons: What is wrong with the others.
        ignored: How many events the format passes over.
    """

    events: list[Part] = field(default_factory=list)
    changes: list[Part] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)
    ignored: int = 0


class MessageFormat(Protocol):
    """What the messages of a topic hold."""

    def read(self, message: Message) -> Reading:
        """Returns what a message holds; what is wrong with it is said in `reasons`, never raised."""
        ...


class UnreadableError(ValueError):
    """A message, or an event of one, cannot be read; its only argument is the reason."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"{reason.field}: found {reason.found}; allowed: {reason.allowed}")
        self.reason = reason


def read_json(message: Message, allowed: str) -> Any:
    """Returns the message's JSON value.

    Raises:
        UnreadableError: Where it is none.
    """
    if message.value is None:
        raise UnreadableError(Reason("message", "nothing (a tombstone)", allowed))
    try:
        return msgspec.json.decode(message.value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableError(Reason("message", f"{len(message.value):,} bytes: {error}", allowed)) from None


def quote(value: object) -> str:
    """Returns a value as a reason quotes it."""
    if value is None:
        return "nothing"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= LONGEST_FOUND else f"{text[:LONGEST_FOUND]}… ({len(text):,} characters)"


def content_id(message: Message, event: int, item: int, *, timed: bool) -> str:
    """Returns an id for an event that has none: of the message's content, so that one produced twice counts once.

    Args:
        message: The message.
        event: Which event of the message.
        item: Which item of the event.
        timed: Whether the content says when it happened. Where it does not, the message's time is part of the id:
            the same content may then mean two events.
    """
    digest = blake2b(message.value or b"", digest_size=16)
    if not timed:
        digest.update(str(message.timestamp).encode())
    return f"{digest.hexdigest()}-{event}-{item}"
