"""Catalogues of more vectors than a shop has: copies with noise.

A copy's cosine to its original is 0.95. Two copies of one text are then at about 0.90, which is the median cosine of
a real text to its tenth neighbour in the demo's catalogue.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

COPY_COSINE = 0.95
SIZES = {"10k": 10_000, "100k": 100_000, "1m": 1_000_000}
_BLOCK = 50_000  # rows in memory as float32 at a time


def noisy_copies(
    originals: NDArray[Any], rows: NDArray[np.int64], cosine: float, draw: np.random.Generator
) -> NDArray[np.float16]:
    """Copies vectors, each with Gaussian noise.

    Args:
        originals: L2-normalised vectors `[originals, dim]`.
        rows: Which original each copy is of, `[copies]`.
        cosine: Mean cosine of a copy to its original.
        draw: Draws the noise.

    Returns:
        L2-normalised copies `[copies, dim]`.
    """
    spread = np.sqrt((1 / cosine**2 - 1) / originals.shape[1])
    copies = np.empty((len(rows), originals.shape[1]), np.float16)
    for start in range(0, len(rows), _BLOCK):
        block = originals[rows[start : start + _BLOCK]].astype(np.float32)
        block += spread * draw.standard_normal(block.shape, np.float32)
        copies[start : start + _BLOCK] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return copies
