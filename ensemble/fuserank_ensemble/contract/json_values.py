"""JSON values of a request that are checked one by one: lists of events and of changes, their texts and moments."""

from __future__ import annotations

import json
import math
from typing import Any

from fuserank_ensemble.contract.errors import Description, InvalidRequestError
from fuserank_ensemble.contract.options import decode_utf8, epoch_seconds


def parse_list(name: str, raw: bytes, max_bytes: int, max_values: int, allowed: str) -> list[Any]:
    """Returns the values of a JSON list, each still to be read.

    Args:
        name: The input's name.
        raw: Its bytes.
        max_bytes: How many it may have.
        max_values: How many values it may hold; one is the least.
        allowed: What it may be, in words.

    Raises:
        InvalidRequestError: Where it is no list, or too long.
    """
    if len(raw) > max_bytes:
        raise InvalidRequestError(name, Description(f"{len(raw):,} bytes"), f"at most {max_bytes:,} bytes")
    text = decode_utf8(name, raw)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(name, Description(f"malformed JSON ({error})"), allowed) from None
    if not isinstance(values, list):
        raise InvalidRequestError(name, values, allowed)
    if not 1 <= len(values) <= max_values:
        raise InvalidRequestError(name, Description(f"a list of {len(values):,}"), allowed)
    return values


def check_size(name: str, text: str, limit: int, allowed: str) -> str:
    """Returns a text that UTF-8 holds in at most so many bytes.

    Raises:
        InvalidRequestError: Where it is longer, or holds half a character.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidRequestError(name, Description(f"half a character at {error.start}"), "UTF-8 text") from None
    if size > limit:
        raise InvalidRequestError(name, Description(f"{size:,} bytes"), allowed)
    return text


def read_moment(name: str, held: object, allowed: str, latest: float = math.inf) -> float:
    """Returns a moment in epoch seconds.

    Raises:
        InvalidRequestError: Where it is none, before 1970 or after the latest.
    """
    if isinstance(held, bool) or not isinstance(held, str | int | float):
        raise InvalidRequestError(name, held, allowed)
    try:
        seconds = epoch_seconds(held)
    except InvalidRequestError:
        raise InvalidRequestError(name, held, allowed) from None
    if not math.isfinite(seconds) or not 0 <= seconds <= latest:
        raise InvalidRequestError(name, held, allowed)
    return seconds
