"""The catalogue as arrays, by item row; strings are only in ids, words and records."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.arrays import find_row, map_array, release_pages
from fuserank_ensemble.catalog.filters import CATEGORY_SEPARATOR, Column, Columns, Mask
from fuserank_ensemble.contract.identity import clean_identity

_OF_IDS_AND_TEXTS = ("by_text", "_by_product", "_added_ids")  # what is computed once whatever values the items have


@dataclass(frozen=True)
class Items:
    """A catalogue of `items` items whose row is the position of its id in sorted order; later ones stand behind.

    Attributes:
        ids: Sorted ids of the bundle's items, bytes `[bundled items]`.
        text: Row of the item's text vector, int32 `[items]`: items with equal texts share one.
        columns: The filterable fields.
        product: Code of the item's product, int32 `[items]`: packages and sizes of one product share it. None where
            every item is a product of its own.
        visible: Which items may be shown at all, bool `[items]`; None where all may.
        added: Rows of the items that came since the bundle, by id as `clean_identity` spells it, in their order.
    """

    ids: NDArray[np.bytes_]
    text: NDArray[np.int32]
    columns: Columns
    product: NDArray[np.int32] | None = None
    visible: Mask | None = None
    added: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.text)

    def id_of(self, row: int) -> bytes:
        """An item's id."""
        return bytes(self.ids[row]) if row < len(self.ids) else self._added_ids[row - len(self.ids)]

    @cached_property
    def _added_ids(self) -> tuple[bytes, ...]:
        return tuple(item_id.encode() for item_id in self.added)

    def row(self, item_id: str) -> int:
        """Row of an item, or -1; also of one that may not be shown."""
        row = self.any_row(item_id)
        return row if self.visible is None or row < 0 or self.visible[row] else -1

    def any_row(self, item_id: str) -> int:
        """Row of an item whether or not it may be shown, or -1."""
        row = find_row(self.ids, item_id)
        return row if row >= 0 or not self.added else self.added.get(clean_identity(item_id), -1)

    def row_at(self, item_id: str, position: int) -> int:
        """See `interactions.live.person.ItemRows`: these are the same at every position of the log."""
        del position
        return self.any_row(item_id)

    def grown(self, item_ids: Sequence[str]) -> Items:
        """The same items with more behind them, of which nothing is known yet, not even a text (-1).

        Args:
            item_ids: Their ids as `clean_identity` spells them, none of which is there.
        """
        count, rows = len(item_ids), range(len(self), len(self) + len(item_ids))
        products = None
        if self.product is not None:  # each is a product of its own until the next export
            products = np.append(self.product, np.int32(self.product.max(initial=-1) + 1) + np.arange(count))
        return Items(
            self.ids,
            np.append(self.text, np.full(count, -1, np.int32)),
            self.columns.grown(count),
            None if products is None else products.astype(np.int32),
            None if self.visible is None else np.append(self.visible, np.ones(count, np.bool_)),
            {**self.added, **dict(zip(item_ids, rows, strict=True))},
        )

    def with_text(self, text: NDArray[np.int32]) -> Items:
        """The same items with other texts, int32 `[items]`."""
        return replace(self, text=text)

    def with_columns(self, columns: Columns) -> Items:
        """The same items with other values."""
        return self if columns is self.columns else self._with(columns=columns)

    def with_visible(self, visible: Mask | None) -> Items:
        """The same items, of which others may be shown."""
        return self._with(visible=visible)

    def _with(self, **changes: Any) -> Items:
        other = replace(self, **changes)
        computed = {name: value for name, value in vars(self).items() if name not in self.__dataclass_fields__}
        kept = _OF_IDS_AND_TEXTS if "columns" in changes else computed
        vars(other).update({name: computed[name] for name in kept if name in computed})
        return other

    @cached_property
    def log_price(self) -> NDArray[np.float32]:
        """log(1 + price) `[items]`, NaN where unknown."""
        column = self.columns.by_name.get("price")
        if column is None or column.kind != "number":
            return np.full(len(self), np.nan, np.float32)
        prices: NDArray[np.float32] = np.log1p(column.values).astype(np.float32)
        return prices

    def without_values(self, names: Iterable[str], rows: NDArray[np.bool_]) -> Items:
        """The same catalogue, some columns of some items unknown; `rows` is bool `[items]`.

        Columns that the catalogue has not are passed over, and so is a price that is no number.
        """
        hidden = {
            name: self.columns.by_name[name].without(rows)
            for name in names
            if name in self.columns.by_name and (name != "price" or self.columns.by_name[name].kind == "number")
        }
        if not hidden:
            return self
        return replace(self, columns=Columns(len(self), {**self.columns.by_name, **hidden}))

    @cached_property
    def category(self) -> NDArray[np.int32]:
        """Code of the full category path `[items]`, -1 where missing."""
        return self._codes("category")

    @cached_property
    def department(self) -> NDArray[np.int32]:
        """Code of the first level of the category path `[items]`, -1 where missing, and where paths have one level."""
        paths = self.columns.by_name["category"].words if self.categories else []
        tops = [path.split(CATEGORY_SEPARATOR, 1)[0] for path in paths]
        codes = {top: code for code, top in enumerate(dict.fromkeys(tops))}
        if len(codes) == len(paths):
            return np.full(len(self), -1, np.int32)
        of_category = np.asarray([*(codes[top] for top in tops), -1], np.int32)
        return of_category[self.category]

    @cached_property
    def brand(self) -> NDArray[np.int32]:
        """Code of the brand `[items]`, -1 where missing."""
        return self._codes("brand")

    @property
    def categories(self) -> int:
        """How many distinct categories there are."""
        return self._distinct("category")

    @property
    def brands(self) -> int:
        """How many distinct brands there are."""
        return self._distinct("brand")

    def _codes(self, name: str) -> NDArray[np.int32]:
        column = self.columns.by_name.get(name)
        if column is None or column.kind not in ("keyword", "category"):
            return np.full(len(self), -1, np.int32)
        return column.values

    def _distinct(self, name: str) -> int:
        column = self.columns.by_name.get(name)
        return len(column.words) if column is not None else 0

    @cached_property
    def by_text(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Items grouped by text: offsets `[texts + 1]` and item rows `[items]`."""
        order = np.argsort(self.text, kind="stable").astype(np.int32)
        texts = int(self.text.max(initial=-1)) + 1
        return np.searchsorted(self.text[order], np.arange(texts + 1)).astype(np.int64), order

    def of_same_products(self, rows: NDArray[np.int32]) -> NDArray[np.int32]:
        """Returns the rows of all items of some items' products, those items among them, without repeats."""
        if self.product is None or not len(rows):
            return rows
        offsets, members = self._by_product
        products = np.unique(self.product[rows])
        start, counts = offsets[products], offsets[products + 1] - offsets[products]
        positions = np.repeat(start - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
        return members[positions]

    @cached_property
    def _by_product(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Items grouped by product: offsets `[products + 1]` and item rows `[items]`."""
        assert self.product is not None
        order = np.argsort(self.product, kind="stable").astype(np.int32)
        products = int(self.product.max(initial=-1)) + 1
        return np.searchsorted(self.product[order], np.arange(products + 1)).astype(np.int64), order

    def save(self, folder: Path) -> None:
        """Writes the catalogue's arrays."""
        (folder / "columns").mkdir(parents=True)
        np.save(folder / "ids.npy", self.ids)
        np.save(folder / "text.npy", self.text)
        product = np.arange(len(self), dtype=np.int32) if self.product is None else self.product
        np.save(folder / "product.npy", product)
        schema = {}
        for position, (name, column) in enumerate(self.columns.by_name.items()):
            # Files are numbered: a field's name may hold anything, a file's name may not.
            np.save(folder / "columns" / f"{position}.npy", column.values)
            if column.owners is not None:
                np.save(folder / "columns" / f"{position}.owners.npy", column.owners)
            schema[name] = {"kind": column.kind, "words": column.words}
        (folder / "columns.json").write_text(json.dumps(schema, ensure_ascii=False), "utf-8")

    @classmethod
    def open(cls, folder: Path) -> Items:
        """Maps the catalogue's arrays; words are read."""
        ids = map_array(folder / "ids.npy")
        columns = {}
        for position, (name, entry) in enumerate(json.loads((folder / "columns.json").read_text("utf-8")).items()):
            owners = folder / "columns" / f"{position}.owners.npy"
            columns[name] = Column(
                entry["kind"],
                map_array(folder / "columns" / f"{position}.npy"),
                entry["words"],
                map_array(owners) if owners.exists() else None,
            )
        text, product = (map_array(folder / f"{name}.npy") for name in ("text", "product"))
        return cls(ids, text, Columns(len(ids), columns), product)


class Records:
    """The items' own fields, one JSON object a line, mapped: a reply reads only the lines it returns."""

    def __init__(self, folder: Path) -> None:
        self._blob = np.memmap(folder / "records.jsonl", np.uint8, "r")
        self._offsets = map_array(folder / "records.offsets.npy")

    def raw(self, row: int) -> bytes:
        """The item's JSON object."""
        return self._blob[self._offsets[row] : self._offsets[row + 1]].tobytes()

    def release(self) -> None:
        """Takes what was read out of this process's memory."""
        release_pages(self._blob)

    @staticmethod
    def save(folder: Path, records: Iterable[Mapping[str, Any]]) -> None:
        """Writes the records in the order of the items' rows; missing fields are left out."""
        offsets = array("q", [0])
        with (folder / "records.jsonl").open("wb") as stream:
            for record in records:
                line = json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n"
                offsets.append(offsets[-1] + stream.write(line))
        np.save(folder / "records.offsets.npy", np.asarray(offsets, np.int64))
