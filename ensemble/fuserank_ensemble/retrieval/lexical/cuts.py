"""Cuts long phrases for display, and says so by an ellipsis where something is left out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fuserank_ensemble.retrieval.lexical.words import split_characters

LONGEST_SHOWN = 100  # characters
_LONGEST_BEGINNING = 40  # characters of the beginning that stay where the end is shown too
_ELLIPSIS, _GAP = "…", " … "
_TOKEN = re.compile(r"[\u3400-\u9fff]|[^\s\u3400-\u9fff]+")


def cut_phrase(text: str, typed: Sequence[str]) -> str:
    """Returns a phrase with at most `LONGEST_SHOWN` characters, cut between words.

    Args:
        text: The phrase as it is written.
        typed: Words that were typed, as `split_characters` has them; the last may be a beginning. Where they stand
            behind the cut, the part that holds them is shown with the phrase's beginning.
    """
    if len(text) <= LONGEST_SHOWN:
        return text
    beginning = _beginning(text, LONGEST_SHOWN - len(_ELLIPSIS))
    match = _last_match(text, typed)
    if match is None or match.start() < len(beginning):
        return beginning + _ELLIPSIS
    return cut_middle(text, match.start())


def cut_middle(text: str, needed: int | None = None) -> str:
    """Returns a long phrase's beginning and what stands at a position of it; by default its end."""
    room = LONGEST_SHOWN - _LONGEST_BEGINNING - len(_GAP) - len(_ELLIPSIS)
    starts = [token.start() for token in _TOKEN.finditer(text)]
    least = len(text) - room
    start = needed if needed is not None and needed < least else next((s for s in starts if s >= least), least)
    rest = text[start:]
    end = rest if len(rest) <= room else _beginning(rest, room) + _ELLIPSIS
    return _beginning(text, _LONGEST_BEGINNING) + _GAP + end


def _beginning(text: str, longest: int) -> str:
    """The words of a text that fit; the characters where not even the first does."""
    ends = [token.end() for token in _TOKEN.finditer(text[: longest + 1]) if token.end() <= longest]
    return text[: ends[-1] if ends else longest].rstrip(" ,;:-–")


def _last_match(text: str, typed: Sequence[str]) -> re.Match[str] | None:
    """Where the last of the typed words stands in a text, each at its first place; None where none does."""
    waiting, last = list(typed), None
    for token in _TOKEN.finditer(text):
        if not waiting:
            break
        for word in split_characters(token.group()):
            met = [wanted for wanted in waiting if word == wanted or (wanted == typed[-1] and word.startswith(wanted))]
            if met:
                waiting.remove(met[0])
                last = token
    return last
