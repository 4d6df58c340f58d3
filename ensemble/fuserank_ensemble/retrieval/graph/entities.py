"""Entities of the knowledge graph (brands, categories, attributes), and entity linking in free text.

Titles at export and queries at serving are linked by the same code. Names are matched word by word, the longest first;
Chinese characters are words of their own, so that names are found in text without spaces too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import normalizers, pre_tokenizers

from fuserank_ensemble.catalog.filters import CATEGORY_SEPARATOR
from fuserank_ensemble.catalog.text import normalise
from fuserank_ensemble.retrieval.lexical.words import simplify

CATEGORY, TITLE = "category", "title"
LONGEST_NAME = 8  # words; a longer value is a sentence and names nothing
LONGEST_TEXT = 2_000  # characters that are searched for names: bounds the time that a text of 100 kB takes

_NORMALIZER = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=True, lowercase=True)
_PRE_TOKENIZER = pre_tokenizers.BertPreTokenizer()


def name_words(text: str) -> list[str]:
    """Splits a text into words as names are compared: without case, accents and punctuation, Chinese by character.

    Traditional characters count as the simplified ones.
    """
    normal = _NORMALIZER.normalize_str(simplify(normalise(text[:LONGEST_TEXT])))
    return [word for word, _ in _PRE_TOKENIZER.pre_tokenize_str(normal) if any(map(str.isalnum, word))]


def category_levels(path: str) -> list[str]:
    """A category's path and those above it, the top first.

    Example:
        >>> category_levels("Grocery > Dairy > Milk")
        ['Grocery', 'Grocery > Dairy', 'Grocery > Dairy > Milk']
    """
    parts = path.split(CATEGORY_SEPARATOR)
    return [CATEGORY_SEPARATOR.join(parts[: i + 1]) for i in range(len(parts))]


@dataclass(frozen=True)
class Entities:
    """The graph's nodes beside items and users; an entity is known by its position.

    Attributes:
        kinds: The catalogue's field that each comes from, `[entities]`.
        names: Its value there, `[entities]`; for a category the whole path to its level.
    """

    kinds: list[str]
    names: list[str]

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def fields(self) -> frozenset[str]:
        """The catalogue's fields that name entities, the title among them."""
        return frozenset({*self.kinds, TITLE})

    @cached_property
    def _position(self) -> dict[tuple[str, str], int]:
        return {pair: i for i, pair in enumerate(zip(self.kinds, self.names, strict=True))}

    @cached_property
    def _by_words(self) -> dict[tuple[str, ...], list[int]]:
        """The entities of each name; several fields may hold the same."""
        named: dict[tuple[str, ...], list[int]] = {}
        for entity, name in enumerate(self.names):
            text = name.rsplit(CATEGORY_SEPARATOR, 1)[-1] if self.kinds[entity] == CATEGORY else name
            words = tuple(name_words(text))
            if len(words) <= LONGEST_NAME and _is_distinctive(words):
                named.setdefault(words, []).append(entity)
        return named

    @cached_property
    def _longest(self) -> dict[str, int]:
        """By first word, the number of words of the longest name that starts with it."""
        longest: dict[str, int] = {}
        for words in self._by_words:
            longest[words[0]] = max(longest.get(words[0], 0), len(words))
        return longest

    def mentions(self, text: str) -> list[list[int]]:
        """Finds the names in a text, in its order, each as the entities that have it.

        Where names overlap, the one that starts first counts, and of those the longest.
        """
        words, mentions, start = name_words(text), list[list[int]](), 0
        while start < len(words):
            for length in range(min(self._longest.get(words[start], 0), len(words) - start), 0, -1):
                entities = self._by_words.get(tuple(words[start : start + length]))
                if entities:
                    mentions.append(entities)
                    start += length
                    break
            else:
                start += 1
        return mentions

    def link(self, text: str) -> list[int]:
        """All entities that a text names, each once, in the order of their first mention."""
        return list(dict.fromkeys(entity for entities in self.mentions(text) for entity in entities))

    def without_upper_levels(self, entities: Iterable[int]) -> list[int]:
        """Leaves out categories that one of the others is part of: of "Grocery" and "Grocery > Dairy" the first."""
        kept = list(entities)
        paths = [self.names[entity] for entity in kept if self.kinds[entity] == CATEGORY]
        above = {level for path in paths for level in category_levels(path)[:-1]}
        return [entity for entity in kept if self.kinds[entity] != CATEGORY or self.names[entity] not in above]

    def link_record(self, record: Mapping[str, Any]) -> list[int]:
        """Finds the entities that an item's fields hold and its title names; values unknown to the graph are left out.

        Args:
            record: The item's fields as in the catalogue.
        """
        entities = dict[int, None]()
        for kind, value in record.items():
            for name in value if isinstance(value, (list, tuple)) else [value]:
                for level in category_levels(str(name)) if kind == CATEGORY else [str(name)]:
                    entity = self._position.get((kind, level))
                    if entity is not None:
                        entities[entity] = None
        entities.update(dict.fromkeys(self.link(str(record.get(TITLE) or ""))))
        return list(entities)

    def save(self, path: Path) -> None:
        """Writes kinds and names as JSON."""
        path.write_text(json.dumps({"kinds": self.kinds, "names": self.names}, ensure_ascii=False), "utf-8")

    @classmethod
    def open(cls, path: Path) -> Entities:
        """Reads what `save` wrote."""
        return cls(**json.loads(path.read_text("utf-8")))


def _is_distinctive(words: Iterable[str]) -> bool:
    """Whether words name something: numbers and single letters (sizes, article numbers) occur in any text."""
    joined = "".join(words)
    return any(map(str.isalpha, joined)) and (len(joined) > 1 or not joined.isascii())
