"""The words of the items as they are now: follows the shop's changes in the log."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fuserank_ensemble.catalog.live.overlay import LiveCatalog
from fuserank_ensemble.catalog.live.snapshot import CatalogSnapshot
from fuserank_ensemble.catalog.synonyms import Synonyms
from fuserank_ensemble.retrieval.lexical.documents import ItemDocuments, accented_words, text_words, word_document
from fuserank_ensemble.retrieval.lexical.index import ITEMS, UNITS, VOCABULARY, DocumentNumbers, LexicalIndex
from fuserank_ensemble.retrieval.lexical.tantivy_files import GrowingIndex
from fuserank_ensemble.retrieval.lexical.words import Word
from fuserank_ensemble.state.entries import ItemChange, Logged
from fuserank_ensemble.state.settings import State
from fuserank_ensemble.understanding.quantities import Quantities

_TITLE = "title"  # whose beginning names the thing itself, searched or not
# Documents that were replaced by later ones, at most: beyond it all are written anew.
MAX_REPLACED = 20_000
Fields = dict[str, Any]


class LiveWords:
    """A `Consumer` of the log, behind the catalogue's: indexes the words of items that are new or have others now.

    Each change of an item's words is a document, in the order of the log: what the index then says of how rare a word
    is hangs on the log alone, whatever batches a process read.

    Attributes:
        current: The index as of the newest catalogue; a value that is replaced whole.
        bundled: The index of the bundle.
    """

    def __init__(
        self, catalog: LiveCatalog, folder: Path, fields: Collection[str], codes: Sequence[str], synonyms: Synonyms
    ) -> None:
        """Takes the catalogue as it changes, and what of it is indexed.

        Args:
            catalog: The catalogue.
            folder: A bundle's `index/lexical`.
            fields: The fields whose words are searched, in the order of the bundle's.
            codes: The fields that hold codes.
            synonyms: What is replaced in the items' texts.
        """
        self._catalog, self._folder, self._synonyms = catalog, folder, synonyms
        self._documents = ItemDocuments(fields, Quantities.open(folder / UNITS), codes)
        self._indexed = frozenset({*fields, *codes, _TITLE})
        self._seen = catalog.current
        self._failed: CatalogSnapshot | None = None  # of which only a part may be indexed
        self.current = self.bundled = LexicalIndex.open(folder)
        self._added: AddedWords | None = None

    def attach(self, state: State, held: int) -> None:
        """See `Consumer`; it needs nothing of the state."""
        del state, held

    def apply(self, batch: Sequence[Logged]) -> None:
        """See `Consumer`; what changed is read from the catalogue."""
        del batch
        before, after = self._seen, self._catalog.current
        if after is self._failed:
            raise RuntimeError("the words of these changes could not be indexed")
        if after is before:
            return
        self._failed = after
        for row, fields in self._reworded(before, after):
            if self._added is None or self._added.replaced >= MAX_REPLACED:
                self._added = self._begin_anew(self._added)
            self._added.add(row, self._synonyms.replace_in(fields))
        if self._added is not None and self._added.is_pending:
            self.current = self._added.commit(len(after.items))
        self._seen, self._failed = after, None

    def _reworded(self, before: CatalogSnapshot, after: CatalogSnapshot) -> Iterator[tuple[int, Fields]]:
        """Yields the row and the fields of an item after each change of its words between two catalogues."""
        changed: dict[int, Fields] = {}
        for _, entry in after.entries:
            row = after.items.any_row(entry.item_id) if isinstance(entry, ItemChange) else -1
            if not isinstance(entry, ItemChange) or row < 0:
                continue
            known = changed.get(row)
            if known is None:
                known = before.records.fields(row) if row < len(before.items) else {"item_id": entry.item_id}
            fields = {**known, **entry.fields}
            changed[row] = {name: value for name, value in fields.items() if value is not None}
            if entry.vector or not self._indexed.isdisjoint(entry.fields):
                yield row, changed[row]

    def _begin_anew(self, written: AddedWords | None) -> AddedWords:
        """Returns words added to the bundle's: none, or the latest of those that were written."""
        added = AddedWords(self.bundled, self._folder, self._documents)
        if written:
            for row, fields in written.latest():
                added.add(row, fields)
            written.close()
        return added

    def close(self) -> None:
        """Removes what was written beside the bundle."""
        if self._added:
            self._added.close()


class AddedWords:
    """The words that came since a bundle, in folders of this process.

    Attributes:
        replaced: How many documents have a later one of the same item.
        is_pending: Whether anything was added since the last commit.
    """

    def __init__(self, bundled: LexicalIndex, folder: Path, documents: ItemDocuments) -> None:
        """Takes the bundle's words, their folder, and what makes documents."""
        self._bundled, self._documents, self._vocabulary_folder = bundled, documents, folder / VOCABULARY
        self._index = GrowingIndex(folder / ITEMS)
        self._vocabulary: GrowingIndex | None = None
        self._of_number: list[int] = []  # the row of each added document
        self._latest: dict[int, tuple[int, Mapping[str, Any]]] = {}  # the newest document of each row, and its fields
        self._new_words: set[Word] = set()
        self._known = bundled
        self.replaced, self.is_pending = 0, False

    def add(self, row: int, fields: Mapping[str, Any]) -> None:
        """Adds the words of an item, which stand for those that it had."""
        accented = self._accents(fields)
        number = self._bundled.items + len(self._of_number)
        made = self._documents.make(number, fields, accented)
        self._index.add(made.document)
        self.replaced += row in self._latest
        self._of_number.append(row)
        self._latest[row] = (number, fields)
        has_word = self._bundled.vocabulary.doc_freq
        new = {word for word in made.words if word not in self._new_words and not has_word("written", word.written)}
        for word in sorted(new):
            self._vocabulary = self._vocabulary or GrowingIndex(self._vocabulary_folder)
            self._vocabulary.add(word_document(word, 1))
        self._new_words |= new
        self._known = replace(
            self._known,
            han=self._known.han or made.has_han,
            accented=self._known.accented or bool(accented),
        )
        self.is_pending = True

    def latest(self) -> list[tuple[int, Mapping[str, Any]]]:
        """Row and fields of the newest document of each item, in the order in which they were added."""
        return [(row, fields) for row, (_, fields) in sorted(self._latest.items(), key=lambda item: item[1][0])]

    def commit(self, items: int) -> LexicalIndex:
        """Returns the index of all words up to now.

        Args:
            items: How many items the catalogue has.
        """
        bundled = self._bundled.items
        rows = np.concatenate([np.arange(bundled), np.asarray(self._of_number, np.int64)]).astype(np.int32)
        documents = np.arange(items, dtype=np.int32)
        changed = np.fromiter(self._latest, np.int64, len(self._latest))
        numbers = np.fromiter((number for number, _ in self._latest.values()), np.int64, len(self._latest))
        rows[changed[changed < bundled]] = -1
        rows[bundled:] = -1
        rows[numbers], documents[changed] = changed, numbers
        self._known = replace(
            self._known,
            items=items,
            searcher=self._index.commit(),
            vocabulary=self._vocabulary.commit() if self._vocabulary else self._bundled.vocabulary,
            numbers=DocumentNumbers(rows, documents),
        )
        self.is_pending = False
        return self._known

    def close(self) -> None:
        """Removes the folders."""
        self._index.close()
        if self._vocabulary:
            self._vocabulary.close()

    def _accents(self, fields: Mapping[str, Any]) -> set[str]:
        """The words of an item that it writes with accents, or that others of the bundle do."""
        texts = self._documents.texts(fields)
        own = accented_words(texts)
        if not self._bundled.accented:
            return own
        known = self._bundled.searcher.doc_freq
        return own | {word.written for text in texts for word in text_words(text) if known("spelling", word.written)}
