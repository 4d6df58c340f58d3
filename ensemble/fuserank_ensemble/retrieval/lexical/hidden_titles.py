"""Which completions are titles of deleted items alone, so that they are not shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.live.overlay import LiveCatalog
from fuserank_ensemble.catalog.live.snapshot import CatalogSnapshot
from fuserank_ensemble.retrieval.lexical.suggest import phrase_key
from fuserank_ensemble.state.entries import Logged
from fuserank_ensemble.state.settings import State


class _Titled(msgspec.Struct):
    title: str


_DECODE = msgspec.json.Decoder(_Titled).decode


class HiddenTitles:
    """A `Consumer` of the log, behind the catalogue's, that keeps the keys of the titles that no item has any more."""

    def __init__(self, catalog: LiveCatalog) -> None:
        """Takes the catalogue as it changes."""
        self._catalog = catalog
        self._seen = self._bundled = catalog.current
        self.keys: frozenset[str] = frozenset()

    def attach(self, state: State, held: int) -> None:
        """See `Consumer`; it needs nothing of the state."""
        del state, held

    def apply(self, batch: Sequence[Logged]) -> None:
        """See `Consumer`; what changed is read from the catalogue."""
        del batch
        catalog = self._catalog.current
        if catalog.items.visible is not self._seen.items.visible:
            self.keys = self._hidden(catalog)
        self._seen = catalog

    def _hidden(self, catalog: CatalogSnapshot) -> frozenset[str]:
        if catalog.items.visible is None:
            return frozenset()
        deleted = Counter(self._key(row) for row in np.flatnonzero(~catalog.items.visible).tolist())
        return frozenset(key for key, count in deleted.items() if count == self._count(key))

    def _key(self, row: int) -> str:
        return phrase_key(_DECODE(self._bundled.records.raw(row)).title)

    def _count(self, key: str) -> int:
        """How many items of the bundle have a title."""
        first, last = (int(np.searchsorted(self._hashes, hash(key), side)) for side in ("left", "right"))
        return last - first

    @cached_property
    def _hashes(self) -> NDArray[np.int64]:
        """Hashes of all titles, sorted, int64 `[items]`; computed when the first item is deleted."""
        return np.sort(np.asarray([hash(self._key(row)) for row in range(len(self._bundled.items))], np.int64))
