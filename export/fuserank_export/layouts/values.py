"""Recognises the columns of a log by their values, where their names say nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import pandas as pd

from fuserank_ensemble.contract.identity import clean_identity
from fuserank_ensemble.interactions.events import EVENT_NAMES
from fuserank_export.layouts.mapping import find_name, fold
from fuserank_export.layouts.recognise import known_events
from fuserank_export.sources.columns.cells import CellError, is_missing
from fuserank_export.sources.columns.dates import split_numeric_date
from fuserank_export.sources.columns.times import parse_epoch_seconds

LEAST_SHARE = 0.5  # of a column's values that must be what it is taken for
MOST_EVENTS = 30  # kinds that a log has at most
MOST_TIMES = 200  # values that are read as times
EARLIEST = datetime(1995, 1, 1, tzinfo=UTC).timestamp()  # smaller numbers are hardly moments of a log
# Columns that orders have, and no other log.
ORDER_NAMES = (
    *("order id", "order number", "order no", "invoice", "invoice no", "invoice number", "invoice id"),
    *("transaction id", "basket id", "receipt id", "quantity", "qty", "units", "price", "unit price", "revenue"),
    *("sales value", "订单号", "订单编号", "订单id", "数量", "购买数量", "成交价", "实付金额", "金额"),
)  # fmt: skip
_QUANTITIES = ("quantity", "qty", "units", "数量", "购买数量")
_BEHIND = re.compile(r"\s*[(（\[][^()（）\[\]]*[)）\]]\s*$")


def recognise_values(
    sample: pd.DataFrame, missing: Collection[str], taken: Collection[str], item_ids: Collection[str]
) -> dict[str, str]:
    """Returns columns of a log by our names: of each that is missing the one column that alone holds such values.

    Args:
        sample: The log's first rows.
        missing: Our columns that nothing is known of.
        taken: The log's columns that are known to be something else.
        item_ids: Ids of the catalogue, all or some.
    """
    free = {str(name): sample[name] for name in sample.columns if str(name) not in taken}
    found: dict[str, str] = {}
    # A moment is the surest, and item ids are last: numbers of users or categories may be ids of items as well.
    holds: Mapping[str, Callable[[Sequence[Any]], bool]] = {
        "timestamp": _are_times,
        "event": _are_events,
        "item_id": lambda values: _are_ids(values, item_ids),
    }
    for ours, holds_them in holds.items():
        if ours in missing:
            fitting = [name for name, column in free.items() if holds_them([v for v in column if not is_missing(v)])]
            if len(fitting) == 1:
                found[ours] = fitting[0]
                del free[fitting[0]]
    return found


def order_column(sample: pd.DataFrame) -> str | None:
    """Returns a column that says that a log is one of orders; None where there is none, or some of them came back."""
    columns = [str(name) for name in sample.columns]
    for wanted in _QUANTITIES:
        name = find_name(columns, wanted)
        if name is not None and (pd.to_numeric(sample[name], errors="coerce") < 0).any():
            return None
    return next((name for wanted in ORDER_NAMES if (name := find_name(columns, wanted)) is not None), None)


def without_remark(name: str) -> str:
    """Returns a column's name without what stands in brackets at its end, such as `售价(元)` and `Price (EUR)`."""
    return _BEHIND.sub("", name) or name


def _are_times(values: Sequence[Any]) -> bool:
    distinct = list(islice(dict.fromkeys(map(_as_key, values)), MOST_TIMES))
    return len(distinct) > 1 and all(map(_is_time, distinct))


def _is_time(value: Any) -> bool:
    if isinstance(value, str) and split_numeric_date(value.strip()) is not None:
        return True  # whichever of day and month comes first
    try:
        seconds = parse_epoch_seconds(value)
    except CellError:
        return False
    return seconds is not None and seconds >= EARLIEST


def _are_events(values: Sequence[Any]) -> bool:
    names = [fold(str(value).strip()) for value in values]
    known = {*known_events(), *map(fold, EVENT_NAMES)}
    return 0 < len(set(names)) <= MOST_EVENTS and sum(name in known for name in names) >= LEAST_SHARE * len(names)


def _are_ids(values: Sequence[Any], item_ids: Collection[str]) -> bool:
    names = [clean_identity(str(value)) for value in values]
    return len(set(names)) > 1 and sum(name in item_ids for name in names) >= LEAST_SHARE * len(names)


def _as_key(value: Any) -> Any:
    return value if isinstance(value, str | int | float | datetime) else str(value)
