"""Requests of a log's last weeks, each at its moment: what is in a basket answers a search or a recommendation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from fuserank_evaluation.datasets.cases import WINDOW_SECONDS, Rows


@dataclass(frozen=True)
class TimedRequest:
    """One request.

    Attributes:
        user: Who asks.
        query: A product type; empty for a recommendation.
        moment: When, epoch seconds: just before the user's basket is paid.
        relevant: Rows of the items of that basket that answer it.
    """

    user: str
    query: str
    moment: float
    relevant: Rows


def read_events(path: str) -> tuple[pd.DataFrame, float]:
    """Returns a log's events in time order, `seconds` since the epoch beside them, and where its last 28 days begin."""
    events = pd.read_parquet(path)
    events["seconds"] = events["timestamp"].astype("datetime64[ms, UTC]").astype("int64") / 1_000
    events = events.sort_values("seconds", kind="stable", ignore_index=True)
    return events, float(events["seconds"].iloc[-1]) + 1 - WINDOW_SECONDS


def draw_requests(
    window: pd.DataFrame,
    rows: Mapping[str, int],
    types: Mapping[str, str],
    *,
    searches: int,
    recommendations: int,
    seed: int,
) -> list[TimedRequest]:
    """Draws requests from the baskets of a window, in time order.

    Args:
        window: Its events: `user_id`, `item_id` and `seconds`; a basket is what a user has at one moment.
        rows: Each item's row.
        types: Items' product types, where they have one.
        searches: How many (basket, product type) pairs at most.
        recommendations: How many baskets at most.
        seed: Of the draw.
    """
    bought = window[window["item_id"].isin(list(rows))]
    bought = pd.DataFrame(
        {
            "user": bought["user_id"],
            "seconds": bought["seconds"],
            "row": bought["item_id"].map(rows),
            "type": bought["item_id"].map(types),
        }
    )
    drawn: list[TimedRequest] = []
    for keys, count in ((["user", "seconds", "type"], searches), (["user", "seconds"], recommendations)):
        groups = bought.dropna(subset=keys).groupby(keys)["row"].unique()
        for key, relevant in groups.sample(min(count, len(groups)), random_state=seed).items():
            user, seconds, *query = cast(tuple[Any, ...], key)
            drawn.append(TimedRequest(user, "".join(query), float(seconds), np.sort(relevant).astype(np.int32)))
    return sorted(drawn, key=lambda request: request.moment)
