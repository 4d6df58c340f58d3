"""Sizes and counts in texts, in one spelling: "half gallon", "1/2 GAL" and "64 fl oz" are one amount.

Items and queries go through the same functions. The units come with the bundle; `fuserank_export.index.units` makes
their table.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import msgspec

from fuserank_ensemble.understanding.phrases import find_phrases


class Unit(NamedTuple):
    """A unit, whichever way it is written.

    Attributes:
        name: Its name in the singular.
        measures: The dimensions that it may be of, each with what one unit is in the dimension's base unit.
    """

    name: str
    measures: tuple[tuple[str, float], ...]

    @property
    def is_count(self) -> bool:
        """Whether it counts pieces."""
        return any(dimension == "count" for dimension, _ in self.measures)


Units = Mapping[str, Unit]  # by every way to write one, in lower case
NUMBER_WORDS: Mapping[str, float] = {
    "half": 0.5, "quarter": 0.25, "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6,
    "seven": 7, "eight": 8, "nine": 9, "ten": 10, "twelve": 12,
    "半": 0.5, "一": 1, "二": 2, "两": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9, "十": 10,
}  # fmt: skip
_STEP = math.log(1.02)  # amounts within two per cent are one: 750 ml and 25.4 fl oz
_MARKS = {'"': "inch", "”": "inch", "''": "inch", "'": "foot", "’": "foot"}
_ALONE = ("gallon", "quart", "pint", "liter", "dozen")  # one of it without a number: "gallon milk", no "pound cake"
_LEAST_LETTERS = 4  # of a unit without a number: "pound of butter", but not "l"
_LEAST, _MOST = 1e-6, 1e12  # numbers beyond them are no sizes
_TOKEN = re.compile(
    r"\d+[ -]\d+[/⁄]\d+|\d+[/⁄]\d+|\d+(?:,\d{3})+(?:\.\d+)?|\d*\.\d+|\d+"
    # Chinese does not part a unit from what is measured: "500ml矿泉水", "2斤装大米".
    r"|[\u4e00-\u9fff]|[^\W\d_\u4e00-\u9fff]+"
    # Marks of inches and feet stand right behind the number: `12" x 14"`, `5'10"`, but not `90's`.
    r"|(?<=\d)(?:''|[\"”]|['’](?=[\W\d_]|x\s?\d|$))"
)
_HAN = re.compile(r"[\u4e00-\u9fff]")
_PACKED = "装"  # behind an amount: packed so
_LONGER_WORDS = ("个月", "个小", "个人", "个性", "包邮", "升级", "支持")  # that begin like a unit
_LONGEST_QUOTED = 100  # characters within single quotation marks
_OPENED = re.compile(r"(?:^|[\s(])['‘](?=\w)[^'’]*$")  # a single quotation mark that is not closed yet
_NUMERIC = re.compile(r"[\d.]")


@dataclass(frozen=True)
class Amount:
    """A size or a count in a text.

    Attributes:
        start: Where it begins in the text.
        end: Where it ends.
        keys: Its spelling in the index, one a dimension that it may be of: an ounce may weigh or fill.
        text: How an encoder reads it, whichever way it was written: "1/2 gallon".
    """

    start: int
    end: int
    keys: tuple[str, ...]
    text: str

    @property
    def near_keys(self) -> list[str]:
        """The keys of all amounts that are as good as equal."""
        split = [key.rpartition(":") for key in self.keys]
        return [f"{dimension}:{int(step) + d}" for dimension, _, step in split for d in (-1, 0, 1)]


class Quantities:
    """Finds amounts in texts.

    Args:
        units: See `Units`; names in lower case, of two words with one space.
    """

    def __init__(self, units: Units) -> None:
        self._units = units

    @classmethod
    def open(cls, path: Path) -> Quantities:
        """Reads a bundle's table of units."""
        return cls(msgspec.json.decode(path.read_bytes(), type=dict[str, Unit]))

    def find(self, text: str) -> list[Amount]:
        """Returns the amounts in a text, in its order."""
        quoted = {phrase.end for phrase in find_phrases(text)}
        tokens = [t for t in _TOKEN.finditer(text) if t.start() not in quoted and not _closes_single_quotes(t)]
        found, position = [], 0
        while position < len(tokens):
            amount, used = self._amount_at(tokens, position)
            if amount is not None:
                found.append(amount)
            position += max(used, 1)
        return found

    def _amount_at(self, tokens: Sequence[re.Match[str]], position: int) -> tuple[Amount | None, int]:
        """Returns the amount that begins at a token, and how many tokens it takes; None and 0 where none does."""
        first = tokens[position].group().lower()
        number = _number(first)
        if number is not None and _HAN.match(first) and _in_numeral(tokens, position):
            return None, 1  # of "二十四" no part is the number
        taken = 0 if number is None else 1
        if first in ("half", "quarter") and _text(tokens, position + 1) in ("a", "an"):
            taken = 2
        for length in (2, 1):
            words = [_text(tokens, position + taken + i) for i in range(length)]
            between = "" if _HAN.match(words[-1]) else " "
            unit = self._units.get(between.join(_MARKS.get(word, word) for word in words))
            following = _text(tokens, position + taken + length)
            if unit is None or words[-1] + following in _LONGER_WORDS:
                continue
            is_packed = following == _PACKED
            if _HAN.match(first) and unit.is_count and not is_packed:
                continue  # how many are wanted, not how many a pack has
            if number is None and (len(words[0]) < _LEAST_LETTERS or words[0] in _MARKS):
                continue
            if number is None and not _is_one(unit, following):
                continue
            value = 1.0 if number is None else number
            if not _LEAST <= value <= _MOST:
                return None, 0
            keys = tuple(f"{name}:{round(math.log(value * one) / _STEP)}" for name, one in unit.measures)
            end = position + taken + length + is_packed
            text = f"{_spell_number(value)} {unit.name}"
            return Amount(tokens[position].start(), tokens[end - 1].end(), keys, text), end - position
        return None, 0


def _closes_single_quotes(token: re.Match[str]) -> bool:
    """Whether a token is a single quotation mark that closes what another one opened, not one of feet."""
    before = token.string[max(0, token.start() - _LONGEST_QUOTED) : token.start()]
    return token.group() in ("'", "’") and _OPENED.search(before) is not None


def _text(tokens: Sequence[re.Match[str]], position: int) -> str:
    return tokens[position].group().lower() if position < len(tokens) else ""


def _is_one(unit: Unit, following: str) -> bool:
    """Whether a unit without a number means one of it, and is not part of a name such as "foot cream"."""
    return unit.name in _ALONE or (following == "of" and not unit.is_count)


def _in_numeral(tokens: Sequence[re.Match[str]], position: int) -> bool:
    """Whether a Chinese numeral stands beside another one."""
    around = (_text(tokens, position - 1) if position else "", _text(tokens, position + 1))
    return any(_HAN.match(text) and text in NUMBER_WORDS for text in around)


def _number(token: str) -> float | None:
    """The value of a number in digits or words: an integer, a decimal, a fraction, or a mixed number."""
    if not _NUMERIC.match(token):
        return NUMBER_WORDS.get(token)
    *whole, last = re.split("[ -]", token.replace("⁄", "/"))
    if "/" in last:
        above, below = (float(part) for part in last.split("/"))
        return float(whole[0] if whole else 0) + above / below if below else None
    return float(token.replace(",", ""))


def _spell_number(value: float) -> str:
    """A number as labels have it: halves, thirds and quarters as fractions, others in digits."""
    fraction = Fraction(value).limit_denominator(4)
    if fraction.denominator > 1 and abs(float(fraction) - value) < 1e-6:
        whole, rest = divmod(fraction, 1)
        return f"{whole} {rest}" if whole else str(rest)
    return f"{value:g}"
