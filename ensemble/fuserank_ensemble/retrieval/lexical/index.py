"""The indexes that the lexical channel searches: one of the items, and one of the words that they hold."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import tantivy

from fuserank_ensemble.catalog.filters import CATEGORY_SEPARATOR
from fuserank_ensemble.retrieval.lexical.codes import code_key, code_keys, tells_apart
from fuserank_ensemble.retrieval.lexical.tantivy_files import finish, index_writer, open_searcher
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
from fuserank_ensemble.understanding.quantities import Quantities, Units

# The catalogue's fields whose words are searched by default, each with what a match in it counts.
LEXICAL_FIELDS: Mapping[str, float] = {"title": 3.0, "brand": 1.5, "category": 1.5, "description": 1.0}
UNITS = "units.json"
_VALUE_CHARACTERS = 100
_AMOUNT_CHARACTERS = 300  # of a value that is read for sizes: a longer one is a description, which compares sizes
_CACHED = 50_000  # texts that are analysed once
_SETTINGS = "lexical.json"
_SIMILAR = 5  # words that a misspelt one is compared with
# What stands behind says what a thing goes with, not what it is.
_ACCESSORY = re.compile(
    r"(?<=\S)[\s,(-]+(?:for|compatible with|fits|designed for|replacement for|to fit)\s|适用于?|专用|兼容",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class LexicalIndex:
    """An index of `items` documents, one an item row.

    Attributes:
        items: Documents.
        boosts: Boost of each field.
        han: Whether any text holds Chinese.
        accented: Whether any text has a word with accents.
        searcher: The documents.
        vocabulary: The words as written, with their stems.
    """

    items: int
    boosts: Mapping[str, float]
    han: bool
    accented: bool
    searcher: tantivy.Searcher
    vocabulary: tantivy.Searcher

    @classmethod
    def write(
        cls,
        folder: Path,
        records: Sequence[Mapping[str, Any]],
        fields: Mapping[str, float],
        units: Units,
        codes: Sequence[str] = (),
    ) -> int:
        """Writes the index.

        Args:
            folder: Where to; it must not exist or be empty.
            records: The items in the order of their rows; values are strings, lists of strings, or missing.
            fields: The fields to index, each with its boost.
            units: Of the sizes in the fields.
            codes: The fields that hold codes, such as a part number.

        Returns:
            How many documents hold at least one word.

        Raises:
            ValueError: Without fields, or on a boost that is not above zero.
        """
        _check_boosts(fields)
        (folder / "items").mkdir(parents=True)
        (folder / "vocabulary").mkdir()
        (folder / UNITS).write_bytes(msgspec.json.encode(dict(sorted(units.items()))))
        quantities = Quantities(units)
        # Titles and levels of categories repeat.
        amount_keys = lru_cache(_CACHED)(lambda text: [key for found in quantities.find(text) for key in found.keys])
        head_stems = lru_cache(_CACHED)(lambda title: " ".join(word.stem for word in words(title_head(title))))
        occurrences: Counter[Word] = Counter()
        han, filled = False, 0
        accented = _accented(text for record in records for name in fields for text in _values(record.get(name)))
        writer = index_writer(folder / "items", items_schema(len(fields)))
        for row, record in enumerate(records):
            values = [[_analyse(text) for text in _values(record.get(name))] for name in fields]
            distinct = {word for field in values for value in field for word in value.words}
            occurrences.update(distinct)
            filled += bool(distinct)
            han = han or any(value.runs for field in values for value in field)
            texts = [text for name in fields for text in _values(record.get(name))]
            amounts = {key for text in texts if len(text) <= _AMOUNT_CHARACTERS for key in amount_keys(text)}
            head = head_stems(str(record.get("title") or ""))
            document = _document(row, values, amounts, head)
            for spelling in _spell(texts, accented) if accented else ():
                document.add_text("spelling", spelling)
            for key in dict.fromkeys(key for name in codes for key in code_keys(record.get(name))):
                document.add_text("code", key)
            writer.add_document(document)
        _analyse.cache_clear()
        finish(writer, folder / "items")
        writer = index_writer(folder / "vocabulary", vocabulary_schema())
        for word, count in sorted(occurrences.items()):
            document = tantivy.Document()
            document.add_text("written", word.written)
            document.add_text("stem", word.stem)
            document.add_unsigned("count", count)
            writer.add_document(document)
        finish(writer, folder / "vocabulary")
        settings = {"items": len(records), "fields": dict(fields), "han": han, "accented": bool(accented)}
        (folder / _SETTINGS).write_text(json.dumps(settings, ensure_ascii=False), "utf-8")
        return filled

    @classmethod
    def open(cls, folder: Path) -> LexicalIndex:
        """Maps an index; the folder may be read-only and stays as it is."""
        settings = json.loads((folder / _SETTINGS).read_text("utf-8"))
        return cls(
            settings["items"],
            settings["fields"],
            settings["han"],
            settings["accented"],
            open_searcher(folder / "items"),
            open_searcher(folder / "vocabulary"),
        )

    @cached_property
    def _schema(self) -> tantivy.Schema:
        return items_schema(len(self.boosts))

    def has_word(self, written: str) -> bool:
        """Whether an item has a word, whatever its inflection."""
        return any(self.searcher.doc_freq("all", word.stem) > 0 for word in words(written))

    def similar_words(self, written: str, errors: int) -> list[str]:
        """Words as items have them that differ by a number of typing errors at most, the commonest first."""
        near = tantivy.Query.fuzzy_term_query(vocabulary_schema(), "written", written, errors)
        hits = self.vocabulary.search(near, _SIMILAR, count=False, order_by_field="count").hits
        return [str(self.vocabulary.doc(address).get_first("written")) for _, address in hits]

    def is_code(self, text: str) -> bool:
        """Whether a text is a code of an item, whatever its separators."""
        key = code_key(text)
        return bool(key) and self.searcher.doc_freq("code", key) > 0

    def begun_codes(self, text: str) -> tantivy.Query | None:
        """The items with a code that begins with a text; None where there are none, or the text says too little."""
        key = code_key(text)
        if not tells_apart(key):
            return None
        begun = tantivy.Query.fuzzy_term_query(self._schema, "code", key, distance=0, prefix=True)
        return begun if self.searcher.search(begun, 1, count=False).hits else None

    def is_value(self, text: str) -> bool:
        """Whether a text is a whole value of a field, whatever its case, punctuation and inflection."""
        key = match_key(text) if len(text) <= _VALUE_CHARACTERS else ""
        return bool(key) and self.searcher.doc_freq("value", key) > 0


def items_schema(fields: int) -> tantivy.Schema:
    """The fields of an item's document."""
    builder = tantivy.SchemaBuilder().add_unsigned_field("row", indexed=True, fast=True)
    for position in range(fields):
        builder = builder.add_text_field(f"field{position}", tokenizer_name="whitespace", index_option="freq")
    builder = builder.add_text_field("head", tokenizer_name="whitespace", index_option="freq")
    for name in ("all", "han", "spelt"):
        builder = builder.add_text_field(name, tokenizer_name="whitespace", index_option="position")
    builder = builder.add_text_field("amount", tokenizer_name="raw", index_option="basic")
    for name in ("spelling", "code"):
        builder = builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    return builder.add_text_field("value", tokenizer_name="raw", index_option="basic").build()


def vocabulary_schema() -> tantivy.Schema:
    """The fields of a word's document."""
    builder = tantivy.SchemaBuilder().add_text_field("written", True, tokenizer_name="raw", index_option="basic")
    builder = builder.add_text_field("stem", True, tokenizer_name="raw", index_option="basic")
    return builder.add_unsigned_field("count", fast=True).build()


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
    value_key = match_key(text) if len(text) <= _VALUE_CHARACTERS else ""
    stems = " ".join(word.stem for word in in_order)
    return _Value(
        in_order, stems, " ".join(split_characters(text)), tuple(" ".join(run) for run in han_runs(text)), value_key
    )


def _accented(texts: Iterable[str]) -> set[str]:
    """The words, without their accents, that some of the texts write with accents."""
    return {word for text in texts if has_accents(text) for word, spelling in spellings(text) if word != spelling}


def _spell(texts: Sequence[str], accented: Collection[str]) -> Iterator[str]:
    """Yields the words of an item's texts that some item writes with accents, as this one writes them."""
    for text in texts:
        if has_accents(text):
            yield from (spelling for word, spelling in spellings(text) if word in accented)
        else:
            yield from (word.written for word in _analyse(text).words if word.written in accented)


def title_head(title: str) -> str:
    """Returns the part of a title that names the thing itself: of "Case for AirPods 2" it is "Case"."""
    return _ACCESSORY.split(clean(title), maxsplit=1)[0]


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


def _values(value: Any) -> list[str]:
    """A field's texts: every element of a list, every level of a category path."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return []
    if isinstance(value, (list, tuple)):
        return [text for element in value for text in _values(element)]
    return [text for level in str(value).split(CATEGORY_SEPARATOR) if (text := clean(level))]


def _check_boosts(fields: Mapping[str, float]) -> None:
    if not fields:
        raise ValueError("lexical fields: found none; name at least one field with its boost, as in title=3")
    for name, boost in fields.items():
        if not (math.isfinite(boost) and boost > 0):
            raise ValueError(f"lexical fields: {name} has boost {boost}; allowed: a number above 0")
