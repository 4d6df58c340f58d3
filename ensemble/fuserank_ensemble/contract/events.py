"""The events that `record` takes: their fields and limits, and what is said of one that cannot be taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fuserank_ensemble.contract.errors import Description, InvalidRequestError, nearest
from fuserank_ensemble.contract.experiment import MAX_ARM_BYTES
from fuserank_ensemble.contract.identity import refuse_hashed_name
from fuserank_ensemble.contract.json_values import check_size, parse_list, read_moment
from fuserank_ensemble.contract.options import (
    MAX_ITEM_ID_BYTES,
    MAX_QUERY_BYTES,
    MAX_SESSION_ID_BYTES,
    MAX_USER_ID_BYTES,
)

MAX_EVENTS = 1_000
MAX_EVENTS_BYTES = 4 * 1024 * 1024
MAX_EVENT_ID_BYTES = 128
MAX_BUNDLE_BYTES = 64
MAX_POSITION_IN_LIST = 10_000
CLOCK_SKEW_SECONDS = 86_400.0  # how far ahead of this clock an event's may be
EVENTS_ALLOWED = f"a JSON list of 1 to {MAX_EVENTS:,} events"


@dataclass(frozen=True)
class RecordedEvent:
    """An event as it came, with every field checked.

    Attributes:
        event_id: Names the event: the same one counts once.
        item_id: The item.
        event: What was done.
        timestamp: Epoch seconds.
        user_id: Who; may be empty where there is a session.
        session_id: In which session; may be empty where there is a user.
        value: Of a rating, or None.
        query: What had been asked; may be empty.
        position: The item's place in the list, from 1, or None.
        propensity: With what probability it stood there, or None.
        bundle: Which bundle had answered; may be empty.
        arm: Which arm of an experiment had; may be empty.
    """

    event_id: str
    item_id: str
    event: str
    timestamp: float
    user_id: str = ""
    session_id: str = ""
    value: float | None = None
    query: str = ""
    position: int | None = None
    propensity: float | None = None
    bundle: str = ""
    arm: str = ""


def parse_events(raw: bytes) -> list[Any]:
    """Returns the events of one request as JSON values, each still to be read; errors as of `parse_list`."""
    return parse_list("EVENTS", raw, MAX_EVENTS_BYTES, MAX_EVENTS, EVENTS_ALLOWED)


def read_event(value: object, kinds: tuple[str, ...], now: float) -> RecordedEvent:
    """Checks one event.

    Args:
        value: A JSON value.
        kinds: What may be done.
        now: This server's clock, epoch seconds: the time of an event that names none.

    Raises:
        InvalidRequestError: Names the field, what it held and what is allowed.
    """
    if not isinstance(value, dict):
        raise InvalidRequestError("event", value, "an object with event_id, event, item_id, and user_id or session_id")
    readers = {**_READERS, "event": _kind(kinds), "timestamp": _moment(now)}
    for name in value:
        if name not in readers:
            raise InvalidRequestError(str(name), Description("an unknown field"), nearest(str(name), readers))
    given = {name: readers[name](name, held) for name, held in value.items() if held is not None}
    for name, allowed in _REQUIRED.items():
        if not given.get(name):
            raise InvalidRequestError(name, Description("nothing"), allowed)
    if not given.get("user_id") and not given.get("session_id"):
        raise InvalidRequestError("user_id", Description("nothing, and no session_id"), "a user or a session")
    return RecordedEvent(**{"timestamp": now} | given)


def _text(limit: int) -> Callable[[str, object], str]:
    allowed = f"a string of at most {limit:,} bytes"

    def read(name: str, held: object) -> str:
        if not isinstance(held, str):
            raise InvalidRequestError(name, held, allowed)
        return check_size(name, held, limit, allowed)

    return read


def _identity(limit: int) -> Callable[[str, object], str]:
    text = _text(limit)
    return lambda name, held: refuse_hashed_name(name, text(name, held))


def _number(least: float, most: float, allowed: str) -> Callable[[str, object], float]:
    def read(name: str, held: object) -> float:
        if isinstance(held, bool) or not isinstance(held, int | float) or not least <= held <= most:
            raise InvalidRequestError(name, held, allowed)
        return float(held)

    return read


def _place(name: str, held: object) -> int:
    if isinstance(held, bool) or not isinstance(held, int) or not 1 <= held <= MAX_POSITION_IN_LIST:
        raise InvalidRequestError(name, held, f"an integer from 1 to {MAX_POSITION_IN_LIST:,}")
    return held


def _kind(kinds: tuple[str, ...]) -> Callable[[str, object], str]:
    def read(name: str, held: object) -> str:
        if held not in kinds:
            raise InvalidRequestError(name, held, nearest(held, kinds) if isinstance(held, str) else ", ".join(kinds))
        return str(held)

    return read


def _moment(now: float) -> Callable[[str, object], float]:
    allowed = "epoch seconds or an ISO 8601 string, at most a day ahead of the server's clock"

    def read(name: str, held: object) -> float:
        return read_moment(name, held, allowed, now + CLOCK_SKEW_SECONDS)

    return read


_FINITE = 3.4e38  # what a float32 holds
_READERS: Mapping[str, Callable[[str, object], Any]] = {
    "event_id": _text(MAX_EVENT_ID_BYTES),
    "item_id": _text(MAX_ITEM_ID_BYTES),
    "user_id": _identity(MAX_USER_ID_BYTES),
    "session_id": _identity(MAX_SESSION_ID_BYTES),
    "query": _text(MAX_QUERY_BYTES),
    "bundle": _text(MAX_BUNDLE_BYTES),
    "arm": _text(MAX_ARM_BYTES),
    "value": _number(-_FINITE, _FINITE, "a finite number"),
    "propensity": _number(0.0, 1.0, "a probability from 0 to 1"),
    "position": _place,
}
_REQUIRED = {
    "event_id": "a string of your own for each event, the same when it is sent again",
    "event": "what was done, such as click",
    "item_id": "the item's id",
}
