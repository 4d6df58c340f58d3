"""New items with few events: no other channel that learns from events can know them yet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.history import HALF_LIFE_DAYS
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.retrieval.channel import ChannelQuery, RankedItems

FEW_EVENTS = 5
OLDEST_DAYS = 90.0


class New:
    """Items of the last 90 days with under five events, newest first; the user's own categories count up to double."""

    name = "new"

    def __init__(self, items: Items, popularity: Popularity) -> None:
        self._items, self._popularity = items, popularity
        few = np.flatnonzero((popularity.counts < FEW_EVENTS) & ~np.isnan(popularity.arrived)).astype(np.int32)
        self._rows = few[np.argsort(popularity.arrived[few], kind="stable")]
        self._arrived = popularity.arrived[self._rows]

    def search(self, questions: Sequence[ChannelQuery], depth: int) -> list[RankedItems]:
        """See `Channel`."""
        return [self._one(question, depth) for question in questions]

    def _one(self, question: ChannelQuery, depth: int) -> RankedItems:
        day = 86_400.0
        if question.near is not None:
            near = question.near
            age = question.now - self._popularity.arrived[near]
            new = (self._popularity.counts[near] < FEW_EVENTS) & (age >= 0) & (age < OLDEST_DAYS * day)
            rows = near[new]
        else:
            start, end = np.searchsorted(self._arrived, [question.now - OLDEST_DAYS * day, question.now], side="right")
            rows = self._rows[start:end]
            if question.allowed is not None:
                rows = rows[question.allowed[rows]]
        fresh = np.exp2((self._popularity.arrived[rows] - question.now) / (HALF_LIFE_DAYS * day))
        if len(question.seen):
            categories = self._items.category
            events = np.bincount(
                categories[question.seen.rows] + 1, weights=question.seen.counts, minlength=self._items.categories + 1
            )
            events[0] = 0.0  # of items without a category, which share none
            fresh *= 1.0 + events[categories[rows] + 1] / max(float(question.seen.counts.sum()), 1.0)
        return RankedItems.best(rows, fresh.astype(np.float32), depth)
