"""Logs made by code, of users with a taste, for catalogues that come without one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fuserank_evaluation.datasets.cases import SEED

LOG_START = 1_600_000_000  # epoch seconds; long ago, so that a request without a time is asked at the log's end
SECONDS_PER_DAY = 86_400
OTHER_SHARE = 0.1  # of a user's events that are outside their taste


@dataclass(frozen=True)
class MadeUsers:
    """How a log's users are drawn.

    Attributes:
        count: How many there are.
        least: Fewest items that one has, as far as the groups hold so many.
        most: Most items that one has.
        days: How long the log is.
        event: What happened with each item; a `rating` has four or five stars within the user's taste, else one to
            four.
        seed: Of the draws.
    """

    count: int
    least: int
    most: int
    days: int
    event: str
    seed: int = SEED


@dataclass(frozen=True)
class MadeLog:
    """A log.

    Attributes:
        events: A row an event in the columns of a log's file, by time.
        tastes: Each user's one or two groups of items, by user id.
    """

    events: pd.DataFrame
    tastes: Mapping[str, tuple[str, ...]]

    def write(self, path: Path) -> None:
        """Writes the events as the export reads them."""
        self.events.to_parquet(path)


def make_log(
    item_ids: NDArray[np.object_],
    groups: Mapping[str, NDArray[np.int64]],
    weights: NDArray[np.float64],
    users: MadeUsers,
) -> MadeLog:
    """Draws users who each like one or two groups of items, and what they had.

    Args:
        item_ids: Ids by row, `[items]`.
        groups: Rows of each group of items, without repeats.
        weights: How likely each item is to be had among others, above 0, `[items]`.
        users: How they are drawn.
    """
    draw = np.random.default_rng(users.seed)
    names, every = sorted(groups), np.arange(len(item_ids))
    parts, tastes = list[pd.DataFrame](), dict[str, tuple[str, ...]]()
    for number in range(users.count):
        user = f"u{number:05}"
        tastes[user] = tuple(draw.choice(names, int(draw.integers(1, 3)), replace=False).tolist())
        liked = np.unique(np.concatenate([groups[name] for name in tastes[user]]))
        count = int(draw.integers(users.least, users.most + 1))
        others = int(draw.binomial(count, OTHER_SHARE))
        inside = _draw_rows(liked, weights, count - others, draw)
        outside = np.setdiff1d(_draw_rows(every, weights, others, draw), inside)
        rows = np.concatenate([inside, outside])
        stars = np.concatenate([draw.integers(4, 6, len(inside)), draw.integers(1, 5, len(outside))])
        # A user comes for a part of the log's time.
        first, last = np.sort(draw.uniform(0, users.days, 2))
        seconds = LOG_START + SECONDS_PER_DAY * draw.uniform(first, last, len(rows))
        events = {"user_id": user, "item_id": item_ids[rows], "timestamp": seconds.astype(np.int64), "value": stars}
        parts.append(pd.DataFrame(events))
    log = pd.concat(parts, ignore_index=True).assign(event=users.event)
    if users.event != "rating":
        log = log.drop(columns="value")
    return MadeLog(log.sort_values("timestamp", kind="stable", ignore_index=True), tastes)


def _draw_rows(
    rows: NDArray[np.int64], weights: NDArray[np.float64], count: int, draw: np.random.Generator
) -> NDArray[np.int64]:
    """Draws up to `count` different rows by their weights."""
    chances = weights[rows] / weights[rows].sum()
    drawn: NDArray[np.int64] = draw.choice(rows, min(count, len(rows)), replace=False, p=chances)
    return drawn
