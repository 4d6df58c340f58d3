"""Lays an item or a query out as the one line of text that the encoder reads; export and serving share it."""

from __future__ import annotations

import math
import re
import string
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_FORMATTER = string.Formatter()
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")  # Unicode's category Cc, which no version adds to
# NFKC writes what follows in plain characters beside their neighbours: a trade mark would become two letters of the
# name, and a half a digit of the number before it.
_TRADE_MARKS = re.compile("[™℠®©℗]|ᵀᴹ|ˢᴹ")
_PRIMES = str.maketrans({"′": "'", "´": "'", "″": '"', "‴": "\"'"})
_FRACTIONS = "¼-¾⅐-⅟↉"
_RAISED_DIGITS, _RAISED_LETTERS = "²³¹⁰⁴-⁻", "ⁱⁿʰ-ʸˠ-ˤᴬ-ᵡᶛ-ᶿ"
_MARKED = re.compile(f"[™℠®©℗′´″‴{_FRACTIONS}{_RAISED_DIGITS}{_RAISED_LETTERS}]")  # what the rest is for
_GLUED = re.compile(
    rf"(?<=\d)(?=[{_FRACTIONS}])|(?<=[{_FRACTIONS}])(?=\d)"
    rf"|(?<=[0-9])(?=[{_RAISED_DIGITS}])|(?<=[^\W\d_{_RAISED_LETTERS}])(?=[{_RAISED_LETTERS}])"
)


class TemplateError(ValueError):
    """A text template that cannot be used; the message names the template and what is allowed."""


def normalise(text: str) -> str:
    """NFKC-normalises, turns control characters and trade marks into spaces and collapses white space.

    NFKC (Unicode Standard Annex 15) makes full-width letters and digits, common in Chinese catalogues, equal to
    their ordinary forms. Fractions and raised characters stay apart from what they follow: `3½` becomes `3 1/2`.
    """
    if not text.isascii():
        if _MARKED.search(text):
            text = _GLUED.sub(" ", _TRADE_MARKS.sub(" ", text).translate(_PRIMES))
        text = unicodedata.normalize("NFKC", text).replace("⁄", "/")
    return collapse(text)


def collapse(text: str) -> str:
    """Turns control characters into spaces and collapses white space; all else stays as it is written."""
    return " ".join(_CONTROL.sub(" ", text).split())


@lru_cache
def template_fields(template: str) -> frozenset[str]:
    """The catalogue fields that a template names.

    Raises:
        TemplateError: Where the template is not a valid format string.
    """
    try:
        fields = frozenset(name for _, name, _, _ in _FORMATTER.parse(template) if name is not None)
        _FORMATTER.vformat(template, (), dict.fromkeys(fields, "text"))
    except (ValueError, IndexError, KeyError, AttributeError) as error:
        allowed = "'{field}', '{field:.200}' and segments between '|'"
        raise TemplateError(f"text template {template!r}: {error}; allowed: {allowed}") from None
    return fields


def render(template: str, record: Mapping[str, Any]) -> str:
    """Lays out one item's text.

    The template's segments are separated by `|`. Fields stand in braces and may be cut: `{description:.200}`. A
    segment that names a field the item lacks is left out; the rest are joined by `. `. Lists join by `, `.

    Example:
        >>> render("{title} ({year}) | {genres} | {overview:.5}", {"title": "Heat", "year": 1995, "genres": ["Crime"]})
        'Heat (1995). Crime'
    """
    segments = []
    for segment in template.split("|"):
        values = {name: _format_value(record.get(name)) for name in template_fields(segment)}
        if all(values.values()):
            segments.append(normalise(_FORMATTER.vformat(segment, (), values)))
    return ". ".join(s for s in segments if s)


def query_text(template: str, query: str) -> str:
    """The text that the encoder reads for a query; an empty query stays empty."""
    text = normalise(query)
    return template.replace("{query}", text) if text else ""


def _format_value(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, (list, tuple)):
        return ", ".join(_format_value(v) for v in value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).replace(" > ", ", ")
