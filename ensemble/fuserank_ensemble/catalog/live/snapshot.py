"""The catalogue as of one position of the log: an immutable value, made from the one before it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import msgspec
import numpy as np

from fuserank_ensemble.catalog.filters import Mask
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.catalog.live.columns import patch_columns
from fuserank_ensemble.state.entries import ItemChange, ItemDelete, Logged

Fields = Mapping[str, Any]
_DECODE, _ENCODE = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode


class RecordSource(Protocol):
    """Where the items' own fields are, as JSON objects."""

    def raw(self, row: int) -> bytes:
        """The item's JSON object."""
        ...


@dataclass(frozen=True)
class LiveRecords:
    """The items' own fields, with what changed.

    Attributes:
        bundled: The fields as of the bundle.
        changed: New values by row and field, None where there is none any more.
    """

    bundled: RecordSource
    changed: Mapping[int, Fields] = field(default_factory=dict)

    def raw(self, row: int) -> bytes:
        """See `RecordSource`."""
        stored = self.bundled.raw(row)
        changed = self.changed.get(row)
        if not changed:
            return stored
        merged = {**_DECODE(stored), **changed}
        return _ENCODE({name: value for name, value in merged.items() if value is not None})


@dataclass(frozen=True, eq=False)
class CatalogSnapshot:
    """The catalogue as of one position of the log.

    Attributes:
        items: The arrays, with new values and without what was deleted.
        records: The items' own fields.
        position: Of the newest change in it, 0 for the bundle's own catalogue.
        entries: The changes since the snapshot before it.
    """

    items: Items
    records: LiveRecords
    position: int = 0
    entries: Sequence[Logged] = ()

    @property
    def is_changed(self) -> bool:
        """Whether anything differs from the bundle."""
        return self.position > 0

    def after(self, entries: Sequence[Logged]) -> CatalogSnapshot:
        """Returns the catalogue after more changes; an item that the bundle has not is passed over.

        Args:
            entries: The changes in the order of the log, one at least.
        """
        changed = dict(self.records.changed)
        new_values: defaultdict[str, dict[int, Any]] = defaultdict(dict)
        visible: dict[int, bool] = {}
        for _, entry in entries:
            if not isinstance(entry, ItemChange | ItemDelete):
                continue
            row = self.items.any_row(entry.item_id)
            if row < 0:
                continue
            visible[row] = isinstance(entry, ItemChange)
            if isinstance(entry, ItemChange) and entry.fields:
                changed[row] = {**changed.get(row, {}), **entry.fields}
                for name, value in entry.fields.items():
                    new_values[name][row] = value
        items = self.items.with_columns(patch_columns(self.items.columns, new_values))
        return CatalogSnapshot(
            replace_visible(items, visible), replace(self.records, changed=changed), entries[-1].position, entries
        )


def replace_visible(items: Items, visible: Mapping[int, bool]) -> Items:
    """Returns a catalogue in which some items may be shown or not, by row."""
    before = items.visible
    if before is None and all(visible.values()):
        return items
    mask: Mask = np.ones(len(items), np.bool_) if before is None else before.copy()
    mask[list(visible)] = list(visible.values())
    return items.with_visible(None if mask.all() else mask)
