"""Weights of shown items by how likely they were shown: an exploring list's answers stand for those of any list.

Inverse propensity weights (Horvitz and Thompson, JASA 47, 1952; for rankings Joachims et al., Unbiased learning-to-rank
with biased feedback, WSDM 2017), truncated (Ionides, Truncated importance sampling, JCGS 17, 2008) and divided by their
mean (Swaminathan and Joachims, The self-normalized estimator for counterfactual learning, NIPS 2015).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_TIMES = 10.0  # that one item counts as much as one that was sure to be shown


def propensity_weights(propensities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns what each shown item counts, 1 in the mean of those whose propensity is known and 1 for all others.

    Args:
        propensities: Above 0 and up to 1, NaN where unknown, float32 `[cases, K]`.

    Returns:
        float32 `[cases, K]`.
    """
    weights = np.ones(propensities.shape, np.float32)
    known = ~np.isnan(propensities)
    if known.any():
        inverse = np.minimum(1.0 / propensities[known].astype(np.float64), MOST_TIMES)
        weights[known] = inverse / inverse.mean()
    return weights
