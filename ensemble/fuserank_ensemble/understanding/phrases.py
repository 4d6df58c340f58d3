"""Phrases in quotation marks, told from the marks of inches."""

from __future__ import annotations

import re
from itertools import islice
from typing import NamedTuple

_MARKS = re.compile('["“”„«»「」『』]')
_OPENING, _CLOSING = "「『", "」』"
_AFTER_NUMBER = re.compile(r"\d\s?$")
_MOST_MARKS = 64  # of a text that are looked at
_SCRIPTS_WITH_SPACES = "\u2e80"  # what lies before it, such as Latin, parts words by spaces


class Phrase(NamedTuple):
    """What stands between two quotation marks: where it begins in the text, and where it ends."""

    start: int
    end: int


def find_phrases(text: str) -> list[Phrase]:
    """Returns the phrases of a text, in its order.

    A mark opens a phrase before a word and behind a space, and closes one the other way round. One behind a number is
    an inch, unless it closes a phrase that no later mark does: `12" blade 1" arbor` has none.
    """
    marks = [match.start() for match in islice(_MARKS.finditer(text), _MOST_MARKS)]
    phrases: list[Phrase] = []
    opened: int | None = None
    for number, at in enumerate(marks):
        if opened is not None and _closes(text, at):
            if text[at - 1].isdigit() and _closes_later(text, marks[number + 1 :]):
                continue
            inner = Phrase(opened + 1, at)
            two_inches = text[at - 1].isdigit() and _AFTER_NUMBER.search(text[:opened])
            if not two_inches and any(map(str.isalnum, text[inner.start : inner.end])):
                phrases.append(inner)
            opened = None
        elif _opens(text, at):
            opened = at
    return phrases


def _closes_later(text: str, marks: list[int]) -> bool:
    """Whether one of the later marks closes what is open, and is no inch itself, before another one opens."""
    for at in marks:
        if _closes(text, at) and not text[at - 1].isdigit():
            return True
        if _opens(text, at):
            return False
    return False


def _opens(text: str, at: int) -> bool:
    before, behind = text[at - 1 : at], text[at + 1 : at + 2]
    return text[at] not in _CLOSING and not _continues(before) and bool(behind) and not behind.isspace()


def _closes(text: str, at: int) -> bool:
    before, behind = text[at - 1 : at], text[at + 1 : at + 2]
    return text[at] not in _OPENING and bool(before) and not before.isspace() and not _continues(behind)


def _continues(character: str) -> bool:
    """Whether a character is of a word that a mark beside it would be part of."""
    return character.isalnum() and character < _SCRIPTS_WITH_SPACES
