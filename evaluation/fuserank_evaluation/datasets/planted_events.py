"""Logs of films with planted effects: what most rate low, what all look at and nobody buys, what everybody returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fuserank_evaluation.datasets.cases import SEED
from fuserank_evaluation.datasets.made_log import LOG_START, SECONDS_PER_DAY

USERS, DAYS = 300, 300
LEAST, MOST = 20, 50  # films that a user has
PLANTED = 40  # films of the most voted that an effect is planted on
LATER_SHARE = 0.2  # of the log's time, that a bundle does not see and is measured on


@dataclass(frozen=True)
class PlantedLog:
    """A log and what is known of it.

    Attributes:
        events: Rows of an input file before the cut, in order of time.
        wanted: Ids of the films that each user takes after it, by user.
        unwanted: Ids of the films with the planted effect.
        own_unwanted: Of these, or of other films, those that each user rated low or returned, by user.
    """

    events: pd.DataFrame
    wanted: Mapping[str, list[str]]
    unwanted: list[str]
    own_unwanted: Mapping[str, list[str]]


def rated_films(item_ids: NDArray[np.object_], groups: Mapping[str, NDArray[np.int64]]) -> PlantedLog:
    """Returns ratings: 4 and 5 within a user's taste, 2 and 3 outside, and 1 or 2 for the films that all have seen.

    Args:
        item_ids: Ids by row, the most voted film first, `[items]`.
        groups: Rows of each group of films that somebody may like.
    """
    draw = np.random.default_rng(SEED)
    rows = []
    for user, liked in _tastes(groups, draw).items():
        count = int(draw.integers(LEAST, MOST))
        inside = _draw(np.setdiff1d(liked, np.arange(PLANTED)), count, draw)
        outside = np.setdiff1d(_draw(np.arange(PLANTED, len(item_ids)), max(count // 8, 1), draw), inside)
        seen = np.arange(PLANTED)[draw.random(PLANTED) < 0.3]
        for films, stars in ((inside, (4, 6)), (outside, (2, 4)), (seen, (1, 3))):
            values = draw.integers(*stars, len(films))
            moments = draw.uniform(0, DAYS, len(films))
            rows += [(user, item_ids[f], "rating", t, v) for f, t, v in zip(films, moments, values, strict=True)]
    events = _frame(rows)
    low = events[(events["value"] <= 2) & _is_early(events)]
    wanted = events[(events["value"] >= 4) & ~_is_early(events)]
    return _cut(events, wanted, item_ids[:PLANTED].tolist(), low)


def bought_films(item_ids: NDArray[np.object_], groups: Mapping[str, NDArray[np.int64]]) -> PlantedLog:
    """Returns looks, carts, purchases and returns: what a cart holds is mostly bought, looks lead nowhere.

    Half of the planted films everybody looks at again and again and nobody buys; the others are bought and returned.

    Args:
        item_ids: Ids by row, the most voted film first, `[items]`.
        groups: Rows of each group of films that somebody may like.
    """
    draw = np.random.default_rng(SEED)
    rows = []
    for user, liked in _tastes(groups, draw).items():
        count = int(draw.integers(LEAST, MOST))
        for film in _draw(np.setdiff1d(liked, np.arange(PLANTED)), count, draw).tolist():
            moment = draw.uniform(0, DAYS)
            rows.append((user, item_ids[film], "cart", moment, np.nan))
            if draw.random() < 0.8:
                rows.append((user, item_ids[film], "purchase", moment + 0.1, np.nan))
        for film in range(PLANTED):
            if draw.random() < 0.3:
                moments = draw.uniform(0, DAYS, 3 if film % 2 else 1)
                if film % 2:
                    rows += [(user, item_ids[film], "view", moment, np.nan) for moment in moments]
                else:
                    rows.append((user, item_ids[film], "purchase", moments[0], np.nan))
                    rows.append((user, item_ids[film], "return", moments[0] + 2, np.nan))
    events = _frame(rows)
    early = _is_early(events)
    returned = events[(events["event"] == "return") & early]
    planted = events["item_id"].isin(item_ids[:PLANTED])
    wanted = events[(events["event"] == "purchase") & ~early & ~planted]
    return _cut(events, wanted, item_ids[:PLANTED].tolist(), returned)


def _tastes(groups: Mapping[str, NDArray[np.int64]], draw: np.random.Generator) -> dict[str, NDArray[np.int64]]:
    """The films that each user likes: those of one or two groups."""
    names = sorted(groups)
    return {
        f"u{number:04}": np.unique(
            np.concatenate([groups[name] for name in draw.choice(names, int(draw.integers(1, 3)), replace=False)])
        )
        for number in range(USERS)
    }


def _draw(films: NDArray[np.int64], count: int, draw: np.random.Generator) -> NDArray[np.int64]:
    """Draws different films, the more voted ones more often."""
    chances = 1.0 / (50.0 + films)
    drawn: NDArray[np.int64] = draw.choice(films, min(count, len(films)), replace=False, p=chances / chances.sum())
    return drawn


def _frame(rows: list[tuple[str, str, str, float, float]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "event", "day", "value"])
    frame["timestamp"] = (LOG_START + SECONDS_PER_DAY * frame.pop("day")).astype(np.int64)
    return frame.sort_values("timestamp", kind="stable", ignore_index=True)


def _is_early(events: pd.DataFrame) -> pd.Series[bool]:
    return events["timestamp"] < LOG_START + SECONDS_PER_DAY * DAYS * (1 - LATER_SHARE)


def _cut(events: pd.DataFrame, wanted: pd.DataFrame, unwanted: list[str], own: pd.DataFrame) -> PlantedLog:
    """The log before the cut, with what is known of its users by user."""

    def by_user(part: pd.DataFrame) -> dict[str, list[str]]:
        return {str(user): items.unique().tolist() for user, items in part.groupby("user_id")["item_id"]}

    return PlantedLog(events[_is_early(events)], by_user(wanted), unwanted, by_user(own))
