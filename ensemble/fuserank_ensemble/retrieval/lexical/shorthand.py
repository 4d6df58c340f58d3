"""What of a catalogue's titles and names is said as people say it: without the shop's own abbreviations."""

from __future__ import annotations

import re
from collections.abc import Container

from fuserank_ensemble.catalog.text import collapse

_VOWELLESS = re.compile(r"(?<![^\W_])[B-DF-HJ-NP-TV-XZb-df-hj-np-tv-xz]{3,}(?![^\W_])")


class Spoken:
    """Shortens titles to what may be suggested.

    An abbreviation is a word of three Latin letters or more without a vowel that is no word of the encoder: "HLF" is
    one, "BBQ" is a word.

    Args:
        language: The words that are one token of the encoder.
    """

    def __init__(self, language: Container[str]) -> None:
        self._language = language
        self._known: dict[str, bool] = {}

    def __call__(self, title: str) -> str:
        """Returns a title without what is behind its commas in capitals and digits or with abbreviations.

        Returns:
            The title, or its beginning; empty where that has an abbreviation, too.
        """
        parts = title.split(",")
        has_small = title != title.upper()
        while len(parts) > 1 and self._is_shorthand(parts[-1], has_small):
            parts.pop()
        beginning = title if len(parts) == len(title.split(",")) else collapse(",".join(parts)).strip()
        return "" if self._abbreviates(beginning) else beginning

    def _is_shorthand(self, part: str, has_small: bool) -> bool:
        """Whether a part of a title with small letters stands in capitals and digits, or any has an abbreviation."""
        in_capitals = has_small and part == part.upper() and part != part.lower() and part.isascii()
        return (in_capitals and any(map(str.isdigit, part))) or self._abbreviates(part)

    def _abbreviates(self, text: str) -> bool:
        return any(not self._is_word(match.group().lower()) for match in _VOWELLESS.finditer(text))

    def _is_word(self, word: str) -> bool:
        known = self._known.get(word)
        if known is None:
            known = self._known[word] = word in self._language
        return known
