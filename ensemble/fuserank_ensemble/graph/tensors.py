"""Tensors between the steps of the graph: how values become arrays that Triton can carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tensors = dict[str, Any]  # arrays by name; an input on a GPU is a tensor that speaks DLPack
# What fills a row that is shorter than others, where that is not 0 or an empty string.
PADS = {"CANDIDATES": -1, "FEATURES": np.nan}


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


def take_rows(tensors: Tensors, rows: Sequence[int]) -> Tensors:
    """Returns some rows of each tensor `[rows, …]`."""
    return {name: array[np.asarray(rows)] for name, array in tensors.items()}


def join_rows(
    parts: Sequence[tuple[Sequence[int], Tensors]], pads: Mapping[str, float] = MappingProxyType({})
) -> Tensors:
    """Joins what different steps answered to the rows of one request.

    Args:
        parts: The rows' places in the request, and the tensors of the same names, `[rows, …]`; those that are shorter
            than others are padded as their step pads them.
        pads: What fills a shorter row, by tensor, beside `PADS`.

    Returns:
        The tensors `[all rows, …]`.
    """
    total = sum(len(rows) for rows, _ in parts)
    joined: Tensors = {}
    for name, first in parts[0][1].items():
        arrays = [tensors[name] for _, tensors in parts]
        shape = np.max([array.shape[1:] for array in arrays], axis=0)
        pad = {**PADS, **pads}.get(name, b"" if first.dtype == object else 0)
        joined[name] = out = np.full((total, *shape), pad, first.dtype)
        for (rows, _), array in zip(parts, arrays, strict=True):
            out[(np.asarray(rows), *map(slice, array.shape[1:]))] = array
    return joined


def concatenate(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Joins arrays along their first dimension; a single one is not copied."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
