"""Spells out package sizes: "1/2 GAL" is "1/2 gallon", "12 PK/12 OZ" is "12 pack, 12 ounce".

A sentence encoder was trained on many sentences with "gallon" and few with "GAL".
"""

from __future__ import annotations

import re

UNITS = {
    "OZ": "ounce",
    "OZS": "ounce",
    "Z": "ounce",
    "FL OZ": "fluid ounce",
    "LB": "pound",
    "LBS": "pound",
    "G": "gram",
    "GM": "gram",
    "GA": "gallon",
    "GAL": "gallon",
    "QT": "quart",
    "PT": "pint",
    "CUP": "cup",
    "L": "liter",
    "LT": "liter",
    "LTR": "liter",
    "ML": "milliliter",
    "CT": "count",
    "PK": "pack",
    "P": "pack",
    "PC": "piece",
    "DZ": "dozen",
    "DOZ": "dozen",
    "CTN": "carton",
    "KIT": "kit",
    "STEM": "stem",
    "STEMS": "stem",
    "ROLL": "roll",
    "SHEETS": "sheet",
    "LD": "load",
    "LDS": "load",
    "LOAD": "load",
    "LOADS": "load",
    "USE": "use",
    "USES": "use",
    "IN": "inch",
    "FT": "foot",
    "CM": "centimeter",
    "SQ FT": "square foot",
}
CONTAINERS = {"BTL": "bottle", "CAN": "can", "BAG": "bag", "BOX": "box", "JAR": "jar", "TUBE": "tube"}
# Other "fractions" are counts: 4/187 ML is four bottles of 187 milliliters.
FRACTIONS = {"1/2", "1/3", "2/3", "1/4", "3/4", "1/8", "3/8", "5/8", "7/8"}
_DECIMALS = {"0.5": "1/2", "0.25": "1/4", "0.75": "3/4"}
# Alone, these sizes are a measure by themselves; a lone "L" or "P" is a clothing size or a code.
_LONE = {"GAL", "QT", "PT", "LB", "CTN", "DZ", "KIT", "PK"}

# In this order: a mixed number (10 3/4), a fraction, a range of counts (48-54 CT), a decimal, an integer.
_NUMBER = r"\d+ \d/\d|\d+/\d+|\d+-\d+(?=\s*CT\b)|\d*\.\d+|\d+"
_UNIT = "|".join(sorted((re.escape(unit) for unit in UNITS), key=len, reverse=True))
_CONTAINER = "|".join(CONTAINERS)
_PIECE = re.compile(rf"(?P<number>{_NUMBER})\s*-?\s*(?P<unit>{_UNIT})\b\.?(?:\s+(?P<container>{_CONTAINER})\b)?")
_SEPARATOR = re.compile(r"[\s/-]*")
_COUNT_OF = re.compile(r"(?P<count>\d+)\s*[-/]\s*(?=\d*\.?\d+\s*[A-Z])(?!\d+\s*CT\b)")
_FRACTION = re.compile(rf"(?:{'|'.join(FRACTIONS)})(?![\d.])")


def spell_out(size: str) -> str:
    """Returns a package size in words.

    Args:
        size: As the data set has it, such as "1/2 GAL", "12 PK/12 OZ", "24-12 OZ", "20 OZ BTL".

    Returns:
        The size in words, units in the singular; a size of any other form is returned as it is.
    """
    normalised = " ".join(size.upper().split())
    if normalised in _LONE:
        return UNITS[normalised]
    if normalised == "HALF GAL":
        return "1/2 gallon"
    pieces: list[str] = []
    position = 0
    pack = _COUNT_OF.match(normalised)
    if pack and not _FRACTION.match(normalised):
        pieces.append(f"{pack['count']} pack")
        position = pack.end()
    while position < len(normalised):
        match = _PIECE.match(normalised, position)
        if match is None or ("/" in match["number"] and match["number"].split()[-1] not in FRACTIONS):
            return size.strip()
        words = [_format_number(match["number"]), UNITS[match["unit"]]]
        if match["container"]:
            words.append(CONTAINERS[match["container"]])
        pieces.append(" ".join(words))
        separator = _SEPARATOR.match(normalised, match.end())
        position = separator.end() if separator else match.end()
    return ", ".join(pieces)


def _format_number(number: str) -> str:
    if "." not in number:
        return number
    text = f"{float(number):g}"
    return _DECIMALS.get(text, text)
