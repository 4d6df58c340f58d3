"""Messages that are events or changes of items as `record` and `catalog` take them."""

from __future__ import annotations

from typing import Any

from fuserank.ingest.messages import Message, Part, Reading, Reason, UnreadableError, content_id, quote, read_json

EVENTS_ALLOWED = "an event as `record` takes it, or a JSON list of them"
ITEMS_ALLOWED = "an item's id and new values, or a change as `catalog` takes it, or a JSON list of them"


class EventMessages:
    """A message is an event, or a list of events. An id and a time that are missing are the message's."""

    def read(self, message: Message) -> Reading:
        """See `MessageFormat`."""
        reading = Reading()
        try:
            values = _as_list(read_json(message, EVENTS_ALLOWED), EVENTS_ALLOWED)
        except UnreadableError as error:
            return Reading(reasons=[error.reason])
        for number, value in enumerate(values):
            if not isinstance(value, dict):
                reading.reasons.append(Reason("event", quote(value), EVENTS_ALLOWED, number))
                continue
            timed = value.get("timestamp") is not None
            made_up: dict[str, Any] = {"event_id": content_id(message, number, 0, timed=timed)}
            if not timed and message.timestamp:
                made_up["timestamp"] = message.timestamp / 1_000
            given = {name: held for name, held in value.items() if held is not None}
            reading.events.append(Part({**made_up, **given}, number))
        return reading


class ItemMessages:
    """A message is what changes of an item, or a list of such; a tombstone deletes the item that its key names."""

    def read(self, message: Message) -> Reading:
        """See `MessageFormat`."""
        try:
            if message.value is None:
                values: list[Any] = [{"item_id": _key(message), "delete": True}]
            else:
                values = _as_list(read_json(message, ITEMS_ALLOWED), ITEMS_ALLOWED)
        except UnreadableError as error:
            return Reading(reasons=[error.reason])
        reading = Reading()
        for number, value in enumerate(values):
            if not isinstance(value, dict):
                reading.reasons.append(Reason("change", quote(value), ITEMS_ALLOWED, number))
                continue
            # A price that goes up, down and up again is three changes: their place tells them apart, not their content.
            place = f"{message.topic}/{message.partition}/{message.offset}/{message.timestamp}-{number}"
            reading.changes.append(Part({"change_id": place[-128:], **_as_change(value)}, number))
        return reading


def _as_list(value: Any, allowed: str) -> list[Any]:
    if value == []:
        raise UnreadableError(Reason("message", "an empty list", allowed))
    return value if isinstance(value, list) else [value]


def _key(message: Message) -> str:
    try:
        return (message.key or b"").decode()
    except UnicodeDecodeError as error:
        raise UnreadableError(Reason("key", str(error), "the id of the item that is deleted, in UTF-8")) from None


def _as_change(value: dict[str, Any]) -> dict[str, Any]:
    """Returns a row of the catalogue as a change; what is one already stays as it is."""
    if "fields" in value or "delete" in value:
        return value
    named = {name: value[name] for name in ("change_id", "item_id") if value.get(name) is not None}
    return {**named, "fields": {name: held for name, held in value.items() if name not in ("change_id", "item_id")}}
