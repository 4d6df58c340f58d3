"""The catalogue of the next bundle: the last one's records with what the log says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.catalog.text import template_fields
from fuserank_export.index.records import LazyRecords, Record
from fuserank_export.index.shop import bundle_records
from fuserank_export.refresh.log_part import ItemState
from fuserank_export.sources.catalog import Catalog, catalog_of_records


@dataclass(frozen=True)
class ChangedCatalog:
    """A catalogue, and how it differs from the last bundle's.

    Attributes:
        catalog: The catalogue.
        records: Its items' records, in the order of its rows.
        reworded: Whether the words or codes of any item may differ, or items came and went.
        retexted: Ids of the items whose text may be another one, new ones among them.
        changed: How many items of the last bundle have other values.
        added: How many are new.
        deleted: How many are gone.
        untitled: How many new ones had no title, and are left out.
    """

    catalog: Catalog
    records: LazyRecords
    reworded: bool
    retexted: frozenset[str]
    changed: int
    added: int
    deleted: int
    untitled: int


def change_catalog(bundle: Bundle, items: Mapping[str, ItemState]) -> ChangedCatalog:
    """Returns a bundle's catalogue as the log leaves it."""
    of_text = template_fields(bundle.spec.text_template)
    of_words = {*bundle.spec.lexical_fields, *bundle.spec.code_fields, "title"}
    reworded = False
    kept: list[Record] = []
    retexted: set[str] = set()
    known: set[str] = set()
    changed = deleted = 0
    for record in bundle_records(bundle):
        state = items.get(record["item_id"])
        if state is None:
            kept.append(record)
            continue
        known.add(record["item_id"])
        if state.deleted:
            deleted += 1
            continue
        changed += 1
        reworded = reworded or bool(of_words & state.fields.keys())
        kept.append(_merged(record, state.fields))
        if of_text & state.fields.keys():
            retexted.add(record["item_id"])
    new = {item_id: state for item_id, state in items.items() if item_id not in known and not state.deleted}
    titled = [
        _merged({"item_id": item_id}, state.fields) for item_id, state in new.items() if state.fields.get("title")
    ]
    retexted.update(record["item_id"] for record in titled)
    records = sorted([*kept, *titled], key=itemgetter("item_id"))
    return ChangedCatalog(
        catalog_of_records(records, f"{bundle.id} and the log"),
        LazyRecords(len(records), lambda rows: records[rows.start : rows.stop : rows.step]),
        reworded or deleted > 0 or len(titled) > 0,
        frozenset(retexted),
        changed,
        len(titled),
        deleted,
        len(new) - len(titled),
    )


def _merged(record: Record, fields: Mapping[str, Any]) -> Record:
    return {name: value for name, value in {**record, **fields}.items() if value is not None}
