"""Google Analytics 4: its BigQuery export as JSON lines or Parquet, and flat files of a query over it.

The fields are those of https://support.google.com/analytics/answer/7029846, the events those of
https://developers.google.com/analytics/devguides/collection/ga4/reference/events.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pandas as pd

from fuserank_export.layouts.layout import Layout
from fuserank_export.layouts.mapping import LogMapping, find_name

_DAY = re.compile(r"(\d{4})(\d{2})(\d{2})")

EVENTS = {
    "view_item": "view",
    "select_item": "click",
    "add_to_wishlist": "favourite",
    "share": "share",
    "add_to_cart": "cart",
    "purchase": "purchase",
    "in_app_purchase": "purchase",
    "refund": "return",
    "view_item_list": "impression",
}
COLUMNS: dict[str, str | list[str]] = {
    "user_id": ["user_id", "user_pseudo_id"],
    "event": "event_name",
    "timestamp": ["event_timestamp", "event_datetime"],
    "query": ["event_params.search_term", "search_term"],
    "session_id": ["event_params.ga_session_id", "ga_session_id", "session_id"],
    "region": "geo.region",
    "device": ["device.category", "device_category"],
}
POSITION = "the list must count from 1: the event's `index` is often from 0, which is no position"


def _prepare_flat(chunks: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Writes the days of `event_date`, such as 20260131, as dates."""
    for chunk in chunks:
        column = find_name(map(str, chunk.columns), "event_date")
        yield chunk if column is None else chunk.assign(**{column: chunk[column].map(_date)})


def _date(value: Any) -> Any:
    match = _DAY.fullmatch(str(value).strip())
    return "-".join(match.groups()) if match else value


LAYOUTS = (
    Layout(
        name="ga4",
        title="GA4's BigQuery export",
        kind="interactions",
        signatures=(("event_name", "event_timestamp", "items"), ("event_name", "event_timestamp", "event_params")),
        mapping=LogMapping(
            rows="items",
            pairs=["event_params", "user_properties"],
            columns={
                **COLUMNS,
                "item_id": ["items.item_id", "event_params.item_id"],
                "value": "items.item_revenue",
                "position": "items.item_list_index",
            },
            events=EVENTS,
            other_events="ignore",
        ),
        explained="each of an event's items is a row; events without items, such as page_view, are left out",
        left_open={"position": POSITION},
    ),
    Layout(
        name="ga4-flat",
        title="a flat table of GA4's events",
        kind="interactions",
        signatures=(
            ("event_name", "event_timestamp", "item_id"),
            ("event_name", "event_date", "item_id"),
            ("event_name", "user_pseudo_id", "item_id"),
        ),
        mapping=LogMapping(
            columns={
                **COLUMNS,
                "timestamp": ["event_timestamp", "event_datetime", "event_date"],
                "item_id": "item_id",
                "value": "item_revenue",
                "position": "item_list_index",
            },
            events=EVENTS,
            other_events="ignore",
        ),
        prepare=_prepare_flat,
        explained="events without an item of the catalogue, such as page_view, are left out",
        left_open={"position": POSITION},
    ),
)
