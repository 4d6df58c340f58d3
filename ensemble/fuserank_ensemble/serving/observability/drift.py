"""How far live features have moved from those that the ranker learned from.

The population stability index of each feature (Siddiqi, Credit Risk Scorecards, 2006): over the tenths of the training
values, and a bin for missing ones, the sum of (live - trained) * ln(live / trained) of the shares. By custom below 0.1
nothing has changed, and above 0.25 much. Kinds of request are compared each with its own, since a shop's mix of them is
not that of training. Some features are far from training by their nature: time goes on, so that items are older and
counts larger; and queries that were made for a log without any are not those that people type.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.features import FEATURES
from fuserank_ensemble.serving.observability import metrics
from fuserank_ensemble.serving.observability.metrics import Registry

KINDS = ("query", "user", "both")
BINS = 10
LEAST_CASES = 50  # of a kind, for its shares to mean something
FLOOR = 1e-3  # of a share: a bin that is empty on one side must not weigh without bounds
WINDOW = 64  # searches of a kind that one index is taken over
EVERY = 8  # of the searches after the first window, one in so many is looked at: it costs 0.1 ms


@dataclass(frozen=True)
class Reference:
    """The features that the ranker learned from.

    Attributes:
        edges: What parts the tenths of each feature's values, float32 `[kinds, F, BINS - 1]`.
        shares: Of each tenth and of missing values, float64 `[kinds, F, BINS + 1]`; 0 for a kind with too few cases.
    """

    edges: NDArray[np.float32]
    shares: NDArray[np.float64]

    @classmethod
    def of_cases(cls, kinds: NDArray[np.str_], features: NDArray[np.float32], present: NDArray[np.bool_]) -> Reference:
        """Takes the shares from training cases.

        Args:
            kinds: What each request held, `[cases]`, of `KINDS`; others take no part.
            features: float32 `[cases, K, F]`, NaN where missing.
            present: Which candidates are real, bool `[cases, K]`.
        """
        count = features.shape[-1]
        edges = np.zeros((len(KINDS), count, BINS - 1), np.float32)
        shares = np.zeros((len(KINDS), count, BINS + 1))
        for at, kind in enumerate(KINDS):
            mine = kinds == kind
            if mine.sum() < LEAST_CASES:
                continue
            values = features[mine][present[mine]]
            for column in range(count):
                known = values[:, column][~np.isnan(values[:, column])]
                if len(known):
                    edges[at, column] = np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1])
            counts = binned(values, edges[at])
            shares[at] = counts / max(len(values), 1)
        return cls(edges, shares)

    def write(self, path: Path) -> None:
        """Writes it as one file."""
        np.savez_compressed(path, edges=self.edges, shares=self.shares)

    @classmethod
    def open(cls, path: Path) -> Reference | None:
        """Reads it; None where the bundle was exported without."""
        if not path.is_file():
            return None
        with np.load(path) as arrays:
            return cls(arrays["edges"], arrays["shares"])


def binned(values: NDArray[np.float32], edges: NDArray[np.float32]) -> NDArray[np.int64]:
    """Counts values `[N, F]` in the bins of each feature; int64 `[F, BINS + 1]`, the last for missing ones."""
    # A comparison with NaN is false, which would put a missing value into the first bin.
    bins = np.where(np.isnan(values), BINS, (values[:, :, None] > edges[None]).sum(-1))
    count = values.shape[1]
    flat = bins + np.arange(count) * (BINS + 1)
    return np.bincount(flat.ravel(), minlength=count * (BINS + 1)).reshape(count, BINS + 1)


def stability_index(expected: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The population stability index of each feature, float64 `[F]`.

    Args:
        expected: Shares `[F, bins]`.
        counts: What was seen, `[F, bins]`; each feature at least once.
    """
    p = np.maximum(expected, FLOOR)
    q = np.maximum(counts / counts.sum(-1, keepdims=True), FLOOR)
    index: NDArray[np.float64] = ((q - p) * np.log(q / p)).sum(-1)
    return index


class FeatureDrift:
    """Watches live features, by kind of request."""

    def __init__(self, registry: Registry, reference: Reference) -> None:
        self._registry, self._reference = registry, reference
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
        counts = counts + binned(features, self._reference.edges[at])
        if searches + 1 < WINDOW:
            self._windows[kind] = (searches + 1, counts)
            return
        del self._windows[kind]
        for feature, index in zip(FEATURES, stability_index(expected, counts), strict=True):
            self._registry.set(metrics.DRIFT, float(index), feature=feature.name, kind=kind)
