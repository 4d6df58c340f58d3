"""Factors of an item that came later, from the users who had it since: least squares around what near items have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.interactions.events import LEAST_STRENGTH

FloatArray = NDArray[np.float32]

CONFIDENCE = 5.0  # Hu, Koren, Volinsky: Collaborative Filtering for Implicit Feedback Datasets, 2008 (alpha)
# What the factors of near items count beside an item's own users, measured on Complete Journey: docs/decisions/048.
PRIOR_ITEMS = 2.5  # for how far a score of a random user and item is expected from them
PRIOR_USERS = 20.0  # for how far the scores of so many random users are; one who bought it once counts 3.5
_RIDGE = 0.1  # of the mean eigenvalue: directions in which the shop's items do not differ


@dataclass(frozen=True, eq=False)
class FirstUsers:
    """The users who had an item.

    Attributes:
        factors: Theirs, when they had it, float32 `[users, factors]`.
        strengths: What their events with it count, below 0 where it is not wanted, float32 `[users]`.
        scores: The mean score of what each had beside it, float32 `[users]`.
    """

    factors: FloatArray
    strengths: FloatArray
    scores: FloatArray


@dataclass(frozen=True, eq=False)
class NewItemUsers:
    """Who had the items that came since the bundle: a value that is replaced whole.

    Attributes:
        by_row: The users of each item that somebody had, by the item's row.
        precision: See `prior_precision`, float64 `[factors, factors]`.
        position: Up to where the log counts; None where it counts further for some items than for others.
    """

    by_row: Mapping[int, FirstUsers] = field(default_factory=dict)
    precision: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))
    position: int | None = 0


def confidence(strengths: FloatArray) -> FloatArray:
    """Returns how certain the model is of pairs of user and item, below 0 of what is not wanted; float32 `[pairs]`.

    Strengths are damped by the logarithm. A weak event is no less certain than none, of which the certainty is 1,
    unless it is of a kind that nothing follows.
    """
    weak = np.minimum(np.abs(strengths) / LEAST_STRENGTH, 1.0)
    certain = np.maximum(CONFIDENCE * np.log1p(np.abs(strengths)), weak)
    signed: FloatArray = np.copysign(certain, strengths).astype(np.float32)
    return signed


def prior_precision(users: FloatArray, items: FloatArray) -> NDArray[np.float64]:
    """Returns how firmly an item's factors are held by those of near items, float64 `[factors, factors]`.

    They move easily where the shop's items differ among each other, and hardly where that would change the scores of
    all users alike.

    Args:
        users: Factors of the shop's users, float32 `[users, factors]`.
        items: The mean of `y yᵀ` over the factors `y` of its items that have any, float32 `[factors, factors]`.
    """
    of_users = users.T.astype(np.float64) @ users / max(len(users), 1)
    of_items = items.astype(np.float64)
    size = len(of_items)
    ridge = _RIDGE * np.trace(of_items) / size * np.eye(size)
    # The mean square of a score; where no user has factors, any number holds the item where its neighbours are.
    expected = float(np.trace(of_users @ of_items)) or 1.0
    precision: NDArray[np.float64] = PRIOR_ITEMS * expected * np.linalg.inv(of_items + ridge) + PRIOR_USERS * of_users
    return precision


def fold_in(prior: FloatArray, first: FirstUsers, precision: NDArray[np.float64]) -> FloatArray:
    """Returns an item's factors, float32 `[factors]`.

    They have the least sum of two kinds of squares: how far the score of each of the item's users is from that of what
    the user had beside it (from 0 where it is not wanted), by the certainty of the pair; and how far they are from the
    prior.

    Args:
        prior: The factors that near items give it, float32 `[factors]`.
        first: Its users.
        precision: See `prior_precision`.
    """
    certain = np.abs(confidence(first.strengths)).astype(np.float64)
    users, start = first.factors.astype(np.float64), prior.astype(np.float64)
    wanted = np.where(first.strengths > 0, first.scores, 0.0)
    moved = np.linalg.solve(precision + (users.T * certain) @ users, users.T @ (certain * (wanted - users @ start)))
    folded: FloatArray = (start + moved).astype(np.float32)
    return folded
