"""The model `catalog`: takes what the shop changes of its items, and answers when it is durable."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.catalog.live.overlay import MAX_CHANGED
from fuserank_ensemble.catalog.live.snapshot import CatalogSnapshot
from fuserank_ensemble.catalog.text import template_fields
from fuserank_ensemble.contract.changes import ChangeReader, RequestedChange, parse_changes
from fuserank_ensemble.contract.errors import Description, InvalidRequestError, format_value
from fuserank_ensemble.graph.live import NO_KIND, CatalogReader, LiveState, open_live
from fuserank_ensemble.graph.step import Host, UnavailableError
from fuserank_ensemble.graph.steps.record import FieldError, StateHolder
from fuserank_ensemble.graph.tensors import Tensors, string_tensor
from fuserank_ensemble.state.entries import ItemChange, ItemDelete
from fuserank_ensemble.state.log import Appended, StateUnavailableError
from fuserank_ensemble.state.settings import StateSettings


class ChangeAnswer(msgspec.Struct, omit_defaults=True):
    """What became of one change: its position, or its error."""

    position: int | None = None
    duplicate: bool = False
    error: FieldError | None = None


class CatalogStatus(msgspec.Struct):
    """The `STATUS` of `catalog`."""

    position: int  # send it as `min_position` to read what was written; 0 where nothing was kept
    changed: int
    duplicates: int
    rejected: int
    microseconds: int


@dataclass
class _Row:
    """One row of a request.

    Attributes:
        answers: For each change of it its error; None where it goes into the log.
        entries: Those that do.
    """

    answers: list[ChangeAnswer | None]
    entries: list[ItemChange | ItemDelete]


class Catalog:
    """Checks changes of items and appends them to the log: all requests of a batch in one commit."""

    name = "catalog"

    def __init__(self, bundle: Bundle, settings: StateSettings | None, live: LiveState | None) -> None:
        """Opens the step.

        Args:
            bundle: The bundle.
            settings: Where the log is; None where no state is kept.
            live: What the shop changed so far; None where no state is kept.
        """
        spec = bundle.spec
        searched = {*spec.lexical_fields, *spec.code_fields, *template_fields(spec.text_template)}
        fields = frozenset(bundle.manifest["fields"])
        self._reader = ChangeReader(bundle.items.columns.kinds, fields, frozenset(searched & fields))
        self._catalog = CatalogReader(bundle, live)
        self._state = StateHolder(settings)
        self._encode = msgspec.json.Encoder().encode

    @classmethod
    def open(cls, bundle_root: Path, device: str, host: Host) -> Catalog:
        """See `Model`. Maps the catalogue; always on the CPU."""
        del device
        bundle = Bundle.open(bundle_root, verify=("index/items/",))
        return cls(bundle, host.state(), open_live(bundle, host, kinds=NO_KIND))

    def execute(self, requests: Sequence[Tensors]) -> list[Tensors | InvalidRequestError]:
        """See `Step`.

        Raises:
            UnsupportedError: Where no state is kept.
            UnavailableError: Where the log does not answer or has no room; nothing of the batch was kept.
        """
        started = time.monotonic_ns()
        state = self._state.get()
        parsed = [self._parsed(tensors) for tensors in requests]
        rows = [row for of_request in parsed if isinstance(of_request, list) for row in of_request]
        entries = [entry for row in rows for entry in row.entries]
        try:
            appended = iter(state.log.append(entries) if entries else [])
        except StateUnavailableError as error:
            raise UnavailableError(str(error)) from None
        out: list[Tensors | InvalidRequestError] = []
        for of_request in parsed:
            if isinstance(of_request, InvalidRequestError):
                out.append(of_request)
                continue
            answered = [_answer(row, [next(appended) for _ in row.entries], started) for row in of_request]
            results, statuses = zip(*answered, strict=True)
            out.append(
                {
                    "RESULT": string_tensor([[self._encode(result)] for result in results]),
                    "STATUS": string_tensor([[self._encode(status)] for status in statuses]),
                }
            )
        return out

    def _parsed(self, tensors: Tensors) -> list[_Row] | InvalidRequestError:
        try:
            return [self._row(raw) for raw in tensors["CHANGES"][:, 0]]
        except InvalidRequestError as error:
            return error

    def _row(self, raw: bytes) -> _Row:
        row, catalog = _Row([], []), self._catalog.current
        room = MAX_CHANGED - len(catalog.records.changed)
        for value in parse_changes(raw):
            try:
                change = self._reader.read(value)
                room -= _check_item(change, catalog, room)
                row.entries.append(to_entry(change))
                row.answers.append(None)
            except InvalidRequestError as error:
                described = FieldError(error.field, format_value(error.found), error.allowed)
                row.answers.append(ChangeAnswer(error=described))
        return row


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


def _answer(row: _Row, appended: Sequence[Appended], started: int) -> tuple[list[ChangeAnswer], CatalogStatus]:
    places = iter(appended)
    answers = [answer or ChangeAnswer(*next(places)) for answer in row.answers]
    duplicates = sum(place.duplicate for place in appended)
    return answers, CatalogStatus(
        position=max((place.position for place in appended), default=0),
        changed=len(appended) - duplicates,
        duplicates=duplicates,
        rejected=len(answers) - len(appended),
        microseconds=(time.monotonic_ns() - started) // 1_000,
    )
