"""Tensors between the steps of the graph: how values become arrays that Triton can carry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tensors = dict[str, Any]  # arrays by name; an input on a GPU is a tensor that speaks DLPack


def string_tensor(rows: Sequence[Sequence[bytes]]) -> NDArray[np.object_]:
    """Returns a BYTES tensor `[rows, columns]`; every row has as many values."""
    out = np.empty((len(rows), len(rows[0]) if rows else 0), np.object_)
    for i, row in enumerate(rows):
        out[i, :] = row
    return out


def pack_strings(rows: Sequence[Sequence[bytes]]) -> NDArray[np.object_]:
    """Returns a BYTES tensor `[rows, longest]`; shorter rows end in empty strings."""
    width = max(map(len, rows), default=0)
    return string_tensor([[*row, *[b""] * (width - len(row))] for row in rows])


def pack_floats(rows: Sequence[Sequence[float] | NDArray[np.float32]]) -> NDArray[np.float32]:
    """Returns an FP32 tensor `[rows, longest]`; shorter rows end in zeros."""
    out = np.zeros((len(rows), max(map(len, rows), default=0)), np.float32)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out


def concatenate(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Joins arrays along their first dimension; a single one is not copied."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
