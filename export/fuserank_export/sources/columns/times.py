"""Reads moments as databases, spreadsheets and trackers write them."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

from dateutil import parser as dateutil_parser

from fuserank_export.sources.columns.cells import CellError, is_missing
from fuserank_export.sources.columns.dates import (
    DATE_ORDERS,
    EXAMPLES,
    DateOrder,
    parse_numeric_date,
    split_numeric_date,
)

HALF_DAY = 12  # hours
EPOCH_FORMS = "ISO 8601 (2017-01-01T11:53:26Z) or epoch seconds"

_NUMERIC = re.compile(r"[+-]?\d{1,30}(\.\d*)?([eE][+-]?\d{1,3})?", re.ASCII)
_UTC_SUFFIX = re.compile(r"\s*(?:UTC|GMT|Z)$", re.IGNORECASE)
_OFFSET = re.compile(r"\s*([+-]\d{2}(?::?\d{2})?)$")
_YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})(?:(?:\s+|T)(\d{1,2})(:.*?)(?:\s*([AaPp])\.?[Mm]\.?)?)?")
_ZONE_NAME = re.compile(r"(?<=[\dZz])\[[A-Za-z]+(?:[/_+-]\w+)*\]$")  # Java writes it behind the offset
_SHORT_YEAR = re.compile(r"\d{1,2}([-/.])\d{1,2}\1\d{2}(?:[ T].*)?")
_SPREADSHEET_DAYS = range(18_000, 80_000)  # 1949 to 2119, counted from 1899-12-30
_MONTH_NAME = re.compile(r"\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b", re.IGNORECASE)
# MySQL writes 0000-00-00 for no date and 2021-03-00 for an unknown day; .NET and Go begin with the year 1.
# PHP writes the day before the year 0.
_ZERO_DATE = re.compile(r"(?:0000-\d\d-\d\d|\d{4}-(?:00-\d\d|\d\d-00)|0001-01-01|-0001-11-30|00000000)(?:[T ].*)?")


def is_zero_date(value: Any) -> bool:
    """Returns whether a cell is a database's way to write that there is no date, such as 0000-00-00 00:00:00."""
    if isinstance(value, str):
        return value[:1] in "-0123456789" and _ZERO_DATE.fullmatch(value.strip()) is not None
    return isinstance(value, date) and value.year == 1


def parse_epoch_seconds(value: Any, order: DateOrder | None = None) -> int | None:
    """Returns a moment as whole epoch seconds; None for an empty cell. Without an offset it is taken as UTC.

    Texts are ISO 8601, also with a space or ` UTC` before or for the offset, with slashes, or with the month's name.
    Numbers beyond 1e11 are milliseconds (beyond 1e14 micro-, 1e17 nanoseconds): read as seconds they would lie
    3,000 years ahead. A number that reads as a calendar date (20170131) is refused as ambiguous.

    Args:
        value: The cell.
        order: Whether the day or the month comes first in 3/4/2021; None refuses such dates.
    """
    if is_missing(value):
        return None
    try:
        if isinstance(value, str):
            value = _parse_text(value.strip(), order)
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


def _parse_text(text: str, order: DateOrder | None) -> Decimal | datetime:
    if _NUMERIC.fullmatch(text):
        return Decimal(text)
    text = _ZONE_NAME.sub("", text)
    if _SHORT_YEAR.fullmatch(text):
        raise CellError("unreadable timestamp", f"a year of two digits; allowed: {EPOCH_FORMS}: write the whole year")
    if split_numeric_date(text) is not None:
        if order is None:
            options = "; ".join(f"--dates {known} reads {EXAMPLES[known]}" for known in DATE_ORDERS)
            raise CellError(
                "ambiguous timestamp, of which no date of the column says whether day or month comes first",
                f"allowed: {EPOCH_FORMS}; {options}",
            )
        return parse_numeric_date(text, order)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    named_utc = _UTC_SUFFIX.search(text)
    rest = text[: named_utc.start()] if named_utc else text
    offset = _OFFSET.search(rest) if ":" in rest else None  # without a time, -02 is a day
    zone = offset[1] if offset else "+00:00" if named_utc else ""
    rest = rest[: offset.start()] if offset else rest
    if year_first := _YEAR_FIRST.fullmatch(rest.strip()):
        year, _, month, day, hour, minutes, half = year_first.groups()
        if half:
            if not 1 <= int(hour) <= HALF_DAY:
                raise ValueError(text)
            hour = int(hour) % HALF_DAY + HALF_DAY * (half in "pP")
        clock = f"T{int(hour):02}{minutes}{zone}" if hour is not None else ""
        return datetime.fromisoformat(f"{year}-{int(month):02}-{int(day):02}{clock}")
    if _MONTH_NAME.search(text) and re.search(r"\b\d{4}\b", text):
        return _parse_named_month(text)
    raise ValueError(text)


def _parse_named_month(text: str) -> datetime:
    # JavaScript writes GMT+0200 (CEST); dateutil would take that for two hours behind.
    text = re.sub(r"\b(?:GMT|UTC)(?=[+-]\d)", "", re.sub(r"\s*\([^)]*\)$", "", text))
    # What the text leaves out is taken from the default: two defaults differ where it is no whole date.
    first, second = (
        dateutil_parser.parse(text, default=default, tzinfos=_refuse_zone)
        for default in (datetime(2001, 1, 1), datetime(2002, 2, 2))
    )
    assert isinstance(first, datetime)
    if first != second:
        raise ValueError(text)
    return first


def _refuse_zone(name: str | None, offset: int | None) -> tzinfo | int | None:
    """Returns UTC or an offset in seconds; other zones' short names mean several zones (CST: China, Chicago)."""
    if offset is not None:
        return offset
    if name is None:
        return None
    if name in {"UTC", "GMT", "Z"}:
        return UTC
    raise ValueError(f"the zone {name}")


def _to_seconds(value: int | float | Decimal) -> int:
    whole = math.floor(value)
    if 19_000_101 <= whole <= 21_001_231 and _is_calendar_date(whole):
        raise CellError("ambiguous timestamp", "reads as YYYYMMDD; write YYYY-MM-DD, or epoch seconds after 1970")
    if whole in _SPREADSHEET_DAYS:
        day = date(1899, 12, 30) + timedelta(days=whole)
        raise CellError("ambiguous timestamp", f"reads as a spreadsheet's {day}; write dates as YYYY-MM-DD")
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
