"""Reads dates whose day and month are both numbers and stand before the year, such as 31/12/2023."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal, get_args

from dateutil import parser as dateutil_parser

DateOrder = Literal["day-first", "month-first"]
DATE_ORDERS: tuple[DateOrder, ...] = get_args(DateOrder)
EXAMPLES = {"day-first": "31/12/2023", "month-first": "12/31/2023"}

_CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:\s*[AaPp]\.?[Mm]\.?)?"
_NUMERIC_DATE = re.compile(
    rf"(?P<first>\d{{1,2}})(?P<mark>[-/.])(?P<second>\d{{1,2}})(?P=mark)\d{{4}}(?:[\s,T]+{_CLOCK}(?P<zone>\s*(?:UTC|GMT|Z|[+-]\d{{2}}:?\d{{2}}))?)?"
)
MONTHS = 12


def split_numeric_date(text: str) -> tuple[int, int] | None:
    """Returns the two numbers before the year of a date such as 31/12/2023 14:05; None of any other text."""
    match = _NUMERIC_DATE.fullmatch(text.strip())
    return (int(match["first"]), int(match["second"])) if match else None


def parse_numeric_date(text: str, order: DateOrder) -> datetime:
    """Returns the moment of a date that `split_numeric_date` takes apart.

    Raises:
        ValueError: It is no date in this order.
    """
    numbers = split_numeric_date(text)
    month = None if numbers is None else numbers[1 if order == "day-first" else 0]
    if month is None or not 1 <= month <= MONTHS:
        raise ValueError(text)
    moment = dateutil_parser.parse(text.replace(",", " "), dayfirst=order == "day-first")
    assert isinstance(moment, datetime)
    return moment


class DateOrderProof:
    """Proves from a whole column whether days or months come first: some day is above 12, and no month is."""

    def __init__(self) -> None:
        self._seen = False
        self._above = [False, False]  # whether the first, the second number is above 12 in any date
        self.example = ""

    def add(self, text: str) -> None:
        """Takes a cell of the column."""
        numbers = split_numeric_date(text)
        if numbers is None:
            return
        self._seen = True
        for place, number in enumerate(numbers):
            if number > MONTHS and not self._above[place]:
                self._above[place] = True
                self.example = text.strip()

    @property
    def order(self) -> DateOrder | None:
        """The order that the column proves; None where it proves none, or has dates of both."""
        if self._above[0] == self._above[1]:
            return None
        return "day-first" if self._above[0] else "month-first"
