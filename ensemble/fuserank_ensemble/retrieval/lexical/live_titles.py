"""Completions as the catalogue changes: titles that came since the bundle, and titles that no item has any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.live.overlay import LiveCatalog
from fuserank_ensemble.catalog.live.snapshot import CatalogSnapshot
from fuserank_ensemble.retrieval.lexical.phrases import phrase_key
from fuserank_ensemble.retrieval.lexical.suggest import Suggester, phrase_document
from fuserank_ensemble.retrieval.lexical.tantivy_files import GrowingIndex
from fuserank_ensemble.state.entries import ItemChange, Logged
from fuserank_ensemble.state.settings import State

_TITLE = "title"


class LiveTitles:
    """A `Consumer` of the log, behind the catalogue's, that knows which titles there are.

    Attributes:
        current: What completes a prefix, and the keys of the titles that no item has any more, which are not shown; a
            value that is replaced whole.
    """

    def __init__(self, catalog: LiveCatalog, folder: Path, spoken: Callable[[str], str] = str) -> None:
        """Takes the catalogue as it changes, a bundle's completions, and what shortened its titles to them."""
        self._catalog, self._folder, self._spoken = catalog, folder, spoken
        self._seen = self._bundled = catalog.current
        self._retitled: set[int] = set()  # rows of items that are new or have another title
        self._added: set[str] = set()  # keys of the phrases that came since the bundle
        self._phrases = Suggester.open(folder)
        self.current: tuple[Suggester, frozenset[str]] = (self._phrases, frozenset())

    def attach(self, state: State, held: int) -> None:
        """See `Consumer`; it needs nothing of the state."""
        del state, held

    def apply(self, batch: Sequence[Logged]) -> None:
        """See `Consumer`; what changed is read from the catalogue."""
        del batch
        before, catalog = self._seen, self._catalog.current
        if catalog is before:
            return
        self._seen = catalog
        titled = [
            catalog.items.any_row(entry.item_id)
            for _, entry in catalog.entries
            if isinstance(entry, ItemChange) and _TITLE in entry.fields
        ]
        rows = [row for row in dict.fromkeys(titled) if row >= 0]
        if not rows and catalog.items.visible is before.items.visible:
            return
        self._retitled.update(rows)
        suggester = self._with_titles(catalog, rows) if rows else self.current[0]
        self.current = (suggester, self._hidden(catalog))

    @cached_property
    def _index(self) -> GrowingIndex:
        return GrowingIndex(self._folder)

    def _with_titles(self, catalog: CatalogSnapshot, rows: Sequence[int]) -> Suggester:
        """Returns the completions with the titles of some items."""
        new = {}
        for row in rows:
            title = self._spoken(str(catalog.records.fields(row)[_TITLE]))
            key = phrase_key(title)
            if key and key not in self._added and not self._phrases.has_key(key):
                new[key] = title
        if not new:
            return self.current[0]
        place = len(self._phrases) + len(self._added)
        for number, title in enumerate(new.values(), start=place):
            self._index.add(phrase_document(number, title, 0.0))
        self._added.update(new)
        return Suggester(self._index.commit())

    def _hidden(self, catalog: CatalogSnapshot) -> frozenset[str]:
        """The keys of the titles that no item has any more."""
        visible, bundled = catalog.items.visible, len(catalog.items.ids)
        gone = [] if visible is None else np.flatnonzero(~visible[:bundled]).tolist()
        lost = Counter(self._key(row) for row in {*gone, *(row for row in self._retitled if row < bundled)})
        gained = Counter(
            phrase_key(self._spoken(str(catalog.records.fields(row)[_TITLE])))
            for row in self._retitled
            if visible is None or visible[row]
        )
        left = {key: self._count(key) - lost[key] + gained[key] for key in {*lost, *self._added}}
        return frozenset(key for key, items in left.items() if items <= 0)

    def _key(self, row: int) -> str:
        return phrase_key(self._spoken(str(self._bundled.records.fields(row)[_TITLE])))

    def _count(self, key: str) -> int:
        """How many items of the bundle have a title."""
        first, last = (int(np.searchsorted(self._hashes, hash(key), side)) for side in ("left", "right"))
        return last - first

    @cached_property
    def _hashes(self) -> NDArray[np.int64]:
        """Hashes of all titles, sorted, int64 `[items]`; computed when the first title goes."""
        return np.sort(np.asarray([hash(self._key(row)) for row in range(len(self._bundled.items))], np.int64))
