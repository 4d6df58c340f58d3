"""Paired tests of significance between two ranking methods on the same cases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import permutation_test, rankdata, sem, t, ttest_rel, wilcoxon

from fuserank_evaluation.metrics.measures import Values

CONFIDENCE = 0.95
_RESAMPLES = 9_999
_EXACT_CASES = 13  # up to which Wilcoxon's p is counted over all signs


@dataclass(frozen=True)
class Comparison:
    """A paired comparison.

    Attributes:
        difference: Mean of the first minus mean of the second.
        low: Lower end of the difference's 95 % confidence interval, of Student's t.
        high: Upper end.
        t_test: Two-sided p of the paired t-test.
        wilcoxon: Two-sided p of Wilcoxon's signed ranks, equal cases split (Pratt).
        permutation: Two-sided p of the paired permutation test of the mean, which assumes least (Smucker, Allan,
            Carterette, CIKM 2007).
    """

    difference: float
    low: float
    high: float
    t_test: float
    wilcoxon: float
    permutation: float

    @property
    def significant(self) -> bool:
        """Whether all three tests reject equal means at 5 %."""
        return max(self.t_test, self.wilcoxon, self.permutation) < 1 - CONFIDENCE


def compare(first: Values, second: Values, seed: int) -> Comparison:
    """Compares two methods' values of the same cases, float64 `[cases]`.

    Args:
        first: Values of the first method.
        second: Values of the second.
        seed: Seed of the permutations.

    Raises:
        ValueError: The lengths differ, or there are fewer than two cases.
    """
    if len(first) != len(second) or len(first) < 2:
        raise ValueError(f"values: found {len(first)} and {len(second)} cases; allowed: the same cases, two or more")
    difference = first - second
    if not difference.any():
        return Comparison(0.0, 0.0, 0.0, 1.0, 1.0, 1.0)
    paired = ttest_rel(first, second)
    low, high = paired.confidence_interval(CONFIDENCE)
    permuted = permutation_test(
        (difference,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=_RESAMPLES,
        batch=200,
        rng=np.random.default_rng(seed),
    )
    return Comparison(
        float(difference.mean()),
        float(low),
        float(high),
        float(paired.pvalue),
        _signed_ranks_p(difference),
        float(permuted.pvalue),
    )


def _signed_ranks_p(difference: Values) -> float:
    """Two-sided p of Wilcoxon's signed ranks.

    With ties among few cases scipy ranks them anew for each of up to 8,192 combinations of signs, which takes seconds;
    the signs leave the ranks as they are.
    """
    if len(difference) > _EXACT_CASES:
        return float(wilcoxon(difference, zero_method="pratt").pvalue)
    signed = np.sign(difference) * rankdata(np.abs(difference))
    every = 2 ** len(signed)
    return float(
        permutation_test((signed,), np.sum, permutation_type="samples", vectorized=True, n_resamples=every).pvalue
    )


def half_width(values: Values) -> float:
    """Half of the 95 % confidence interval of a mean over cases, of Student's t; 0 for one case."""
    if len(values) < 2:
        return 0.0
    return float(sem(values) * t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
