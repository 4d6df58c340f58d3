"""What is had together: how many times as often as by chance users had an item when they had some others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.interactions.history import SECONDS_PER_DAY, HistorySnapshot

# What a user had within a day of an item was likely in one basket with it; the rest of a history says of whom it is.
SAME_BASKET_SECONDS, ELSEWHERE = SECONDS_PER_DAY, 0.05
CHANCE = 3.0  # pairs by chance that are added to those seen and to those expected: a few pairs say little
MOST_PAIRS = 500_000  # of users and items that are looked at for one answer


@dataclass(frozen=True)
class Together:
    """What goes with some items, by item of the catalogue.

    Attributes:
        lift: How many times as often as by chance each is had with them, 1 where nothing is known, float32 `[items]`.
        users: How many users had each in one basket with them, int32 `[items]`.
    """

    lift: NDArray[np.float32]
    users: NDArray[np.int32]


def had_together(
    histories: HistorySnapshot, sources: NDArray[np.int32], weights: NDArray[np.float64], items: int
) -> Together:
    """Counts what users had together with some items.

    The lift is that of association rules (Brin, Motwani, Ullman, Tsur, SIGMOD 1997), shrunk towards 1. What is had
    often anyway is expected as often, so that popularity alone lifts nothing.

    Args:
        histories: What each user had, and when last.
        sources: The items, int32 without repeats `[sources]`.
        weights: How much each of them counts, float64 `[sources]`.
        items: How many items the catalogue has.
    """
    offsets, rows, last = histories.slices
    first, places = histories.by_item
    weight_of = np.zeros(items, np.float64)
    weight_of[sources] = weights
    of_sources = [places[first[s] : first[s + 1]] for s in sources[weights > 0].tolist() if s + 1 < len(first)]
    held = np.sort(np.concatenate([np.empty(0, np.int32), *of_sources]))
    users = np.searchsorted(offsets, held, "right") - 1
    lengths = offsets[users + 1] - offsets[users]
    if lengths.sum() > MOST_PAIRS:
        # Evenly from all users, the same in every process.
        kept = np.arange(0, len(held), int(np.ceil(lengths.sum() / MOST_PAIRS)))
        held, users, lengths = held[kept], users[kept], lengths[kept]
    starts = np.cumsum(lengths) - lengths
    pairs = np.repeat(offsets[users] - starts, lengths) + np.arange(lengths.sum())
    near = np.abs(last[pairs] - np.repeat(last[held], lengths)) <= SAME_BASKET_SECONDS
    counted = np.repeat(weight_of[rows[held]], lengths) * np.where(near, 1.0, ELSEWHERE)
    beside = rows[pairs]
    seen = np.bincount(beside, counted, minlength=items)
    seen[sources] = 0.0
    # A user with several of the sources has the item once.
    of_users = np.unique(np.repeat(users, lengths)[near].astype(np.int64) * items + beside[near])
    baskets = np.bincount(of_users % items, minlength=items).astype(np.int32)
    had = np.zeros(items)
    had[: len(first) - 1] = np.diff(first)
    had[sources] = 0.0
    expected = had * (seen.sum() / max(float(had.sum()), 1.0))
    return Together(((seen + CHANCE) / (expected + CHANCE)).astype(np.float32), baskets)
