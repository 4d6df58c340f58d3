"""The indexes that the lexical channel searches: one of the items, and one of the words that they hold."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import tantivy
from numpy.typing import NDArray

from fuserank_ensemble.retrieval.lexical.codes import code_key, tells_apart
from fuserank_ensemble.retrieval.lexical.documents import (
    VALUE_CHARACTERS,
    ItemDocuments,
    accented_words,
    forget_texts,
    items_schema,
    vocabulary_schema,
    word_document,
)
from fuserank_ensemble.retrieval.lexical.tantivy_files import finish, index_writer, open_searcher
from fuserank_ensemble.retrieval.lexical.words import Word, match_key, words
from fuserank_ensemble.understanding.quantities import Quantities, Units

# The catalogue's fields whose words are searched by default, each with what a match in it counts.
LEXICAL_FIELDS: Mapping[str, float] = {"title": 3.0, "brand": 1.5, "category": 1.5, "description": 1.0}
UNITS = "units.json"
ITEMS, VOCABULARY = "items", "vocabulary"  # the folders of the two indexes
_SETTINGS = "lexical.json"
_SIMILAR = 5  # words that a misspelt one is compared with


@dataclass(frozen=True)
class DocumentNumbers:
    """Which document is of which item, where some items have later ones than a bundle.

    Attributes:
        rows: The row of each document's item, -1 where the item has a later one, int32 `[documents]`.
        documents: The number of each item's document, int32 `[items]`.
    """

    rows: NDArray[np.int32]
    documents: NDArray[np.int32]


@dataclass(frozen=True)
class LexicalIndex:
    """An index of the words of `items` items.

    Attributes:
        items: How many items there are.
        boosts: Boost of each field.
        han: Whether any text holds Chinese.
        accented: Whether any text has a word with accents.
        searcher: The documents.
        vocabulary: The words as written, with their stems.
        numbers: Which document is of which item; None where documents are numbered as items are.
    """

    items: int
    boosts: Mapping[str, float]
    han: bool
    accented: bool
    searcher: tantivy.Searcher
    vocabulary: tantivy.Searcher
    numbers: DocumentNumbers | None = None

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
        (folder / ITEMS).mkdir(parents=True)
        (folder / VOCABULARY).mkdir()
        (folder / UNITS).write_bytes(msgspec.json.encode(dict(sorted(units.items()))))
        documents = ItemDocuments(fields, Quantities(units), codes)
        occurrences: Counter[Word] = Counter()
        has_han, filled = False, 0
        accented = accented_words(text for record in records for text in documents.texts(record))
        writer = index_writer(folder / ITEMS, items_schema(len(fields)))
        for row, record in enumerate(records):
            made = documents.make(row, record, accented)
            occurrences.update(made.words)
            filled += bool(made.words)
            has_han = has_han or made.has_han
            writer.add_document(made.document)
        forget_texts()
        finish(writer, folder / ITEMS)
        writer = index_writer(folder / VOCABULARY, vocabulary_schema())
        for word, count in sorted(occurrences.items()):
            writer.add_document(word_document(word, count))
        finish(writer, folder / VOCABULARY)
        settings = {"items": len(records), "fields": dict(fields), "han": has_han, "accented": bool(accented)}
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
            open_searcher(folder / ITEMS),
            open_searcher(folder / VOCABULARY),
        )

    @property
    def documents(self) -> int:
        """How many documents there are, those that were replaced among them."""
        return self.items if self.numbers is None else len(self.numbers.rows)

    def documents_of(self, rows: NDArray[Any]) -> list[int]:
        """The numbers of some items' documents."""
        numbers: list[int] = (rows if self.numbers is None else self.numbers.documents[rows]).tolist()
        return numbers

    def rows_of(self, documents: Sequence[Any]) -> NDArray[np.int64]:
        """The rows of some documents' items by number, -1 for one that was replaced, int64 `[documents]`."""
        numbers = np.asarray(documents, np.int64)
        return numbers if self.numbers is None else self.numbers.rows[numbers].astype(np.int64)

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
        key = match_key(text) if len(text) <= VALUE_CHARACTERS else ""
        return bool(key) and self.searcher.doc_freq("value", key) > 0


def _check_boosts(fields: Mapping[str, float]) -> None:
    if not fields:
        raise ValueError("lexical fields: found none; name at least one field with its boost, as in title=3")
    for name, boost in fields.items():
        if not (math.isfinite(boost) and boost > 0):
            raise ValueError(f"lexical fields: {name} has boost {boost}; allowed: a number above 0")
