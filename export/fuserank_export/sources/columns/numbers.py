"""Reads numbers: plain ones, and where a decimal mark is declared also thousands and currencies."""

from __future__ import annotations

import math
import re
import unicodedata
from decimal import Decimal
from typing import Any, Literal, get_args

from fuserank_export.sources.columns.cells import CellError, is_missing

DecimalMark = Literal["comma", "point"]
DECIMAL_MARKS: tuple[DecimalMark, ...] = get_args(DecimalMark)

_SPACES = " \u00a0\u2009\u202f"
_GROUPED = {
    mark: re.compile(
        rf"[+-]?(?:\d{{1,3}}(?P<group>[{groups}'’{_SPACES}])\d{{3}}(?:(?P=group)\d{{3}})*{more}|\d+)"
        rf"(?:{re.escape(decimal)}\d+)?"
    )
    # India groups lakhs: 1,23,456.
    for mark, decimal, groups, more in (("comma", ",", ".", ""), ("point", ".", ",", r"|\d{1,2}(?:,\d{2})+,\d{3}"))
}
_WITH_CURRENCY = re.compile(r"(?P<before>[^\d+\-]*)(?P<number>[+-]?\d(?:.*\d)?)(?P<after>\D*)")
_NO_CENTS = re.compile(r"(?<=\d)[.,][-–—]{1,2}(?=\D*$)")
# Currencies whose sign is letters; others are a sign of Unicode's category Sc, or ISO 4217's three capitals.
_CURRENCY_WORDS = {
    *("kr", "zł", "kč", "ft", "lei", "fr", "sfr", "rs", "лв", "руб", "р", "tl", "rm", "rmb"),
    *("r$", "us$", "hk$", "nt$", "a$", "c$", "s$"),
    *("元", "块", "人民币", "港币", "円", "원"),
}
# Other ways to write a currency.
_CURRENCY_NAMES = {
    **dict.fromkeys(("¥", "￥", "元", "块", "人民币", "rmb", "cny"), "¥"),
    **dict.fromkeys(("$", "us$", "usd"), "$"),
    **dict.fromkeys(("€", "eur"), "€"),
    **dict.fromkeys(("£", "gbp"), "£"),
}
_EXAMPLES = {"comma": "1.234,50 €", "point": "$1,234.50"}


def parse_number(value: Any, mark: DecimalMark | None = None) -> float:
    """Returns a finite number; NaN for an empty cell.

    Args:
        value: The cell.
        mark: The decimal mark of numbers as people write them (1.234,50 €); None reads plain numbers alone.
    """
    if is_missing(value):
        return math.nan
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise CellError("not a number")
    if isinstance(value, str) and mark is not None:
        return _parse_written(value, mark)
    if isinstance(value, str) and "_" in value:  # Python reads 1_000, no shop writes it
        raise CellError("not a number")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise CellError("not a number", _suggest_mark(str(value))) from None
    if not math.isfinite(number):
        raise CellError("not finite")
    return number


def parse_price(value: Any, mark: DecimalMark | None = None) -> float:
    """Returns a finite number of 0 or more; NaN for an empty cell. See `parse_number`."""
    price = parse_number(value, mark)
    if price < 0:
        raise CellError("negative", "allowed: 0 and above")
    return abs(price)  # -0.0 would be shown as a negative price


def is_written_number(value: str, mark: DecimalMark) -> bool:
    """Returns whether a text is a number with this decimal mark."""
    return _GROUPED[mark].fullmatch(value.strip()) is not None


class DecimalMarkProof:
    """Proves from a whole column which decimal mark its numbers are written with.

    All of them can be read with that mark, one of them with no other, and they name one currency at most: an amount in
    euros is none in dollars.
    """

    def __init__(self) -> None:
        self._fits: dict[DecimalMark, bool] = dict.fromkeys(DECIMAL_MARKS, True)
        self._proofs: dict[DecimalMark, str] = {}
        self._currencies: set[str] = set()
        self._whole = ""  # the first cell
        self._is_whole = True

    def add(self, text: str) -> None:
        """Takes a cell of the column that is not missing; one without a digit, such as "on request", proves nothing."""
        if not any(character.isdigit() for character in text):
            return
        parts = _WITH_CURRENCY.fullmatch(_plain_signs(text))
        if parts is None or not (_is_currency(parts["before"]) and _is_currency(parts["after"])):
            self._fits = dict.fromkeys(DECIMAL_MARKS, False)
            return
        beside = (parts["before"].strip(), parts["after"].strip())
        self._currencies.update(_CURRENCY_NAMES.get(sign.casefold(), sign) for sign in beside if sign)
        self._whole = self._whole or text.strip()
        self._is_whole &= parts["number"].isdecimal()
        read = {mark: _GROUPED[mark].fullmatch(parts["number"]) is not None for mark in DECIMAL_MARKS}
        for mark, reads in read.items():
            self._fits[mark] &= reads
            if reads and sum(read.values()) == 1:
                self._proofs.setdefault(mark, text.strip())

    @property
    def mark(self) -> DecimalMark | None:
        """The mark that the column proves; None where it proves none."""
        proven = [mark for mark in DECIMAL_MARKS if self._fits[mark] and mark in self._proofs]
        if len(self._currencies) > 1:
            return None
        if self.is_whole:
            return "point"  # which reads whole numbers as any other does
        return proven[0] if len(proven) == 1 else None

    @property
    def is_whole(self) -> bool:
        """Whether all of its numbers are whole, without thousands marked, and some stand beside a currency."""
        return self._is_whole and all(self._fits.values()) and bool(self._currencies)

    @property
    def example(self) -> str:
        """A cell that shows why: one that can be read with no other mark, or any where all are whole."""
        return self._whole if self.is_whole else self._proofs[self.mark] if self.mark else ""

    @property
    def has_currency(self) -> bool:
        """Whether a number stands beside a currency."""
        return bool(self._currencies)


def _plain_signs(value: str) -> str:
    """Returns a written number with a hyphen for a minus, and without a dash for no cents, as in 12,- €."""
    return _NO_CENTS.sub("", value.strip().replace("\u2212", "-"))


def _parse_written(value: str, mark: DecimalMark) -> float:
    text = _plain_signs(value)
    parts = _WITH_CURRENCY.fullmatch(text)
    number = parts["number"] if parts else ""
    known = parts is not None and _is_currency(parts["before"]) and _is_currency(parts["after"])
    if not known or not _GROUPED[mark].fullmatch(number):
        other = "point" if mark == "comma" else "comma"
        raise CellError(
            "not a number",
            f"allowed by --decimal {mark}: {_EXAMPLES[mark]}; --decimal COLUMN={other} reads {_EXAMPLES[other]}",
        )
    group, decimal = (".", ",") if mark == "comma" else (",", ".")
    digits = re.sub(rf"[{_SPACES}'’{group}]", "", number).replace(decimal, ".")
    return float(digits)


def _suggest_mark(value: str) -> str:
    if value.lstrip()[:1] in ("{", "["):
        return (
            'allowed: a number; a config file says which part of an object is one, as price = "price.amount" under '
            "[catalog.columns] does; `fuserank export init` writes one"
        )
    marks = "; ".join(f"--decimal {mark} reads {example}" for mark, example in _EXAMPLES.items())
    plain = "allowed: a plain number such as 1234.5"
    return f"{plain}; {marks}" if any(character.isdigit() for character in value) else plain


def _is_currency(text: str) -> bool:
    """Returns whether what stands beside a number is a currency, or nothing; kg and % are none."""
    words = text.replace(".", " ").split()
    return len(words) <= 2 and all(
        word.casefold() in _CURRENCY_WORDS
        or re.fullmatch("[A-Z]{3}", word) is not None
        or all(unicodedata.category(character) == "Sc" for character in word)
        for word in words
    )
