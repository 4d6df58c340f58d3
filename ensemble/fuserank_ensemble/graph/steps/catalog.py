"""The model `catalog`: takes what the shop changes of its items, and answers when it is durable."""

from __future__ import annotations

from pathlib import Path

import msgspec

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.catalog.live.overlay import MAX_CHANGED
from fuserank_ensemble.catalog.live.snapshot import CatalogSnapshot
from fuserank_ensemble.catalog.text import template_fields
from fuserank_ensemble.contract.changes import ChangeReader, RequestedChange, parse_changes
from fuserank_ensemble.contract.errors import Description, InvalidRequestError
from fuserank_ensemble.graph.live import NO_KIND, CatalogReader, LiveState, open_live
from fuserank_ensemble.graph.log_writer import CheckedRow, LogWriter, WrittenRow
from fuserank_ensemble.graph.step import Host
from fuserank_ensemble.state.entries import ItemChange, ItemDelete
from fuserank_ensemble.state.settings import State, StateSettings


class CatalogStatus(msgspec.Struct):
    """The `STATUS` of `catalog`."""

    position: int  # send it as `min_position` to read what was written; 0 where nothing was kept
    changed: int
    duplicates: int
    rejected: int
    microseconds: int


class Catalog(LogWriter):
    """Checks changes of items and appends them to the log; while that is away they are refused."""

    name = "catalog"
    input_name = "CHANGES"
    spool = False  # whether an item may still be changed, the log alone can say

    def __init__(self, bundle: Bundle, settings: StateSettings | None, live: LiveState | None) -> None:
        """Opens the step.

        Args:
            bundle: The bundle.
            settings: Where the log is; None where no state is kept.
            live: What the shop changed so far; None where no state is kept.
        """
        super().__init__(settings)
        spec = bundle.spec
        searched = {*spec.lexical_fields, *spec.code_fields, *template_fields(spec.text_template)}
        fields = frozenset(bundle.manifest["fields"])
        self._reader = ChangeReader(bundle.items.columns.kinds, fields, frozenset(searched & fields))
        self._catalog = CatalogReader(bundle, live)

    @classmethod
    def open(cls, bundle_root: Path, device: str, host: Host) -> Catalog:
        """See `Model`. Maps the catalogue; always on the CPU."""
        del device
        bundle = Bundle.open(bundle_root, verify=("index/items/",))
        step = cls(bundle, host.state(), open_live(bundle, host, kinds=NO_KIND))
        host.at_close(step.close)
        return step

    def check(self, raw: bytes, state: State) -> CheckedRow:
        """See `LogWriter`."""
        del state
        catalog = self._catalog.current
        room = MAX_CHANGED - len(catalog.records.changed)

        def read(value: object) -> ItemChange | ItemDelete:
            nonlocal room
            change = self._reader.read(value)
            room -= _check_item(change, catalog, room)
            return to_entry(change)

        return CheckedRow.of(parse_changes(raw), read)

    def status(self, row: CheckedRow, written: WrittenRow) -> CatalogStatus:
        """See `LogWriter`."""
        del row
        return CatalogStatus(written.position, written.new, written.duplicates, written.rejected, written.microseconds)


def _check_item(change: RequestedChange, catalog: CatalogSnapshot, room: int) -> int:
    """Returns how many further items a change makes differ from the bundle.

    Raises:
        InvalidRequestError: Where the catalogue has not the item, or there is no room.
    """
    row = catalog.items.any_row(change.item_id)
    if row < 0:
        raise InvalidRequestError("item_id", change.item_id, "an item of the bundle, until the next export")
    if change.delete or row in catalog.records.changed:
        return 0
    if room <= 0:
        found = Description(f"{MAX_CHANGED:,} items that differ from the bundle")
        raise InvalidRequestError("item_id", found, "changes of these, and deletions, until the next export")
    return 1


def to_entry(change: RequestedChange) -> ItemChange | ItemDelete:
    """Returns a change as the log keeps it."""
    if change.delete:
        return ItemDelete(event_id=change.change_id, item_id=change.item_id)
    return ItemChange(event_id=change.change_id, item_id=change.item_id, fields=change.fields)
