"""Follows the shop's changes of its items in the log. One thread writes; any thread reads whole snapshots, no locks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from fuserank_ensemble.catalog.live.snapshot import BundledCatalog, CatalogSnapshot
from fuserank_ensemble.state.entries import ItemChange, ItemDelete, Logged
from fuserank_ensemble.state.settings import State

# Items that differ from the bundle. The model `catalog` takes no change of a further one: each costs memory in every
# process, and so many are better in a bundle.
MAX_CHANGED = 100_000
# Items that are new or have another text than in the bundle: their vectors are compared one by one in every search.
MAX_TEXTS = 10_000
# For how long the catalogue as it was is still known exactly: a request passes through the graph's processes meanwhile.
KEPT_SECONDS = 2.0
KEPT_SNAPSHOTS = 8  # of that time at most; what lay between two of them is computed from their entries


class LiveCatalog:
    """A `Consumer` of the log that knows the catalogue as it is now, and as it was a moment ago."""

    def __init__(self, bundled: BundledCatalog) -> None:
        """Takes the bundle's catalogue."""
        self._kept: tuple[CatalogSnapshot, ...] = (CatalogSnapshot.of_bundle(bundled),)  # newest last
        self._taken: tuple[float, ...] = (time.monotonic(),)  # when each was

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
            self._keep(self.current.after(changes))

    def _keep(self, snapshot: CatalogSnapshot) -> None:
        """Adds the newest snapshot; where there are too many, lets go of the oldest, or of one between two others."""
        kept, taken = [*self._kept, snapshot], [*self._taken, time.monotonic()]
        if len(kept) > KEPT_SNAPSHOTS:
            if taken[-1] - taken[1] > KEPT_SECONDS:
                del kept[0], taken[0]
            else:
                # The one whose entries cost least to compute again; the newest and the one before stay as they are.
                at = min(range(1, len(kept) - 2), key=lambda i: len(kept[i].entries) + len(kept[i + 1].entries))
                kept[at + 1] = replace(kept[at + 1], entries=[*kept[at].entries, *kept[at + 1].entries])
                del kept[at], taken[at]
        self._kept, self._taken = tuple(kept), tuple(taken)
