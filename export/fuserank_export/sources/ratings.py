"""Tells ratings that say a user liked an item from those that say the opposite, which are kept apart from events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

# The top of a scale of ratings, and the least rating on it that does not say that an item was disliked.
SCALES = ((1.0, 0.5), (5.0, 3.0), (10.0, 5.0), (100.0, 50.0))


@dataclass(frozen=True)
class Dislikes:
    """Low ratings, as parallel arrays sorted by timestamp.

    Attributes:
        user: Position in `user_ids`.  # [rows] int32
        item: Row number in the catalogue.  # [rows] int32
        timestamp: Epoch seconds, UTC.  # [rows] int64
        user_ids: Sorted by their UTF-8 bytes.
    """

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    timestamp: NDArray[np.int64]
    user_ids: list[str]

    def __len__(self) -> int:
        return len(self.timestamp)

    @classmethod
    def empty(cls) -> Self:
        """Returns no dislikes."""
        return cls(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int64), [])


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


def keep_users(user: NDArray[np.int32], user_ids: list[str]) -> tuple[NDArray[np.int32], list[str]]:
    """Returns users' positions among those that occur, int32 `[rows]`, and the ids of these."""
    used, positions = np.unique(user, return_inverse=True)
    return positions.astype(np.int32), [user_ids[position] for position in used.tolist()]
