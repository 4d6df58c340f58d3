"""Encodes requests of `record` and `profile` as tensors, and decodes their responses.

`record`: `EVENTS` BYTES `[B, 1]`, a JSON list; it answers with `RESULT`, a JSON list, and `STATUS`, a JSON object.
`profile`: `USER_ID`, `ACTION` and `OPTIONS`, a JSON object; it answers with `PROFILE`, a JSON object.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from fuserank.changes import CatalogResult
from fuserank.errors import IncompatibleServerError, InvalidRequestError
from fuserank.events import Event, EventOutcome, FieldError, Profile, ProfileChange, RecordResult
from fuserank.wire import Response, encode_text, infer_arguments, numpy_to_json, one_row, output

Record = TypeVar("Record", RecordResult, Profile, ProfileChange, FieldError, CatalogResult)


def encode_record(events: Sequence[Event]) -> dict[str, Any]:
    """Returns the arguments of tritonclient's `infer` for a batch of events.

    An event without an `event_id` gets one here, so that a call that is repeated repeats it.

    Raises:
        InvalidRequestError: Where a value has no JSON form. The server checks all else.
    """
    named = [{"event_id": uuid.uuid4().hex, **event} if isinstance(event, Mapping) else event for event in events]
    try:
        text = json.dumps(named, ensure_ascii=False, separators=(",", ":"), default=numpy_to_json)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"EVENTS: found a value without a JSON form ({error})") from None
    return infer_arguments("record", one_row({"EVENTS": encode_text("EVENTS", text)}), ("RESULT", "STATUS"))


def decode_record(response: Response) -> RecordResult:
    """Decodes what became of a batch.

    Raises:
        IncompatibleServerError: Where an output is missing or not as expected.
    """
    status = decode_json(response, "STATUS", dict)
    outcomes = tuple(
        EventOutcome(
            outcome.get("position"),
            bool(outcome.get("duplicate")),
            bool(outcome.get("spooled")),
            from_known_keys(FieldError, outcome["error"]) if outcome.get("error") else None,
        )
        for outcome in decode_json(response, "RESULT", list)
    )
    return from_known_keys(RecordResult, {**status, "events": outcomes})


def encode_profile(user: str, action: str, options: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Returns the arguments of tritonclient's `infer` for an action on a user's profile.

    Raises:
        InvalidRequestError: Where a value is no string.
    """
    row = {
        "USER_ID": encode_text("USER_ID", user),
        "ACTION": encode_text("ACTION", action),
        "OPTIONS": encode_text("OPTIONS", json.dumps(options or {}, ensure_ascii=False)),
    }
    return infer_arguments("profile", one_row(row), ("PROFILE",))


def decode_profile(response: Response) -> Profile:
    """Decodes what is known of a user.

    Raises:
        IncompatibleServerError: Where the output is missing or not as expected.
    """
    return from_known_keys(Profile, decode_json(response, "PROFILE", dict))


def decode_change(response: Response) -> ProfileChange:
    """Decodes what a change of a profile did.

    Raises:
        IncompatibleServerError: Where the output is missing or not as expected.
    """
    return from_known_keys(ProfileChange, decode_json(response, "PROFILE", dict))


def decode_json(response: Response, name: str, kind: type[Any]) -> Any:
    """Returns an output of one row as the JSON value that it holds, a `list` or a `dict`.

    Raises:
        IncompatibleServerError: Where it is missing, or something else.
    """
    try:
        value = json.loads(output(response, name, rows=1)[0, 0])
    except ValueError as error:
        raise IncompatibleServerError(f"{name} is not JSON ({error})") from None
    if not isinstance(value, kind):
        raise IncompatibleServerError(f"{name} is no JSON {'list' if kind is list else 'object'}")
    return value


def from_known_keys(record: type[Record], values: Mapping[str, Any]) -> Record:
    """Returns a record of the values that it knows, whatever a newer server adds.

    Raises:
        IncompatibleServerError: Where one is missing that it needs.
    """
    try:
        return record(**{f.name: values[f.name] for f in fields(record) if f.name in values})
    except TypeError as error:
        raise IncompatibleServerError(f"a {record.__name__} is incomplete ({error})") from None
