"""What the lexical index holds of one item: its words, stems, sizes, codes and values, as a document of tantivy's."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import tantivy

from fuserank_ensemble.catalog.filters import CATEGORY_SEPARATOR
from fuserank_ensemble.retrieval.lexical.codes import code_keys
from fuserank_ensemble.retrieval.lexical.words import (
    Word,
    clean,
    han_runs,
    has_accents,
    match_key,
    spellings,
    split_characters,
    words,
)
from fuserank_ensemble.understanding.quantities import Quantities

VALUE_CHARACTERS = 100  # of a value that is found as a whole
_AMOUNT_CHARACTERS = 300  # of a value that is read for sizes: a longer one is a description, which compares sizes
_LISTED = "/"  # between the things that a level of a category lists
_CACHED = 50_000  # texts that are analysed once
# What stands behind says what a thing goes with, not what it is.
_ACCESSORY = re.compile(
    r"(?<=\S)[\s,(-]+(?:for|compatible with|fits|designed for|replacement for|to fit)\s|适用于?|专用|兼容",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ItemDocument:
    """An item as the index holds it.

    Attributes:
        document: For tantivy.
        words: Its distinct words.
        has_han: Whether it holds Chinese.
    """

    document: tantivy.Document
    words: frozenset[Word]
    has_han: bool


class ItemDocuments:
    """Makes the documents of items."""

    def __init__(self, fields: Collection[str], quantities: Quantities, codes: Sequence[str]) -> None:
        """Takes what is indexed.

        Args:
            fields: The fields whose words are searched, in the order of their boosts.
            quantities: Finds sizes and counts in texts.
            codes: The fields that hold codes, such as a part number.
        """
        self._fields, self._codes = tuple(fields), tuple(codes)
        # Titles and levels of categories repeat.
        self._amount_keys = lru_cache(_CACHED)(
            lambda text: [key for amount in quantities.find(text) for key in amount.keys]
        )
        self._head_stems = lru_cache(_CACHED)(lambda title: " ".join(word.stem for word in words(title_head(title))))

    def texts(self, record: Mapping[str, Any]) -> list[str]:
        """The texts of an item's fields."""
        return [text for name in self._fields for text in field_values(record.get(name))]

    def make(self, row: int, record: Mapping[str, Any], accented: Collection[str] | None) -> ItemDocument:
        """Makes the document of one item.

        Args:
            row: The item's row.
            record: Its fields; values are strings, lists of strings, or missing.
            accented: The words, without their accents, whose spelling is kept; None keeps none.
        """
        values = [[_analyse(text) for text in field_values(record.get(name))] for name in self._fields]
        texts = self.texts(record)
        amounts = {key for text in texts if len(text) <= _AMOUNT_CHARACTERS for key in self._amount_keys(text)}
        document = _document(row, values, amounts, self._head_stems(str(record.get("title") or "")))
        for part in dict.fromkeys(map(first_part, field_values(record.get("category")))):
            if part:
                document.add_text("part", match_key(part))
        for spelling in spell(texts, accented) if accented else ():
            document.add_text("spelling", spelling)
        for key in dict.fromkeys(key for name in self._codes for key in code_keys(record.get(name))):
            document.add_text("code", key)
        distinct = frozenset(word for field in values for value in field for word in value.words)
        return ItemDocument(document, distinct, any(value.runs for field in values for value in field))


def items_schema(fields: int) -> tantivy.Schema:
    """The fields of an item's document."""
    builder = tantivy.SchemaBuilder().add_unsigned_field("row", indexed=True, fast=True)
    for position in range(fields):
        builder = builder.add_text_field(f"field{position}", tokenizer_name="whitespace", index_option="freq")
    builder = builder.add_text_field("head", tokenizer_name="whitespace", index_option="freq")
    for name in ("all", "han", "spelt"):
        builder = builder.add_text_field(name, tokenizer_name="whitespace", index_option="position")
    for name in ("amount", "part", "spelling", "code"):
        builder = builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    return builder.add_text_field("value", tokenizer_name="raw", index_option="basic").build()


def vocabulary_schema() -> tantivy.Schema:
    """The fields of a word's document."""
    builder = tantivy.SchemaBuilder().add_text_field("written", True, tokenizer_name="raw", index_option="basic")
    builder = builder.add_text_field("stem", True, tokenizer_name="raw", index_option="basic")
    return builder.add_unsigned_field("count", fast=True).build()


def word_document(word: Word, count: int) -> tantivy.Document:
    """A word of the vocabulary, and how many items hold it."""
    document = tantivy.Document()
    document.add_text("written", word.written)
    document.add_text("stem", word.stem)
    document.add_unsigned("count", count)
    return document


def field_values(value: Any) -> list[str]:
    """A field's texts: every element of a list, every level of a category path."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return []
    if isinstance(value, (list, tuple)):
        return [text for element in value for text in field_values(element)]
    return [text for level in str(value).split(CATEGORY_SEPARATOR) if (text := clean(level))]


def title_head(title: str) -> str:
    """Returns the part of a title that names the thing itself: of "Case for AirPods 2" it is "Case"."""
    return _ACCESSORY.split(clean(title), maxsplit=1)[0]


@lru_cache(maxsize=_CACHED)
def first_part(level: str) -> str:
    """Returns the first of the things that a category's level lists: of "Ice Cream/Milk/Sherbets" it is "Ice Cream".

    Empty where a level lists nothing, and where the things may share their last word, as in "Beef/Pork Ribs".
    """
    first, *others = level.split(_LISTED)
    return first.strip() if others and len(words(others[-1])) == 1 else ""


def accented_words(texts: Iterable[str]) -> set[str]:
    """The words, without their accents, that some of the texts write with accents."""
    return {word for text in texts if has_accents(text) for word, spelling in spellings(text) if word != spelling}


def spell(texts: Sequence[str], accented: Collection[str]) -> Iterator[str]:
    """Yields the words of an item's texts that some item writes with accents, as this one writes them."""
    for text in texts:
        if has_accents(text):
            yield from (spelling for word, spelling in spellings(text) if word in accented)
        else:
            yield from (word.written for word in _analyse(text).words if word.written in accented)


def text_words(text: str) -> tuple[Word, ...]:
    """The words of an item's text, in order."""
    return _analyse(text).words


def forget_texts() -> None:
    """Lets go of the texts that were analysed."""
    _analyse.cache_clear()
    first_part.cache_clear()


class _Value(NamedTuple):
    """One text of an item, analysed."""

    words: tuple[Word, ...]
    stems: str
    spelt: str
    runs: tuple[str, ...]
    key: str


# Brands, levels of categories and titles repeat.
@lru_cache(maxsize=_CACHED)
def _analyse(text: str) -> _Value:
    in_order = tuple(words(text))
    value_key = match_key(text) if len(text) <= VALUE_CHARACTERS else ""
    stems = " ".join(word.stem for word in in_order)
    return _Value(
        in_order, stems, " ".join(split_characters(text)), tuple(" ".join(run) for run in han_runs(text)), value_key
    )


def _document(row: int, values: list[list[_Value]], amounts: set[str], head: str) -> tantivy.Document:
    document = tantivy.Document()
    document.add_unsigned("row", row)
    document.add_text("head", head)
    for key in sorted(amounts):
        document.add_text("amount", key)
    for position, field in enumerate(values):
        for value in field:
            document.add_text(f"field{position}", value.stems)
            document.add_text("all", value.stems)
            document.add_text("spelt", value.spelt)
            for run in value.runs:
                document.add_text("han", run)
            if value.key:
                document.add_text("value", value.key)
    return document
