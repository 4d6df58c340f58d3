"""Computes how much more a group of users has of an item, or of its category, than all users have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.popularity import LONGEST_CONTEXT, Popularity
from fuserank_ensemble.retrieval.own_features import LIFTS, OwnFeature

FloatArray = NDArray[np.float32]
PRIOR = 5.0  # events of its own that an item needs before a group is believed, as for places in the channel `trending`
CACHED_GROUPS = 256


class GroupLifts:
    """A shop's own columns of the ranker's input that tell of groups of users.

    The lift is log((w + c) / (e + c)): `w` are the item's events within the group, `e` is what its share in all events
    lets expect there. It is 0 where nothing is out of the ordinary, see the channel `trending`.
    """

    def __init__(self, items: Items, popularity: Popularity, features: Sequence[OwnFeature]) -> None:
        """Takes the catalogue, all users' events by item and group, and which columns there are."""
        self._popularity, self._category, self._categories = popularity, items.category, items.categories
        self._columns = [(i, feature) for i, feature in enumerate(features) if feature.form in LIFTS]
        self._share_of_category = self._sum_by_category(np.arange(len(items)), popularity.context_share)
        self._category_lifts = lru_cache(CACHED_GROUPS)(self._compute_category_lifts)

    def fill(self, out: FloatArray, rows: NDArray[np.int32], groups: Mapping[str, Sequence[str]]) -> None:
        """Fills in the columns that tell of groups; the mean where a user is in several of a kind.

        Args:
            out: The shop's own columns, float32 `[rows, columns]`.
            rows: Item rows, int32 `[rows]`.
            groups: The groups that the user is in, by kind.
        """
        for position, feature in self._columns:
            compute = self._lifts if feature.form == "lift" else self._lifts_of_category
            lifts = [compute(f"{feature.source}={name}", rows) for name in groups.get(feature.source, ())]
            known = [lift for lift in lifts if lift is not None]
            if known:
                out[:, position] = np.mean(known, axis=0)

    def _lifts(self, group: str, rows: NDArray[np.int32]) -> FloatArray | None:
        """The lift of each row, `[rows]`; None for a group without events."""
        context = self._popularity.contexts.get(group)
        if context is None or not len(context[0]):
            return None
        members, weights, total = context
        expected = self._popularity.context_share[rows] * total
        position = np.minimum(np.searchsorted(members, rows), len(members) - 1)
        # Of a group that was cut, an item that is not there may have had as much as the last that is.
        missing = np.minimum(expected, weights.min()) if len(members) == LONGEST_CONTEXT else 0.0
        observed = np.where(members[position] == rows, weights[position], missing)
        return np.log((observed + PRIOR) / (expected + PRIOR)).astype(np.float32)

    def _lifts_of_category(self, group: str, rows: NDArray[np.int32]) -> FloatArray | None:
        """The lift of each row's category, `[rows]`, NaN where it has none; None for a group without events."""
        lifts = self._category_lifts(group)
        return None if lifts is None else lifts[self._category[rows] + 1]

    def _compute_category_lifts(self, group: str) -> FloatArray | None:
        """The lift of each category behind one place for none, `[1 + categories]`."""
        context = self._popularity.contexts.get(group)
        if context is None or not len(context[0]):
            return None
        members, weights, total = context
        expected = self._share_of_category * total
        lifts = np.log((self._sum_by_category(members, weights) + PRIOR) / (expected + PRIOR)).astype(np.float32)
        lifts[0] = np.nan
        return lifts

    def _sum_by_category(self, rows: NDArray[np.int32], weights: FloatArray) -> NDArray[np.float64]:
        sums = np.bincount(self._category[rows] + 1, weights, minlength=self._categories + 1)
        return np.asarray(sums, np.float64)
