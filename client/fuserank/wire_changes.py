"""Encodes requests of `catalog` as tensors, and decodes their responses.

`CHANGES` BYTES `[B, 1]` is a JSON list; it answers with `RESULT`, a JSON list, and `STATUS`, a JSON object.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from fuserank.changes import CatalogResult, ChangeOutcome
from fuserank.events import FieldError
from fuserank.wire import Response, decode_output, encode_values, from_known_keys

_NAMES = ("change_id", "item_id")


def encode_upserts(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the arguments of tritonclient's `infer` for items with other values, see `Client.upsert`.

    Raises:
        InvalidRequestError: Where a value has no JSON form. The server checks all else.
    """
    changes = [_to_change(item) if isinstance(item, Mapping) else item for item in items]
    return encode_values("catalog", "CHANGES", changes)


def encode_deletes(item_ids: Sequence[str]) -> dict[str, Any]:
    """Returns the arguments of tritonclient's `infer` for items that go; errors as for `encode_upserts`."""
    changes = [{"change_id": uuid.uuid4().hex, "item_id": item_id, "delete": True} for item_id in item_ids]
    return encode_values("catalog", "CHANGES", changes)


def encode_changes(changes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the arguments of tritonclient's `infer` for changes and deletions; errors as for `encode_upserts`."""
    named = [{"change_id": uuid.uuid4().hex, **change} if isinstance(change, Mapping) else change for change in changes]
    return encode_values("catalog", "CHANGES", named)


def decode_catalog(response: Response) -> CatalogResult:
    """Decodes what became of a batch.

    Raises:
        IncompatibleServerError: Where an output is missing or not as expected.
    """
    status = decode_output(response, "STATUS")
    outcomes = tuple(
        ChangeOutcome(
            outcome.get("position"),
            bool(outcome.get("duplicate")),
            from_known_keys(FieldError, outcome["error"]) if outcome.get("error") else None,
        )
        for outcome in decode_output(response, "RESULT", list)
    )
    return from_known_keys(CatalogResult, {**status, "changes": outcomes})


def _to_change(item: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: value for name, value in item.items() if name not in _NAMES}
    named = {name: item[name] for name in _NAMES if name in item}
    # A call that is repeated repeats the id: the change counts once.
    return {"change_id": uuid.uuid4().hex, **named, "fields": fields}
