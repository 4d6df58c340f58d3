"""Buckets are for engines of fixed shapes; where a shape is free, padding beyond the longest row is only work."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.serving.triton import Tensors
from fuserank_ensemble.spec import PAIR_TENSORS

STEP = 4  # tokens; finer lengths would leave hardly two requests of equal shape to run together


def trimmed(tensors: Tensors, pair_pad: int) -> Tensors:
    """The inputs of an engine with token tensors as long as their longest row, up to the next `STEP`.

    Of pairs those alone are kept that some candidate has.

    Args:
        tensors: By name; those that hold no tokens stay as they are.
        pair_pad: Token id that pads a pair.
    """
    out = dict(tensors)
    if "ATTENTION_MASK" in tensors:
        length = _needed(tensors["ATTENTION_MASK"] != 0)
        out |= {name: tensors[name][..., :length] for name in ("INPUT_IDS", "ATTENTION_MASK")}
    if "PAIR_IDS" in tensors:
        length = _needed(tensors["PAIR_IDS"] != pair_pad)
        pairs = max(1, int(tensors["PAIR_OF"].max()) + 1)
        out |= {name: tensors[name][:, :pairs, :length] for name in PAIR_TENSORS}
    return out


def _needed(present: NDArray[np.bool_]) -> int:
    """How many columns hold all that is present; one where nothing is, which is what a graph without pairs is given."""
    columns = np.flatnonzero(present.any(axis=tuple(range(present.ndim - 1))))
    return min(present.shape[-1], -(-(int(columns[-1]) + 1) // STEP) * STEP) if len(columns) else 1
