"""Whether labels are enough to learn from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MIN_POSITIVES = 20  # and as many negatives


def learnable(labels: NDArray[np.float32]) -> bool:
    """Whether a head's labels, NaN where there is none, hold enough of both classes to learn from."""
    return min(int((labels == 1).sum()), int((labels == 0).sum())) >= MIN_POSITIVES
