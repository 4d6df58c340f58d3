"""The page's words in English and Chinese, read from words.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import get_args

from fuserank.types import Language

LANGUAGES: tuple[Language, ...] = get_args(Language)
DEFAULT: Language = "en"


@cache
def read_words() -> Mapping[str, Mapping[str, str]]:
    """Returns each text by key and language."""
    tables: dict[str, dict[str, dict[str, str]]] = tomllib.loads(
        Path(__file__).with_name("words.toml").read_text("utf-8")
    )
    return {f"{table}.{key}": texts for table, entries in tables.items() for key, texts in entries.items()}


class Words:
    """The texts of one language; `words("page.title", count=3)` fills in what a text leaves open."""

    def __init__(self, language: Language) -> None:
        self.language = language

    def __call__(self, key: str, **values: object) -> str:
        """Returns a text.

        Raises:
            KeyError: Where there is no such text.
        """
        return read_words()[key][self.language].format(**values)

    def name(self, table: str, key: str) -> str:
        """Returns the word for a name of the contract, such as a stage; the name itself where there is none."""
        texts = read_words().get(f"{table}.{key}")
        return texts[self.language] if texts else key.replace("_", " ")


def choose_language(accepted: str) -> Language:
    """Returns the language that a browser's Accept-Language prefers."""
    weighed = []
    for place, part in enumerate(accepted.split(",")):
        tag, _, quality = part.strip().partition(";q=")
        try:
            weight = float(quality) if quality else 1.0
        except ValueError:
            continue
        language = next((known for known in LANGUAGES if tag.lower().startswith(known)), None)
        if language:
            weighed.append((-weight, place, language))
    return min(weighed)[2] if weighed else DEFAULT
