"""Corrects words of a query that nobody knows: neither the shop, nor its synonyms, nor the encoder."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from itertools import islice

from rapidfuzz.distance import OSA
from rapidfuzz.process import extract

from fuserank_ensemble.understanding.fillers import fillers

_WORD = re.compile(r"[^\W\d_]+")
_WITH_DIGITS = re.compile(r"[^\s\d]*\d\S*")
LEAST_LETTERS, MOST_LETTERS = 3, 24  # of a word that is corrected: looking for words like a longer one takes long
MOST_WORDS = 32  # of a query that are looked at, as many as are searched for
TWO_ERRORS = 8  # letters from which a word may have two errors
LEAST_PART = 3  # letters of each of two words that were written as one
_MOST = 5  # candidates of each source


@dataclass(frozen=True)
class Spelling:
    """Finds what a misspelt word may stand for.

    A word that the encoder has as one token is a word, though no item has it: "coke" is not a misspelt "cone".

    Attributes:
        has_word: Whether an item has a word, given in lower case.
        language: The words that are one token of the encoder.
        similar: Words of the items within a number of errors, the commonest first.
        synonyms: Words of the shop's synonyms, in lower case, sorted.
        is_code: Whether a text with a digit is an item's code or begins one, whose letters are no word.
    """

    has_word: Callable[[str], bool]
    language: Container[str]
    similar: Callable[[str, int], Sequence[str]]
    synonyms: Sequence[str] = ()
    is_code: Callable[[str], bool] = lambda text: False

    def correct(self, text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
        """Returns a normalised text with its misspelt words corrected, and each of them with its correction.

        Only the first `MOST_WORDS` words are looked at: nobody types more, and no query may take long.
        """
        corrected: dict[str, str] = {}

        def replace(match: re.Match[str]) -> str:
            word = match.group()
            correction = self._correct(word.lower())
            if correction is None or self._is_of_code(text, match.start()):
                return word
            corrected[word] = correction
            return correction

        return _WORD.sub(replace, text, count=MOST_WORDS), tuple(corrected.items())

    def _is_of_code(self, text: str, at: int) -> bool:
        """Whether a word is part of a code: of the whole text, or of what stands around it without a space."""
        tokens = list(islice(_WITH_DIGITS.finditer(text), MOST_WORDS))
        around = [token.group() for token in tokens if token.start() <= at < token.end()]
        return bool(tokens) and any(map(self.is_code, (text, *around)))

    def _correct(self, word: str) -> str | None:
        """What a misspelt word stands for: two words or the likeliest one; None where it is none or like none."""
        if not LEAST_LETTERS <= len(word) <= MOST_LETTERS or not word.isascii() or word in fillers():
            return None
        if self.has_word(word) or word in self.language or word in self.synonyms:
            return None
        parts = [(word[:at], word[at:]) for at in range(LEAST_PART, len(word) - LEAST_PART + 1)]
        both = next((" ".join(part) for part in parts if all(map(self.has_word, part))), None)
        if both is not None:
            return both
        errors = 2 if len(word) >= TWO_ERRORS else 1
        known = [str(near) for near, _, _ in extract(word, self.synonyms, scorer=OSA.distance, score_cutoff=errors)]
        known += self.similar(word, 1)[:_MOST] or self.similar(word, errors)[:_MOST]
        # A short word is rather a longer one that lacks a letter: with one exchanged it could be anything.
        likely = [near for near in known if len(word) > LEAST_LETTERS or len(near) > len(word)]
        # Two errors, one of them in the first letter, make another word.
        likely = [near for near in likely if near[:1] == word[:1] or OSA.distance(word, near) < 2]
        # The first letter is rarely wrong, and abbreviations of a catalogue are no words that people mean to type. Of
        # equals the synonyms' words come first, since they are how people ask.
        return min(
            likely,
            key=lambda near: (OSA.distance(word, near), near[:1] != word[:1], near not in self.language),
            default=None,
        )
