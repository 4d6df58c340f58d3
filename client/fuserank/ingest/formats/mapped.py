"""Events of other programs, mapped to those of `record` by a table of JMESPath expressions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError

from fuserank.errors import ConfigurationError
from fuserank.events import EVENT_KINDS, Event
from fuserank.ingest.closed import check_keys, nearest
from fuserank.ingest.messages import Message, Part, Reading, Reason, UnreadableError, content_id, quote, read_json

UNITS = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6}
FIELDS = tuple(name for name in Event.__annotations__ if name != "event")
_IDS = ("event_id", "item_id", "user_id", "session_id")
_ALLOWED = "a JSON object"


class FormatTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A format as a file or the configuration has it. Expressions are JMESPath.

    Attributes:
        kind: What names an event's kind; it sees `message` and `event`.
        kinds: Which of our kinds each of theirs is.
        fields: Our fields, each with its expression, which sees `message`, `event` and `item`.
        events: The events of a message, a list; it sees `message`.
        items: The items of an event, a list: each makes an event of its own. It sees `message` and `event`.
        ignored: Kinds that are passed over, and counted.
        timestamp_unit: Of a time that is a number.
        first_position: The number of a list's first place, which is 1 with us.
    """

    kind: str = ""
    kinds: dict[str, str] = {}
    fields: dict[str, str] = {}
    events: str = "[message]"
    items: str = "[event]"
    ignored: list[str] = []
    timestamp_unit: Literal["seconds", "milliseconds", "microseconds"] = "seconds"
    first_position: int = 1


class MappedEvents:
    """Messages of a format that a table describes.

    Raises:
        ConfigurationError: Where the table names what there is not, or an expression cannot be read.
    """

    def __init__(self, name: str, table: FormatTable) -> None:
        """Takes the format's name, for messages, and its table."""
        self._table = table
        for required in ("kind", "kinds", "fields"):
            if not getattr(table, required):
                raise ConfigurationError(f"formats.{name}.{required}: found nothing; allowed: see docs/ingest.md")
        check_keys(table.fields, FIELDS, f"formats.{name}.fields")
        for theirs, ours in table.kinds.items():
            if ours not in EVENT_KINDS:
                place = f"formats.{name}.kinds.{theirs!r}"
                raise ConfigurationError(f"{place}: found {ours!r}; allowed: {nearest(ours, EVENT_KINDS)}")
        self._expressions = {
            place: _compile(f"formats.{name}.{place}", text)
            for place, text in {
                "events": table.events,
                "items": table.items,
                "kind": table.kind,
                **{f"fields.{field}": text for field, text in table.fields.items()},
            }.items()
        }

    def read(self, message: Message) -> Reading:
        """See `MessageFormat`."""
        reading = Reading()
        try:
            value = read_json(message, _ALLOWED)
            if not isinstance(value, dict):
                raise UnreadableError(Reason("message", quote(value), _ALLOWED))
            events = self._list("events", {"message": value})
        except UnreadableError as error:
            return Reading(reasons=[error.reason])
        for number, event in enumerate(events):
            try:
                for part in self._read_event(message, number, {"message": value, "event": event}):
                    if isinstance(part, Part):
                        reading.events.append(part)
                    else:
                        reading.reasons.append(part)
            except _IgnoredError:
                reading.ignored += 1
            except UnreadableError as error:
                reading.reasons.append(replace(error.reason, event=number))
        return reading

    def _read_event(self, message: Message, number: int, scope: Mapping[str, Any]) -> Iterator[Part | Reason]:
        kind = self._value("kind", scope)
        if not isinstance(kind, str) or kind not in self._table.kinds:
            if kind in self._table.ignored:
                raise _IgnoredError
            known = nearest(kind if isinstance(kind, str) else "", self._table.kinds)
            raise UnreadableError(Reason("event", quote(kind), known))
        for place, item in enumerate(self._list("items", scope)):
            try:
                fields = self._fields({**scope, "item": item})
            except UnreadableError as error:
                yield replace(error.reason, event=number, item=place)
                continue
            timed = "timestamp" in fields
            if not timed and message.timestamp:
                fields["timestamp"] = message.timestamp / 1_000
            given = fields.get("event_id")
            fields["event_id"] = f"{given}-{place}" if given else content_id(message, number, place, timed=timed)
            yield Part({**fields, "event": self._table.kinds[kind]}, number, place)

    def _fields(self, scope: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that the expressions find; what is empty or false is none."""
        fields: dict[str, Any] = {}
        for name in self._table.fields:
            held = self._value(f"fields.{name}", scope)
            if held is None or held is False or held == "":
                continue
            is_number = isinstance(held, int | float) and not isinstance(held, bool)
            if name in _IDS and is_number:
                held = str(held)
            elif name == "timestamp" and is_number:
                held /= UNITS[self._table.timestamp_unit]
            elif name == "position" and isinstance(held, int):
                held += 1 - self._table.first_position
            fields[name] = held
        return fields

    def _value(self, place: str, scope: Mapping[str, Any]) -> Any:
        try:
            return self._expressions[place].search(scope)
        except JMESPathError as error:
            raise UnreadableError(
                Reason(place.removeprefix("fields."), str(error), "what the format expects")
            ) from None

    def _list(self, place: str, scope: Mapping[str, Any]) -> list[Any]:
        values = self._value(place, scope)
        if not isinstance(values, list) or not values:
            raise UnreadableError(Reason(place, quote(values), "a list that is not empty"))
        return values


class _IgnoredError(Exception):
    """The event is of a kind that the format passes over."""


def _compile(place: str, text: str) -> Any:
    try:
        return jmespath.compile(text)
    except JMESPathError as error:
        reason = " ".join(str(error).split())
        raise ConfigurationError(f"{place}: found {text!r}; allowed: a JMESPath expression ({reason})") from None
