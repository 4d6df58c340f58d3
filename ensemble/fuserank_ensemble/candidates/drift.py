"""The distribution of the features that a ranker learned from, to which live features are compared.

The population stability index of each feature (Siddiqi, Credit Risk Scorecards, 2006): over the tenths of the training
values, and a bin for missing ones, the sum of (live - trained) * ln(live / trained) of the shares. By custom below 0.1
nothing has changed, and above 0.25 much. Kinds of request are compared each with its own, since a shop's mix of them is
not that of training. Some features are far from training by their nature: time goes on, so that items are older and
counts larger; and queries that were made for a log without any are not those that people type.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

KINDS = ("query", "user", "both")
BINS = 10
LEAST_CASES = 50  # of a kind, for its shares to mean something
BLOCK = 4_096  # candidates that are counted at once: each takes ten numbers a feature
FLOOR = 1e-3  # of a share: a bin that is empty on one side must not weigh without bounds


@dataclass(frozen=True)
class FeatureReference:
    """How the features that the ranker learned from are distributed.

    Attributes:
        edges: What parts the tenths of each feature's values, float32 `[kinds, F, BINS - 1]`.
        shares: Of each tenth and of missing values, float64 `[kinds, F, BINS + 1]`; 0 for a kind with too few cases.
    """

    edges: NDArray[np.float32]
    shares: NDArray[np.float64]

    @classmethod
    def from_cases(
        cls, kinds: NDArray[np.str_], features: NDArray[np.float32], present: NDArray[np.bool_]
    ) -> FeatureReference:
        """Takes the shares from training cases.

        Args:
            kinds: What each request held, `[cases]`, of `KINDS`; others take no part.
            features: float32 `[cases, K, F]`, NaN where missing.
            present: Which candidates are real, bool `[cases, K]`.
        """
        count = features.shape[-1]
        edges = np.zeros((len(KINDS), count, BINS - 1), np.float32)
        shares = np.zeros((len(KINDS), count, BINS + 1))
        for i, kind in enumerate(KINDS):
            cases = kinds == kind
            if cases.sum() < LEAST_CASES:
                continue
            values = features[cases[:, None] & present]
            for column in range(count):
                known = values[:, column][~np.isnan(values[:, column])]
                if len(known):
                    edges[i, column] = np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1])
            counts = sum(count_bins(values[at : at + BLOCK], edges[i]) for at in range(0, len(values), BLOCK))
            shares[i] = counts / max(len(values), 1)
        return cls(edges, shares)

    def write(self, path: Path) -> None:
        """Writes it as one file."""
        np.savez_compressed(path, edges=self.edges, shares=self.shares)

    @classmethod
    def open(cls, path: Path) -> FeatureReference:
        """Reads what `write` wrote."""
        with np.load(path) as arrays:
            return cls(arrays["edges"], arrays["shares"])


def count_bins(values: NDArray[np.float32], edges: NDArray[np.float32]) -> NDArray[np.int64]:
    """Counts values `[N, F]` in the bins of each feature; int64 `[F, BINS + 1]`, the last for missing ones."""
    # A comparison with NaN is false, which would put a missing value into the first bin.
    bins = np.where(np.isnan(values), BINS, (values[:, :, None] > edges[None]).sum(-1))
    count = values.shape[1]
    flat = bins + np.arange(count) * (BINS + 1)
    return np.bincount(flat.ravel(), minlength=count * (BINS + 1)).reshape(count, BINS + 1)


def stability_index(expected: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Computes the population stability index of each feature, float64 `[F]`.

    Args:
        expected: Shares `[F, bins]`.
        counts: Live values in each bin `[F, bins]`; each feature has at least one.
    """
    p = np.maximum(expected, FLOOR)
    q = np.maximum(counts / counts.sum(-1, keepdims=True), FLOOR)
    index: NDArray[np.float64] = ((q - p) * np.log(q / p)).sum(-1)
    return index
