"""What one cell may hold: pure functions from a found value to a clean one.

Every function takes a value of any type (text from CSV, JSON values, Python values from Parquet), returns None
(or NaN) for a missing one where that is allowed, and raises `CellError` with the reason otherwise.
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
IMPRESSION = len(EVENTS)  # its code: what was shown, and nothing that anybody did
LOGGED = (*EVENTS, "impression")
LAST_POSITION = 10_000  # in a list that was shown
EPOCH_FORMS = "ISO 8601 (2017-01-01T11:53:26Z) or epoch seconds"

_NUMERIC = re.compile(r"[+-]?\d{1,30}(\.\d*)?([eE][+-]?\d{1,3})?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_EXACT_FLOAT = 2.0**53  # beyond it not every integer is a float, so a float id would be a guess
_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class CellError(ValueError):
    """A value that its column does not allow. `reason` groups rows, `detail` is about this value."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}; {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


def is_missing(value: Any) -> bool:
    """Whether a cell is empty: None, NaN or blank text."""
    if value is None:
        return True
    if isinstance(value, str):
        return not value or value.isspace()
    return isinstance(value, float) and math.isnan(value)


def has_control(value: Any) -> bool:
    """Whether `text` would replace a control character in this value."""
    if isinstance(value, list):
        return any(isinstance(entry, str) and has_control(entry) for entry in value)
    return isinstance(value, str) and _CONTROL.search(value.strip()) is not None


def required(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Makes a parser refuse a missing value."""

    def parse_required(value: Any) -> Any:
        parsed = parse(value)
        if parsed is None:
            raise CellError("missing")
        return parsed

    return parse_required


def identifier(value: Any) -> str:
    """An item or user id as text: 123 and 123.0 are "123", so that a log and a catalogue agree."""
    if is_missing(value):
        raise CellError("missing")
    found = _scalar_text(value, "an id")
    if _CONTROL.search(found):
        raise CellError("holds control characters", "allowed: printable text")
    size = len(found.encode("utf-8"))
    if size > MAX_ID_BYTES:
        raise CellError("too long", f"found {size:,} bytes; allowed: {MAX_ID_BYTES}")
    return found


def text(value: Any) -> str | None:
    """Text on one line: control characters become spaces, white space at the ends goes."""
    if is_missing(value):
        return None
    return _CONTROL.sub(" ", _scalar_text(value, "text")).strip() or None


def number(value: Any) -> float:
    """A finite number; NaN for a missing one."""
    if is_missing(value):
        return math.nan
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise CellError("not a number")
    if isinstance(value, str) and "_" in value:  # Python reads 1_000, no shop writes it
        raise CellError("not a number")
    try:
        found = float(value)
    except (ValueError, OverflowError):
        raise CellError("not a number") from None
    if not math.isfinite(found):
        raise CellError("not finite")
    return found


def price(value: Any) -> float:
    """A finite number from 0; NaN for a missing one."""
    found = number(value)
    if found < 0:
        raise CellError("negative", "allowed: 0 and above")
    return abs(found)  # -0.0 would be shown as a negative price


def flag(value: Any) -> bool | None:
    """True, 1, yes or false, 0, no in any case."""
    if is_missing(value):
        return None
    if isinstance(value, float) and value.is_integer():  # pandas' way to hold 0 and 1 beside missing values
        value = int(value)
    found = _FLAGS.get(str(value).strip().casefold())
    if found is None:
        raise CellError("not a truth value", "allowed: true, false, 1, 0, yes, no")
    return found


def event(value: Any) -> int:
    """The position of an event's name in `EVENTS`; `IMPRESSION` for what was only shown."""
    if is_missing(value):
        raise CellError("missing")
    name = str(value).strip().casefold()
    if name in LOGGED:
        return LOGGED.index(name)
    near = closest(name[:50], LOGGED)
    raise CellError("unknown event", f"allowed: {', '.join(LOGGED)}" + (f"; did you mean {near!r}?" if near else ""))


def position(value: Any) -> int:
    """A place in a list, from 1; 0 for a missing one."""
    found = number(value)
    if math.isnan(found):
        return 0
    if not found.is_integer() or not 1 <= found <= LAST_POSITION:
        raise CellError("not a place in a list", f"allowed: whole numbers from 1 to {LAST_POSITION:,}")
    return int(found)


def epoch_seconds(value: Any) -> int | None:
    """A moment as whole epoch seconds; without an offset it is taken as UTC.

    Numbers beyond 1e11 are milliseconds (beyond 1e14 micro-, 1e17 nanoseconds): read as seconds they would lie
    3,000 years ahead. A number that reads as a calendar date (20170131) is refused as ambiguous.
    """
    if is_missing(value):
        return None
    try:
        if isinstance(value, str):
            value = Decimal(found) if _NUMERIC.fullmatch(found := value.strip()) else datetime.fromisoformat(found)
        if isinstance(value, datetime):
            moment = value if value.tzinfo else value.replace(tzinfo=UTC)
            return math.floor(moment.timestamp())
        if isinstance(value, date):
            return epoch_seconds(datetime(value.year, value.month, value.day))
        if not isinstance(value, bool) and isinstance(value, int | float | Decimal):
            return _scaled(value)
    except CellError:
        raise
    except (ValueError, OverflowError):
        pass
    raise CellError("unreadable timestamp", f"allowed: {EPOCH_FORMS}")


def category_path(value: Any) -> str | None:
    """A path with ' > ' between its levels, from such a text or from a list of levels.

    Empty levels go, a level repeated at once ("Soup > Soup") counts once, and one that comes back further down
    ("Food > Soup > Food") is refused: nothing can lie below itself. Across items no cycle can arise, because a
    category is its whole path.
    """
    if is_missing(value):
        return None
    levels: list[str] = []
    for part in value if isinstance(value, list) else [value]:
        for level in str(text(part) or "").split(">"):
            if (name := " ".join(level.split())) and name not in levels[-1:]:
                levels.append(name)
    if len(set(levels)) < len(levels):
        raise CellError("category cycle", "allowed: each level once in a path")
    return " > ".join(levels) or None


def attribute(value: Any, depth: int = 0) -> Any:
    """An extra column's value as JSON can hold it; None for a missing one, and for a number that is not finite."""
    if depth > MAX_DEPTH:
        raise CellError("nested too deeply", f"allowed: {MAX_DEPTH} levels")
    if isinstance(value, str):
        return text(value)
    if isinstance(value, float | Decimal):
        found = float(value)
        return found if math.isfinite(found) else None
    if isinstance(value, list | tuple):
        return [attribute(entry, depth + 1) for entry in value]
    if isinstance(value, dict):
        return {str(key): attribute(entry, depth + 1) for key, entry in value.items()}
    if isinstance(value, date):  # and a datetime is one
        return value.isoformat()
    return value if value is None or isinstance(value, bool | int) else str(value)


def _scalar_text(value: Any, kind: str) -> str:
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


def _scaled(value: int | float | Decimal) -> int:
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
