"""Parsers of single cells, one for each kind of column.

Every parser takes a value of any type (text from CSV, JSON values, Python values from Parquet) and returns the clean
value; None, or NaN of a number, where the cell is empty and may be. It raises `CellError` for all else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

from fuserank_ensemble.contract.identity import clean_identity
from fuserank_ensemble.interactions.events import EVENT_NAMES
from fuserank_export.sources.report import closest

MAX_ID_BYTES = 256
MAX_DEPTH = 32  # of a nested attribute
UNKNOWN_EVENT = "unknown event"
MAX_POSITION = 10_000  # in a list of impressions

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_EXACT_FLOAT = 2.0**53  # beyond it not every integer is a float, so a float id may be another one
_FLAGS = {
    **dict.fromkeys(("true", "1", "yes", "y", "in stock", "available", "是", "有", "有货"), True),
    **dict.fromkeys(("false", "0", "no", "n", "out of stock", "sold out", "否", "无", "无货", "缺货"), False),
}


class CellError(ValueError):
    """A value that its column does not allow.

    Attributes:
        reason: What is wrong; rows with the same reason are counted together.
        detail: More about this value.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}; {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


def is_missing(value: Any) -> bool:
    """Returns whether a cell is empty: None, NaN or blank text."""
    if value is None:
        return True
    if isinstance(value, str):
        return not value or value.isspace()
    return isinstance(value, float) and math.isnan(value)


def has_control_characters(value: Any) -> bool:
    """Returns whether `parse_text` replaces a control character in this value."""
    if isinstance(value, list):
        return any(isinstance(entry, str) and has_control_characters(entry) for entry in value)
    return isinstance(value, str) and _CONTROL.search(value.strip()) is not None


def require(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Returns a parser that also refuses an empty cell."""

    def parse_required(value: Any) -> Any:
        parsed = parse(value)
        if parsed is None:
            raise CellError("missing")
        return parsed

    return parse_required


def parse_identifier(value: Any) -> str:
    """Returns an item or user id as text, see `clean_identity`; the numbers 123 and 123.0 are "123"."""
    if is_missing(value):
        raise CellError("missing")
    identifier = clean_identity(_scalar_to_text(value, "an id"))
    if not identifier:
        raise CellError("missing")
    if _CONTROL.search(identifier):
        raise CellError("holds control characters", "allowed: printable text")
    size = len(identifier.encode("utf-8"))
    if size > MAX_ID_BYTES:
        raise CellError("too long", f"found {size:,} bytes; allowed: {MAX_ID_BYTES}")
    return identifier


def parse_text(value: Any) -> str | None:
    """Returns text, see `clean_identity`, with spaces for control characters; None for an empty cell."""
    if is_missing(value):
        return None
    return clean_identity(_CONTROL.sub(" ", _scalar_to_text(value, "text"))) or None


def parse_flag(value: Any) -> bool | None:
    """Returns the truth value of one of `_FLAGS` in any case; None for an empty cell."""
    if is_missing(value):
        return None
    if isinstance(value, float) and value.is_integer():  # pandas' way to hold 0 and 1 beside missing values
        value = int(value)
    flag = _FLAGS.get(str(value).strip().casefold())
    if flag is None:
        meaning = "other words are given a meaning under [catalog.values] of a config file, see docs/reading-files.md"
        raise CellError("not a truth value", f"allowed: {', '.join(_FLAGS)}; {meaning}")
    return flag


def parse_event(value: Any) -> int:
    """Returns the position of an event's name in `EVENTS`, or `IMPRESSION`."""
    if is_missing(value):
        raise CellError("missing")
    name = str(value).strip().casefold()
    if name in EVENT_NAMES:
        return EVENT_NAMES.index(name)
    near = closest(name[:50], EVENT_NAMES)
    hint = f"; did you mean {near!r}?" if near else ""
    raise CellError(UNKNOWN_EVENT, f"allowed: {', '.join(EVENT_NAMES)}{hint}")


def parse_position(value: Any) -> int:
    """Returns a place in a list, counted from 1; 0 for an empty cell."""
    if is_missing(value):
        return 0
    try:
        position = -1.0 if isinstance(value, bool) or "_" in str(value) else float(value)
    except (TypeError, ValueError, OverflowError):
        raise CellError("not a number") from None
    if not position.is_integer() or not 1 <= position <= MAX_POSITION:
        raise CellError("not a place in a list", f"allowed: whole numbers from 1 to {MAX_POSITION:,}")
    return int(position)


def parse_propensity(value: Any) -> float:
    """Returns the probability with which an item was shown, above 0 and up to 1; NaN for an empty cell."""
    if is_missing(value):
        return math.nan
    try:
        propensity = math.nan if isinstance(value, bool) or "_" in str(value) else float(value)
    except (TypeError, ValueError, OverflowError):
        raise CellError("not a number") from None
    if not 0.0 < propensity <= 1.0:
        raise CellError("not a probability", "allowed: above 0, up to 1")
    return propensity


def parse_attribute(value: Any, depth: int = 0) -> Any:
    """Returns an extra column's value as JSON can hold it; None for an empty cell and for a number that is not finite.

    Args:
        value: Any value, lists and objects included.
        depth: How many lists or objects are around it.
    """
    if depth > MAX_DEPTH:
        raise CellError("nested too deeply", f"allowed: {MAX_DEPTH} levels")
    if isinstance(value, str):
        return parse_text(value)
    if isinstance(value, float | Decimal):
        number = float(value)
        return number if math.isfinite(number) else None
    if isinstance(value, list | tuple):
        return [parse_attribute(entry, depth + 1) for entry in value]
    if isinstance(value, dict):
        return {str(key): parse_attribute(entry, depth + 1) for key, entry in value.items()}
    if isinstance(value, date):  # and a datetime is one
        return value.isoformat()
    return value if value is None or isinstance(value, bool | int) else str(value)


def _scalar_to_text(value: Any, kind: str) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        raise CellError(f"not {kind}", "found a truth value; allowed: text or a number")
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float) and abs(value) < _EXACT_FLOAT:
        if value == int(value):
            return str(int(value))  # pandas' way to hold integers beside missing values
        if kind == "text":
            return str(value)
    raise CellError(f"not {kind}", f"found a {type(value).__name__}; allowed: text or a whole number")
