"""Marks the words of a query in a text as it is written: with its accents, inflections and either Chinese script."""

from __future__ import annotations

import re
from collections.abc import Callable

from fuserank_ensemble.retrieval.lexical.words import content_words, has_han, simplify, words

# Letters with the apostrophes and accents in them, digits, and runs of Chinese characters, as `words` parts them.
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_LETTER = rf"(?![{_HAN}])[^\W\d_]"
_TOKEN = re.compile(rf"[{_HAN}]+|{_LETTER}(?:{_LETTER}|[\u0300-\u036f]|['’](?={_LETTER}))*|\d+")
MAX_CHARACTERS = 2_000  # of a text that are looked at


class Highlighter:
    """Finds the words of one query in texts.

    Args:
        query: What was searched for.
        replace: Replaces the synonyms of a word, as it is done in queries and in what is indexed of items.
    """

    def __init__(self, query: str, replace: Callable[[str], str] = str) -> None:
        wanted = content_words(words(query))
        self._stems = {word.stem for word in wanted if not has_han(word.written)}
        self._chinese = sorted({word.written for word in wanted if has_han(word.written)}, key=len, reverse=True)
        self._replace = replace

    def parts(self, text: str) -> list[str]:
        """Returns a text in parts, by turns without and with a match; joined they are the text.

        Returns:
            The parts, the first without a match and maybe empty; nothing where no word matches.
        """
        spans: list[tuple[int, int]] = []
        for token in _TOKEN.finditer(text[:MAX_CHARACTERS]):
            if has_han(token.group()):
                spans += [
                    (token.start() + start, token.start() + end) for start, end in self._in_chinese(token.group())
                ]
            elif self._matches(token.group()):
                spans.append(token.span())
        if not spans:
            return []
        parts, end = [], 0
        for start, stop in spans:
            parts += [text[end:start], text[start:stop]]
            end = stop
        return [*parts, text[end:]] if text[end:] else parts

    def _matches(self, written: str) -> bool:
        replaced = self._replace(written)
        spelt = [written] if replaced == written else [written, replaced]
        return any(word.stem in self._stems for each in spelt for word in words(each))

    def _in_chinese(self, run: str) -> list[tuple[int, int]]:
        """Returns where a run of Chinese characters holds words of the query, without overlaps."""
        simplified = simplify(run)
        if not self._chinese or len(simplified) != len(run):
            return []
        found = re.finditer("|".join(map(re.escape, self._chinese)), simplified)
        return [match.span() for match in found]
