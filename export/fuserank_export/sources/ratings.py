"""Tells from a rating's value whether the user liked the item, measured from the mean of that user's ratings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.interactions.events import RatingScale

# The top of a scale of ratings, and the least rating on it that may say that an item was liked.
SCALES = ((1.0, 0.5), (5.0, 3.0), (10.0, 5.0), (100.0, 50.0))
LEAST_DAMPING, MOST_DAMPING = 1.0, 100.0  # ratings of a user that count as much as the mean of all


def find_least_liked(ratings: NDArray[np.float32]) -> float | None:
    """Returns the rating below which an item was disliked, from the scale that the ratings are on; None if unknown.

    Ratings with negative ones are votes for and against. Other scales end at 1, 5, 10 or 100.

    Args:
        ratings: Values of ratings, NaN where missing, float32 `[ratings]`.
    """
    known = ratings[~np.isnan(ratings)]
    if not len(known):
        return None
    if known.min() < 0:
        return 0.0
    return next((least for top, least in SCALES if known.max() <= top), None)


def fit_scale(user: NDArray[np.int32], values: NDArray[np.float32], least_liked: float | None) -> RatingScale | None:
    """Returns what the ratings of a log say, by value; None where none has a value.

    The variances within users and between them are those of a one-way analysis of variance.

    Args:
        user: Number of each rating's user, int32 `[ratings]`.
        values: The ratings, NaN where missing, float32 `[ratings]`.
        least_liked: The least rating that may say that an item was liked; None where unknown.
    """
    known = ~np.isnan(values)
    if not known.any():
        return None
    of_user, ratings = np.unique(user[known], return_inverse=True)[1], values[known].astype(np.float64)
    counts, mean = np.bincount(of_user).astype(np.float64), float(ratings.mean())
    means = np.bincount(of_user, weights=ratings) / counts
    total, users = len(ratings), len(counts)
    within = float(np.square(ratings - means[of_user]).sum()) / max(total - users, 1)
    between_squares = float((counts * np.square(means - mean)).sum()) / max(users - 1, 1)
    usual_count = (total - float(np.square(counts).sum()) / total) / max(users - 1, 1)
    between = max((between_squares - within) / max(usual_count, 1e-9), 1e-9)
    damping = float(np.clip(within / between, LEAST_DAMPING, MOST_DAMPING))
    scale = RatingScale(mean, damping, 1.0, least_liked)
    centres = scale.centres((counts * means)[of_user], counts[of_user].astype(np.int64))
    spread = float(np.sqrt(np.square(ratings - centres).mean())) if ratings.min() < ratings.max() else 0.0
    return RatingScale(mean, damping, spread, least_liked)


def rating_strengths(scale: RatingScale, user: NDArray[np.int32], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns what ratings count, float32 `[ratings]`, by the mean of their user's ratings up to each.

    Later ratings have no say in it: what a log teaches of a moment is what it would have taught then.

    Args:
        scale: The log's scale.
        user: Number of each rating's user, in order of time, int32 `[ratings]`.
        values: The ratings, NaN where missing, float32 `[ratings]`.
    """
    order = np.argsort(user, kind="stable")
    known = ~np.isnan(values[order])
    ratings = np.where(known, values[order], 0.0).astype(np.float64)
    starts = np.flatnonzero(np.diff(user[order], prepend=-1))
    lengths = np.diff(starts, append=len(order))

    def sum_up_to(column: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = np.cumsum(column)
        up_to: NDArray[np.float64] = sums - np.repeat(sums[starts] - column[starts], lengths)
        return up_to

    totals, counts = sum_up_to(ratings), np.rint(sum_up_to(known.astype(np.float64))).astype(np.int64)
    strengths = np.empty(len(order), np.float32)
    strengths[order] = scale.strengths(np.where(known, ratings, np.nan), scale.centres(totals, counts))
    return strengths


def keep_users(user: NDArray[np.int32], user_ids: list[str]) -> tuple[NDArray[np.int32], list[str]]:
    """Returns users' positions among those that occur, int32 `[rows]`, and the ids of these."""
    used, positions = np.unique(user, return_inverse=True)
    return positions.astype(np.int32), [user_ids[position] for position in used.tolist()]
