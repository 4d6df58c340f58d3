"""Parsers of single cells, one for each kind of column.

Every parser takes a value of any type (text from CSV, JSON values, Python values from Parquet) and returns the clean
value; None, or NaN of a number, where the cell is empty and may be. It raises `CellError` for all else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from fuserank_export.sources.report import closest

MAX_ID_BYTES = 256
MAX_DEPTH = 32  # of a nested attribute
EVENTS = ("view", "click", "cart", "purchase", "rating")
IMPRESSION = len(EVENTS)  # code of an impression: an item that was shown, which is no event of a user
EVENT_NAMES = (*EVENTS, "impression")
UNKNOWN_EVENT = "unknown event"
MAX_POSITION = 10_000  # in a list of impressions
EPOCH_FORMS = "ISO 8601 (2017-01-01T11:53:26Z) or epoch seconds"

_NUMERIC = re.compile(r"[+-]?\d{1,30}(\.\d*)?([eE][+-]?\d{1,3})?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_EXACT_FLOAT = 2.0**53  # beyond it not every integer is a float, so a float id may be another one
_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


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
    """Returns an item or user id as text; 123 and 123.0 are "123", so that a log and a catalogue agree."""
    if is_missing(value):
        raise CellError("missing")
    identifier = _scalar_to_text(value, "an id")
    if _CONTROL.search(identifier):
        raise CellError("holds control characters", "allowed: printable text")
    size = len(identifier.encode("utf-8"))
    if size > MAX_ID_BYTES:
        raise CellError("too long", f"found {size:,} bytes; allowed: {MAX_ID_BYTES}")
    return identifier


def parse_text(value: Any) -> str | None:
    """Returns text with spaces for control characters and without white space at its ends; None for an empty cell."""
    if is_missing(value):
        return None
    return _CONTROL.sub(" ", _scalar_to_text(value, "text")).strip() or None


def parse_number(value: Any) -> float:
    """Returns a finite number; NaN for an empty cell."""
    if is_missing(value):
        return math.nan
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise CellError("not a number")
    if isinstance(value, str) and "_" in value:  # Python reads 1_000, no shop writes it
        raise CellError("not a number")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise CellError("not a number") from None
    if not math.isfinite(number):
        raise CellError("not finite")
    return number


def parse_price(value: Any) -> float:
    """Returns a finite number of 0 or more; NaN for an empty cell."""
    price = parse_number(value)
    if price < 0:
        raise CellError("negative", "allowed: 0 and above")
    return abs(price)  # -0.0 would be shown as a negative price


def parse_flag(value: Any) -> bool | None:
    """Returns the truth value of true, 1, yes, false, 0 or no in any case; None for an empty cell."""
    if is_missing(value):
        return None
    if isinstance(value, float) and value.is_integer():  # pandas' way to hold 0 and 1 beside missing values
        value = int(value)
    flag = _FLAGS.get(str(value).strip().casefold())
    if flag is None:
        raise CellError("not a truth value", "allowed: true, false, 1, 0, yes, no")
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
    position = parse_number(value)
    if math.isnan(position):
        return 0
    if not position.is_integer() or not 1 <= position <= MAX_POSITION:
        raise CellError("not a place in a list", f"allowed: whole numbers from 1 to {MAX_POSITION:,}")
    return int(position)


def parse_epoch_seconds(value: Any) -> int | None:
    """Returns a moment as whole epoch seconds; None for an empty cell. Without an offset it is taken as UTC.

    Numbers beyond 1e11 are milliseconds (beyond 1e14 micro-, 1e17 nanoseconds): read as seconds they would lie
    3,000 years ahead. A number that reads as a calendar date (20170131) is refused as ambiguous.
    """
    if is_missing(value):
        return None
    try:
        if isinstance(value, str):
            stripped = value.strip()
            value = Decimal(stripped) if _NUMERIC.fullmatch(stripped) else datetime.fromisoformat(stripped)
        if isinstance(value, datetime):
            moment = value if value.tzinfo else value.replace(tzinfo=UTC)
            return math.floor(moment.timestamp())
        if isinstance(value, date):
            return parse_epoch_seconds(datetime(value.year, value.month, value.day))
        if not isinstance(value, bool) and isinstance(value, int | float | Decimal):
            return _to_seconds(value)
    except CellError:
        raise
    except (ValueError, OverflowError):
        pass
    raise CellError("unreadable timestamp", f"allowed: {EPOCH_FORMS}")


def parse_category_path(value: Any) -> str | None:
    """Returns a path with ' > ' between its levels, from such a text or from a list of levels; None for an empty cell.

    Empty levels are left out, and a level repeated at once ("Soup > Soup") counts once. A level that comes back further
    down ("Food > Soup > Food") is refused, because a category cannot lie below itself. Across items no cycle can arise,
    because a category is its whole path.
    """
    if is_missing(value):
        return None
    levels: list[str] = []
    for part in value if isinstance(value, list) else [value]:
        for level in str(parse_text(part) or "").split(">"):
            if (name := " ".join(level.split())) and name not in levels[-1:]:
                levels.append(name)
    if len(set(levels)) < len(levels):
        raise CellError("category cycle", "allowed: each level once in a path")
    return " > ".join(levels) or None


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


def _to_seconds(value: int | float | Decimal) -> int:
    whole = math.floor(value)
    if 19_000_101 <= whole <= 21_001_231 and _is_calendar_date(whole):
        raise CellError("ambiguous timestamp", "reads as YYYYMMDD; write YYYY-MM-DD, or epoch seconds after 1970")
    size = abs(whole)
    divisor = 1 if size <= 10**11 else 10**3 if size <= 10**14 else 10**6 if size <= 10**17 else 10**9
    seconds = whole // divisor
    if abs(seconds) > 10**11:
        raise ValueError(value)
    return seconds


def _is_calendar_date(digits: int) -> bool:
    try:
        date(digits // 10_000, digits // 100 % 100, digits % 100)
    except ValueError:
        return False
    return True
