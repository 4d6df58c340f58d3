"""The model `catalog`: takes what the shop changes of its items, and answers when it is durable."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fuserank_ensemble.bundle import SYNONYMS, Bundle
from fuserank_ensemble.catalog.live.overlay import MAX_CHANGED, MAX_TEXTS
from fuserank_ensemble.catalog.live.snapshot import CatalogSnapshot
from fuserank_ensemble.catalog.synonyms import Synonyms
from fuserank_ensemble.catalog.text import render, template_fields
from fuserank_ensemble.contract.changes import ChangeReader, RequestedChange, check_new_item, parse_changes
from fuserank_ensemble.contract.errors import Description, InvalidRequestError
from fuserank_ensemble.graph.live.bundle import LiveBundle
from fuserank_ensemble.graph.live.log_writer import CheckedRow, LogWriter, WrittenRow
from fuserank_ensemble.graph.live.state import NO_KIND, LiveState, open_live
from fuserank_ensemble.graph.step import Host, UnavailableError
from fuserank_ensemble.graph.text_encoder import Call, TextEncoder
from fuserank_ensemble.state.entries import ItemChange, ItemDelete
from fuserank_ensemble.state.log import StateError
from fuserank_ensemble.state.settings import State, StateSettings

# What is changed in part is joined with what the log says so far: how long to wait until this process knows it.
CATCH_UP_SECONDS = 2.0


class CatalogStatus(msgspec.Struct):
    """The `STATUS` of `catalog`."""

    position: int  # send it as `min_position` to read what was written; 0 where nothing was kept
    changed: int
    duplicates: int
    rejected: int
    microseconds: int


class Catalog(LogWriter):
    """Checks changes of items, embeds their texts and appends them to the log; while that is away they are refused."""

    name = "catalog"
    input_name = "CHANGES"
    spool = False  # whether an item may still be changed, the log alone can say

    def __init__(self, bundle: Bundle, settings: StateSettings | None, live: LiveState | None, call: Call) -> None:
        """Opens the step.

        Args:
            bundle: The bundle.
            settings: Where the log is; None where no state is kept.
            live: What the shop changed so far; None where no state is kept.
            call: How to call another model.
        """
        super().__init__(settings)
        spec = bundle.spec
        searched = {*spec.lexical_fields, *spec.code_fields, *template_fields(spec.text_template)}
        fields = frozenset(bundle.manifest["fields"])
        self._reader = ChangeReader(bundle.items.columns.kinds, fields, frozenset(searched & fields))
        self._now = LiveBundle(bundle, live)
        self._layout = TextLayout(spec.text_template, Synonyms.open(bundle.root / "index" / SYNONYMS))
        self._encoder, self._encoder_id = TextEncoder(bundle, call), bundle.encoder_id

    @classmethod
    def open(cls, bundle_root: Path, device: str, host: Host) -> Catalog:
        """See `Model`. Maps the catalogue; always on the CPU."""
        del device
        bundle = Bundle.open(bundle_root, verify=("index/items/", "index/tokenizer", "index/synonyms"))
        step = cls(bundle, host.state(), open_live(bundle, host, kinds=NO_KIND), host.call)
        host.at_close(step.close)
        return step

    def check(self, raw: bytes, state: State) -> CheckedRow:
        """See `LogWriter`."""
        values = parse_changes(raw)
        try:
            self._now.knows(state.log.last_position(), CATCH_UP_SECONDS)
        except StateError as error:
            raise UnavailableError(str(error)) from None
        changes = ChangeBatch(self._reader, self._now.catalog, self._layout)
        row = CheckedRow.of(values, changes.read)
        row.entries = self._embedded(row.entries, changes)
        return row

    def _embedded(self, entries: list[ItemChange | ItemDelete], changes: ChangeBatch) -> list[ItemChange | ItemDelete]:
        """Returns the entries with the vectors of the texts that changed; of an item that changes twice the last."""
        places = list(changes.texts)
        vectors = self._encoder.embed([changes.texts[place] for place in places]).astype(np.float16)
        for place, vector in zip(places, vectors, strict=True):
            entries[place] = msgspec.structs.replace(entries[place], vector=vector.tobytes(), encoder=self._encoder_id)
        return entries

    def status(self, row: CheckedRow, written: WrittenRow) -> CatalogStatus:
        """See `LogWriter`."""
        del row
        return CatalogStatus(written.position, written.new, written.duplicates, written.rejected, written.microseconds)


class TextLayout:
    """Lays out an item's text as the export does."""

    def __init__(self, template: str, synonyms: Synonyms) -> None:
        self._template, self._synonyms = template, synonyms

    def text(self, fields: dict[str, Any]) -> str:
        """The text that is embedded for an item with these fields."""
        return render(self._template, self._synonyms.replace_in(fields))


class ChangeBatch:
    """Checks the changes of one request, each as what it changes after those before it.

    Attributes:
        texts: The text to embed for each entry that gives its item another one, by the entry's place.
    """

    def __init__(self, reader: ChangeReader, catalog: CatalogSnapshot, layout: TextLayout) -> None:
        """Takes what checks a change alone, the catalogue before all of them, and how texts are laid out."""
        self._reader, self._catalog, self._layout = reader, catalog, layout
        self._changed: dict[str, dict[str, Any]] = {}  # fields of the items that this request changes
        self._room = MAX_CHANGED - len(catalog.records.changed)
        self._embedded: set[str] = set()  # items that get a text of their own by this request
        self._entries = 0
        self.texts: dict[int, str] = {}

    def read(self, value: object) -> ItemChange | ItemDelete:
        """Returns a change as the log keeps it.

        Raises:
            InvalidRequestError: Where it cannot be taken.
        """
        change = self._reader.read(value)
        item_id, before = change.item_id, self._fields(change.item_id)
        if before is None:
            check_new_item(change)
        if change.delete:
            self._entries += 1
            return ItemDelete(event_id=change.change_id, item_id=item_id)
        room = self._room - self._check_room(change, before is None)
        merged = {**(before or {"item_id": item_id}), **change.fields}
        after = {name: held for name, held in merged.items() if held is not None}
        text = self._layout.text(after)
        if before is None or text != self._layout.text(before):
            self._take_text(item_id)
            self.texts[self._entries] = text
        self._changed[item_id], self._room = after, room
        self._entries += 1
        return ItemChange(event_id=change.change_id, item_id=item_id, fields=change.fields, changed_at=time.time())

    def _fields(self, item_id: str) -> dict[str, Any] | None:
        """An item's fields at present; None for one that the catalogue has not."""
        if item_id in self._changed:
            return self._changed[item_id]
        row = self._catalog.items.any_row(item_id)
        return self._catalog.records.fields(row) if row >= 0 else None

    def _check_room(self, change: RequestedChange, is_new: bool) -> int:
        """Returns how many further items a change makes differ from the bundle.

        Raises:
            InvalidRequestError: Where there is no room.
        """
        known = not is_new and self._catalog.items.any_row(change.item_id) in self._catalog.records.changed
        if known or change.item_id in self._changed:
            return 0
        if self._room <= 0:
            found = Description(f"{MAX_CHANGED:,} items that differ from the bundle")
            raise InvalidRequestError("item_id", found, "changes of these, and deletions, until the next export")
        return 1

    def _take_text(self, item_id: str) -> None:
        """Notes that an item has a text of its own now.

        Raises:
            InvalidRequestError: Where there is no room for its vector.
        """
        catalog = self._catalog
        row = catalog.items.any_row(item_id)
        if row >= 0 and catalog.items.text[row] >= len(catalog.vectors.bundled):
            return
        if len(catalog.vectors.rows) + len(self._embedded - {item_id}) >= MAX_TEXTS:
            found = Description(f"{MAX_TEXTS:,} items that are new or have other texts")
            raise InvalidRequestError("item_id", found, "other values, such as prices, until the next export")
        self._embedded.add(item_id)
