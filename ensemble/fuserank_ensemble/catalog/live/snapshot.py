"""The catalogue as of one position of the log: an immutable value, made from the one before it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.arrays import GrownRows
from fuserank_ensemble.catalog.filters import Mask
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.catalog.live.columns import patch_columns
from fuserank_ensemble.state.entries import ItemChange, ItemDelete, Logged

Fields = Mapping[str, Any]
CREATED = "created_at"
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
        items: How many items the bundle has.
        changed: New values by row and field, None where there is none any more; of a new item all its fields.
    """

    bundled: RecordSource
    items: int
    changed: Mapping[int, Fields] = field(default_factory=dict)

    def raw(self, row: int) -> bytes:
        """See `RecordSource`."""
        stored = self.bundled.raw(row) if row < self.items else b"{}"
        changed = self.changed.get(row)
        if not changed:
            return stored
        merged = {**_DECODE(stored), **changed}
        return _ENCODE({name: value for name, value in merged.items() if value is not None})

    def fields(self, row: int) -> dict[str, Any]:
        """The item's fields without the missing ones."""
        record: dict[str, Any] = _DECODE(self.raw(row))
        return record

    def named(self, row: int, names: Iterable[str]) -> dict[str, Any]:
        """Those of the item's fields that are named, in that order."""
        record = self.fields(row)
        return {name: record[name] for name in names if name in record}


class TextVectors(GrownRows):
    """Vectors of the bundle's texts, and behind them one for each item that is new or has another text now.

    Attributes:
        rows: The row of each such item, in the order in which they came, int32 `[added]`.
    """

    def __init__(self, bundled: NDArray[Any], added: NDArray[np.float32], rows: NDArray[np.int32]) -> None:
        """Joins vectors `[texts, dim]`, fp16 or float32, and `[added, dim]`, which are rounded to fp16 as those are."""
        super().__init__(bundled, added)
        self.rows = rows

    @classmethod
    def of_bundle(cls, vectors: NDArray[Any]) -> TextVectors:
        """The vectors of a bundle of which nothing changed."""
        return cls(vectors, np.empty((0, vectors.shape[1]), np.float32), np.empty(0, np.int32))

    def with_vectors(self, text: NDArray[np.int32], vectors: Mapping[int, bytes]) -> TextVectors:
        """Returns these with other vectors of some items.

        Args:
            text: The items' texts, int32 `[items]`.
            vectors: fp16 vectors as bytes, by row.
        """
        slots = {row: int(text[row]) - len(self.bundled) for row in vectors}
        new = [row for row, slot in slots.items() if slot < 0]
        added = np.concatenate([self.added, np.zeros((len(new), self.added.shape[1]), np.float32)])
        slots.update(zip(new, range(len(self.added), len(added)), strict=True))
        for row, vector in vectors.items():
            added[slots[row]] = np.frombuffer(vector, np.float16)
        return TextVectors(self.bundled, added, np.append(self.rows, np.asarray(new, np.int32)))


@dataclass(frozen=True)
class BundledCatalog:
    """A bundle's catalogue, of which snapshots are made.

    Attributes:
        items: The arrays.
        records: The items' own fields.
        vectors: Text vectors, fp16 `[texts, dim]`.
        encoder: What made them, see `Bundle.encoder_id`: a vector of another one is not used.
        latest: The latest moment that requests are asked at, epoch seconds: what comes later came then.
    """

    items: Items
    records: RecordSource
    vectors: NDArray[Any]
    encoder: str = ""
    latest: float = math.inf


@dataclass(frozen=True, eq=False)
class CatalogSnapshot:
    """The catalogue as of one position of the log.

    Attributes:
        bundled: The catalogue of the bundle.
        items: The arrays, with new values and new items, and without what was deleted.
        records: The items' own fields.
        vectors: The texts' vectors.
        arrived: When each new item came, epoch seconds, float64 `[added items]`.
        born: The position at which each new item came, int64 `[added items]`.
        position: Of the newest change in it, 0 for the bundle's own catalogue.
        entries: The changes since the snapshot before it.
    """

    bundled: BundledCatalog
    items: Items
    records: LiveRecords
    vectors: TextVectors
    arrived: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    born: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    position: int = 0
    entries: Sequence[Logged] = ()

    @classmethod
    def of_bundle(cls, bundled: BundledCatalog) -> CatalogSnapshot:
        """The catalogue before any change."""
        items = bundled.items
        return cls(bundled, items, LiveRecords(bundled.records, len(items)), TextVectors.of_bundle(bundled.vectors))

    @property
    def is_changed(self) -> bool:
        """Whether anything differs from the bundle."""
        return self.position > 0

    def row_at(self, item_id: str, position: int) -> int:
        """Row of an item whether or not it may be shown, -1 where the log had not named it yet at a position."""
        row = self.items.any_row(item_id)
        added = row - len(self.items.ids)
        return -1 if added >= 0 and self.born[added] > position else row

    def changed_rows(self, fields: Collection[str]) -> list[int]:
        """Rows of the items that are new since the snapshot before, or of which one of some fields changed."""
        rows = [
            self.items.any_row(entry.item_id)
            for _, entry in self.entries
            if isinstance(entry, ItemChange) and (entry.vector or any(name in fields for name in entry.fields))
        ]
        return [row for row in dict.fromkeys(rows) if row >= 0]

    def after(self, entries: Sequence[Logged]) -> CatalogSnapshot:
        """Returns the catalogue after more changes; of an item that the log does not describe they are passed over.

        Args:
            entries: The changes in the order of the log, one at least.
        """
        changes = _Changes(self)
        for logged in entries:
            changes.add(logged)
        return changes.apply(entries)


class _Changes:
    """What some entries change of a snapshot."""

    def __init__(self, before: CatalogSnapshot) -> None:
        self._before = before
        self._records = dict(before.records.changed)
        self._values: defaultdict[str, dict[int, Any]] = defaultdict(dict)
        self._visible: dict[int, bool] = {}
        self._vectors: dict[int, bytes] = {}
        self._new: dict[str, tuple[int, float, int]] = {}  # row, when it came, and at which position

    def add(self, logged: Logged) -> None:
        """Takes one entry."""
        position, entry = logged
        if not isinstance(entry, ItemChange | ItemDelete):
            return
        row = self._row(entry, position)
        if row < 0:
            return
        self._visible[row] = isinstance(entry, ItemChange)
        if not isinstance(entry, ItemChange):
            return
        if entry.fields:
            self._records[row] = {**self._records.get(row, {}), **entry.fields}
            for name, value in entry.fields.items():
                self._values[name][row] = value
        if self._is_readable(entry):
            self._vectors[row] = entry.vector

    def _row(self, entry: ItemChange | ItemDelete, position: int) -> int:
        """The row of the entry's item, a new one where the entry describes one; -1 where there is none."""
        row = self._before.items.any_row(entry.item_id)
        if row >= 0 or entry.item_id in self._new:
            return row if row >= 0 else self._new[entry.item_id][0]
        if not isinstance(entry, ItemChange) or not entry.vector:
            return -1
        row = len(self._before.items) + len(self._new)
        created = entry.fields.get(CREATED)
        came = float(created) if isinstance(created, int | float) else entry.changed_at
        self._new[entry.item_id] = (row, min(came, self._before.bundled.latest), position)
        self._records[row] = {"item_id": entry.item_id}
        if not self._is_readable(entry):  # by its words alone, then
            self._vectors[row] = bytes(2 * self._before.vectors.added.shape[1])
        return row

    def _is_readable(self, entry: ItemChange) -> bool:
        """Whether an entry has a vector that compares with the bundle's."""
        return bool(entry.vector) and entry.encoder == self._before.bundled.encoder

    def apply(self, entries: Sequence[Logged]) -> CatalogSnapshot:
        """Returns the snapshot with all that was taken."""
        before, items, vectors = self._before, self._before.items, self._before.vectors
        new = list(self._new.values())
        if new:
            items = items.grown(list(self._new))
        items = items.with_columns(patch_columns(items.columns, self._values))
        if self._vectors:
            vectors = vectors.with_vectors(items.text, self._vectors)
            text = items.text.copy()
            text[vectors.rows] = len(vectors.bundled) + np.arange(len(vectors.rows), dtype=np.int32)
            items = items.with_text(text)
        return CatalogSnapshot(
            before.bundled,
            replace_visible(items, self._visible),
            replace(before.records, changed=self._records),
            vectors,
            np.append(before.arrived, [came for _, came, _ in new]),
            np.append(before.born, np.asarray([position for _, _, position in new], np.int64)),
            entries[-1].position,
            entries,
        )


def replace_visible(items: Items, visible: Mapping[int, bool]) -> Items:
    """Returns a catalogue in which some items may be shown or not, by row."""
    before = items.visible
    if before is None and all(visible.values()):
        return items
    mask: Mask = np.ones(len(items), np.bool_) if before is None else before.copy()
    mask[list(visible)] = list(visible.values())
    return items.with_visible(None if mask.all() else mask)
