"""Words that mean the same, each replaced by one spelling in items' and in queries' texts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from fuserank_ensemble.catalog.text import normalise

# A Chinese character is a word of its own here.
_TOKEN = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+")
_LETTERS = re.compile(r"[^\W_\u3400-\u9fff]{2}")


class Synonyms:
    """Replaces words and phrases, the longest first, whatever their case.

    Items and queries are replaced alike before they are embedded and before their words are searched, so that any
    spelling finds any other. What a reader is shown stays as it is.

    Args:
        replacements: What replaces each word or phrase, both normalised.
    """

    def __init__(self, replacements: Mapping[str, str]) -> None:
        self.replacements = {phrase.lower(): to for phrase, to in replacements.items()}

    @classmethod
    def open(cls, path: Path) -> Synonyms:
        """Reads a bundle's synonyms."""
        return cls(json.loads(path.read_text("utf-8")))

    def save(self, path: Path) -> None:
        """Writes them for `open`."""
        path.write_text(json.dumps(self.replacements, ensure_ascii=False, sort_keys=True), "utf-8")

    def __len__(self) -> int:
        return len(self.replacements)

    def replace(self, text: str, joined_by: str = " ") -> str:
        """Returns a normalised text with every phrase replaced; what replaces one is not replaced again.

        Args:
            text: The text.
            joined_by: What stands between the words of a replacement.
        """
        parts, done = list[str](), 0
        lowered = text.lower() if self.replacements else ""
        if len(lowered) != len(text):
            return text  # a letter whose small form is longer, such as İ: places would not agree
        for token in _TOKEN.finditer(lowered):
            if token.start() < done:
                continue
            for phrase in self._by_first.get(token.group(), ()):
                end = token.start() + len(phrase)
                if lowered.startswith(phrase, token.start()) and not _inside_word(lowered, end):
                    parts += [text[done : token.start()], self.replacements[phrase].replace(" ", joined_by)]
                    done = end
                    break
        return "".join(parts) + text[done:]

    def replace_in(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns an item's fields as they are searched: with every phrase in their texts replaced."""
        if not self.replacements:
            return fields
        return {
            name: self.replace(normalise(value)) if isinstance(value, str) else value for name, value in fields.items()
        }

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The words of all phrases that are replaced, in lower case, sorted."""
        return tuple(sorted({token for phrase in self.replacements for token in split_tokens(phrase)}))

    @cached_property
    def _by_first(self) -> dict[str, list[str]]:
        """The phrases by their first word or Chinese character, the longest first."""
        by_first: dict[str, list[str]] = {}
        for phrase in sorted(self.replacements, key=len, reverse=True):
            first = _TOKEN.search(phrase)
            if first is not None and first.start() == 0:
                by_first.setdefault(first.group(), []).append(phrase)
        return by_first


def split_tokens(text: str) -> list[str]:
    """Returns a text's words and Chinese characters, as `Synonyms.replace` tells them apart."""
    return _TOKEN.findall(text)


def _inside_word(text: str, end: int) -> bool:
    """Whether a word goes on at a place; between Chinese characters there are no borders of words."""
    return end < len(text) and _LETTERS.match(text, end - 1) is not None
