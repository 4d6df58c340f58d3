"""Encodes requests of `record` and `profile` as tensors, and decodes their responses.

`record`: `EVENTS` BYTES `[B, 1]`, a JSON list; it answers with `RESULT`, a JSON list, and `STATUS`, a JSON object.
`profile`: `USER_ID`, `ACTION` and `OPTIONS`, a JSON object; it answers with `PROFILE`, a JSON object.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from fuserank.events import Event, EventOutcome, FieldError, Profile, ProfileChange, RecordResult
from fuserank.wire import (
    Response,
    decode_output,
    encode_text,
    encode_values,
    from_known_keys,
    infer_arguments,
    one_row,
)


def encode_record(events: Sequence[Event]) -> dict[str, Any]:
    """Returns the arguments of tritonclient's `infer` for a batch of events.

    An event without an `event_id` gets one here, so that a call that is repeated repeats it.

    Raises:
        InvalidRequestError: Where a value has no JSON form. The server checks all else.
    """
    named = [{"event_id": uuid.uuid4().hex, **event} if isinstance(event, Mapping) else event for event in events]
    return encode_values("record", "EVENTS", named)


def decode_record(response: Response) -> RecordResult:
    """Decodes what became of a batch.

    Raises:
        IncompatibleServerError: Where an output is missing or not as expected.
    """
    status = decode_output(response, "STATUS")
    outcomes = tuple(
        EventOutcome(
            outcome.get("position"),
            bool(outcome.get("duplicate")),
            bool(outcome.get("spooled")),
            from_known_keys(FieldError, outcome["error"]) if outcome.get("error") else None,
        )
        for outcome in decode_output(response, "RESULT", list)
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
    return from_known_keys(Profile, decode_output(response, "PROFILE"))


def decode_change(response: Response) -> ProfileChange:
    """Decodes what a change of a profile did.

    Raises:
        IncompatibleServerError: Where the output is missing or not as expected.
    """
    return from_known_keys(ProfileChange, decode_output(response, "PROFILE"))
