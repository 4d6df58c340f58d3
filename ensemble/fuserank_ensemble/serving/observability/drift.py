"""Compares live features to those that the ranker learned from, see `fuserank_ensemble.candidates.drift`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.drift import KINDS, FeatureReference, count_bins, stability_index
from fuserank_ensemble.serving.observability import metrics
from fuserank_ensemble.serving.observability.metrics import Registry

WINDOW = 64  # searches of a kind that one index is taken over
EVERY = 8  # of the searches after the first window, one in so many is looked at: it costs 0.1 ms


class FeatureDrift:
    """Watches live features, by kind of request.

    Args:
        registry: Where it reports.
        reference: The features that the ranker learned from.
        names: Their names.
    """

    def __init__(self, registry: Registry, reference: FeatureReference, names: Sequence[str]) -> None:
        self._registry, self._reference, self._names = registry, reference, names
        self._searches: Counter[str] = Counter()
        self._windows: dict[str, tuple[int, NDArray[np.int64]]] = {}

    def observe(self, kind: str, features: NDArray[np.float32]) -> None:
        """Looks at a search's candidates, at every one until a first index is known.

        Args:
            kind: Of `KINDS`.
            features: float32 `[candidates, F]`, NaN where missing.
        """
        at = KINDS.index(kind)
        self._searches[kind] += 1
        if self._searches[kind] > WINDOW and self._searches[kind] % EVERY:
            return
        expected = self._reference.shares[at]
        if not len(features) or not expected.any():
            return
        searches, counts = self._windows.get(kind, (0, np.zeros(expected.shape, np.int64)))
        counts = counts + count_bins(features, self._reference.edges[at])
        if searches + 1 < WINDOW:
            self._windows[kind] = (searches + 1, counts)
            return
        del self._windows[kind]
        for name, index in zip(self._names, stability_index(expected, counts), strict=True):
            self._registry.set(metrics.DRIFT, float(index), feature=name, kind=kind)
