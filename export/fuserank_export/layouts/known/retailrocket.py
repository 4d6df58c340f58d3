"""RetailRocket's data set: a log of events, and properties of items that changed over time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from fuserank_export.layouts.layout import Layout
from fuserank_export.layouts.mapping import FileMapping, LogMapping, find_name
from fuserank_export.layouts.variants import to_frame

EVENTS = {"view": "view", "addtocart": "cart", "transaction": "purchase"}


def _prepare(chunks: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Makes a row of each item, with its last value of each property in a column of the property's name."""
    items: dict[str, dict[str, tuple[float, Any]]] = {}
    lines: dict[str, int] = {}
    for chunk in chunks:
        names = {
            name: find_name(map(str, chunk.columns), name) for name in ("itemid", "property", "value", "timestamp")
        }
        columns = [chunk[names[name]].tolist() if names[name] else [None] * len(chunk) for name in names]
        for line, item, name, value, moment in zip(chunk.index.tolist(), *columns, strict=True):
            lines.setdefault(str(item), line)
            known = items.setdefault(str(item), {})
            when = _number(moment)
            if str(name) not in known or when >= known[str(name)][0]:
                known[str(name)] = (when, value)
    rows = [{"itemid": item, **{name: value for name, (_, value) in known.items()}} for item, known in items.items()]
    yield to_frame(rows, [lines[item] for item in items], ["itemid"])


def _number(moment: Any) -> float:
    try:
        return float(moment)
    except (TypeError, ValueError):
        return 0.0


LAYOUTS = (
    Layout(
        name="retailrocket",
        title="RetailRocket's events",
        kind="interactions",
        signatures=(("timestamp", "visitorid", "event", "itemid"), ("visitorid", "itemid", "transactionid")),
        mapping=LogMapping(
            columns={"user_id": "visitorid", "item_id": "itemid", "event": "event", "timestamp": "timestamp"},
            events=EVENTS,
        ),
    ),
    Layout(
        name="retailrocket-properties",
        title="RetailRocket's item properties",
        kind="catalog",
        signatures=(("itemid", "property", "value"),),
        mapping=FileMapping(columns={"item_id": "itemid", "category": "categoryid", "in_stock": "available"}),
        prepare=_prepare,
        explained="each item is one row, with the last value of each property in a column of the property's name",
        unknown={"title": "the property that holds the items' names; the public data set has it only as a hash"},
    ),
)
