"""Splits a log's events into those that say that an item was wanted and those that say that it was not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.interactions.events import CODES, DISLIKED, EVENTS, NEGATIVE, NegativeEvents, RatingScale
from fuserank_export.sources.ratings import find_least_liked, fit_scale, keep_users, rating_strengths
from fuserank_export.sources.report import RowReport

RATING = CODES["rating"]
_IS_NEGATIVE = np.asarray([name in NEGATIVE for name in EVENTS])  # by code


@dataclass(frozen=True)
class SignedEvents:
    """A log's events by what they say.

    Attributes:
        columns: Columns of the events that say that an item was wanted, `[events]` each.
        user: Their users, int32 `[events]`.
        user_ids: The ids of these.
        grades: What their ratings count among ratings, 1 for all else, float32 `[events]`.
        negatives: All other events.
        scale: What the ratings' values say; None where there are none.
    """

    columns: dict[str, NDArray[Any]]
    user: NDArray[np.int32]
    user_ids: list[str]
    grades: NDArray[np.float32]
    negatives: NegativeEvents
    scale: RatingScale | None


def split_by_sign(
    columns: dict[str, NDArray[Any]],
    user: NDArray[np.int32],
    user_ids: list[str],
    disliked_below: float | None,
    report: RowReport,
) -> SignedEvents:
    """Splits events in order of time.

    Args:
        columns: A log's columns, by name.
        user: Position in `user_ids` of each event, int32 `[events]`.
        user_ids: Sorted ids.
        disliked_below: The least rating that may say that an item was liked; None finds it.
        report: Notes how many ratings are low.
    """
    event, value = columns["event"], columns["value"]
    ratings = np.flatnonzero(event == RATING)
    least = find_least_liked(value[ratings]) if disliked_below is None else disliked_below
    scale = fit_scale(user[ratings], value[ratings], least)
    grades = np.where(_IS_NEGATIVE[event], -1.0, 1.0).astype(np.float32)
    if scale is not None:
        grades[ratings] = rating_strengths(scale, user[ratings], value[ratings])
        _note_ratings(grades[ratings], least, report)
    low = grades < 0
    if not low.any():
        return SignedEvents(columns, user, user_ids, grades, NegativeEvents.empty(), scale)
    kept, kept_ids = keep_users(user[~low], user_ids)
    position = np.full(len(user_ids), -1, np.int32)
    position[user[~low]] = kept
    further = np.unique(user[low & (position[user] < 0)])
    position[further] = len(kept_ids) + np.arange(len(further), dtype=np.int32)
    negatives = NegativeEvents(
        position[user[low]],
        columns["item"][low].astype(np.int32),
        columns["timestamp"][low].astype(np.int64),
        event[low].astype(np.uint8),
        -grades[low],
        [*kept_ids, *(user_ids[row] for row in further.tolist())],
    )
    return SignedEvents(
        {name: column[~low] for name, column in columns.items()}, kept, kept_ids, grades[~low], negatives, scale
    )


def _note_ratings(grades: NDArray[np.float32], least: float | None, report: RowReport) -> None:
    """Notes how many ratings are below their user's mean, and how many say that an item was disliked."""
    if count := int((grades < 0).sum()):
        low = "" if least is None else f", or below it and below {least:g} (--disliked-below)"
        report.notes.append(
            f"{count:,} of {len(grades):,} ratings are below their user's mean and count against the item; "
            f"{int((grades <= -DISLIKED).sum()):,} of them are far below it{low}: such items are not recommended "
            "to the user"
        )
