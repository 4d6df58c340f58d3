"""Follows the shop's changes of its items in the log. One thread writes; any thread reads whole snapshots, no locks."""

from __future__ import annotations

from collections.abc import Sequence

from fuserank_ensemble.catalog.live.snapshot import BundledCatalog, CatalogSnapshot
from fuserank_ensemble.state.entries import ItemChange, ItemDelete, Logged
from fuserank_ensemble.state.settings import State

# Items that differ from the bundle. The model `catalog` takes no change of a further one: each costs memory in every
# process, and so many are better in a bundle.
MAX_CHANGED = 100_000
# Items that are new or have another text than in the bundle: their vectors are compared one by one in every search.
MAX_TEXTS = 10_000
# Snapshots that are still known when newer ones are there: a request passes through the graph's processes meanwhile.
KEPT_SNAPSHOTS = 8


class LiveCatalog:
    """A `Consumer` of the log that knows the catalogue as it is now, and as it was a moment ago."""

    def __init__(self, bundled: BundledCatalog) -> None:
        """Takes the bundle's catalogue."""
        self._kept: tuple[CatalogSnapshot, ...] = (CatalogSnapshot.of_bundle(bundled),)  # newest last

    @property
    def current(self) -> CatalogSnapshot:
        """The catalogue as it is now."""
        return self._kept[-1]

    def row_at(self, item_id: str, position: int) -> int:
        """See `CatalogSnapshot.row_at`; of the newest catalogue, in which rows are as in all others."""
        return self.current.row_at(item_id, position)

    def at(self, position: int) -> CatalogSnapshot:
        """Returns the catalogue as of a position of the log, exactly, whatever batches this process read.

        Of a position that is not read yet it is the newest, of one before all that is kept the oldest; its `position`
        says so.
        """
        kept = self._kept
        older = kept[0]
        for newer in kept[1:]:
            if newer.position > position:
                between = [logged for logged in newer.entries if logged.position <= position]
                return older.after(between) if between else older
            older = newer
        return older

    def attach(self, state: State, held: int) -> None:
        """See `Consumer`; it needs nothing of the state but the entries."""
        del state, held

    def apply(self, batch: Sequence[Logged]) -> None:
        """See `Consumer`."""
        known = self.current.position
        changes = [
            logged for logged in batch if isinstance(logged.entry, ItemChange | ItemDelete) and logged.position > known
        ]
        if changes:
            self._kept = (*self._kept[1 - KEPT_SNAPSHOTS :], self.current.after(changes))
