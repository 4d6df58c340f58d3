"""Which layers of an engine disagree with FP32: the same input through both graphs, value by value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.engines.parity.reference import ReferenceSession

SHOWN = 4


@dataclass(frozen=True)
class Disagreement:
    """One layer.

    Attributes:
        layer: The node's name in the FP32 graph.
        error: Euclidean norm of the difference over that of the FP32 value; infinite where one is no number.
    """

    layer: str
    error: float

    def __str__(self) -> str:
        """For messages."""
        return f"{self.layer} ({'overflows' if np.isinf(self.error) else f'{self.error:.2g}'})"


def relative_error(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """Norm of the difference over the norm of what was expected; infinite where `found` alone is no number."""
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    if (np.isfinite(expected) & ~np.isfinite(found)).any():
        return float("inf")
    sound = np.isfinite(expected)
    norm = float(np.linalg.norm(expected[sound]))
    return float(np.linalg.norm(found[sound] - expected[sound])) / max(norm, 1e-12)


def disagreements(reference: Path, engine: Path, feed: Mapping[str, NDArray[Any]]) -> list[Disagreement]:
    """Compares what both graphs compute under one name, in the order of the FP32 graph.

    Args:
        reference: The FP32 file.
        engine: The file made from it.
        feed: Inputs by name.
    """
    expected = ReferenceSession(reference).everything(feed)
    found = ReferenceSession(engine).everything(feed)
    return [
        Disagreement(name.removesuffix("_output_0"), relative_error(found[name], value))
        for name, value in expected.items()
        if name not in feed
        and isinstance(value, np.ndarray)
        and value.dtype == np.float32
        and name in found
        and found[name].shape == value.shape
        and found[name].dtype in (np.float16, np.float32)
        and value.size
    ]


def told(layers: list[Disagreement], tolerance: float) -> str:
    """The layers beyond a tolerance in words: where it begins, and the worst."""
    beyond = [each for each in layers if each.error > tolerance]
    if not beyond:
        worst = max(layers, key=lambda each: each.error, default=None)
        return f"no single layer is beyond {tolerance:g}; the worst is {worst}"
    worst_first = sorted(beyond, key=lambda each: -each.error)[:SHOWN]
    return (
        f"{len(beyond)} layers disagree by more than {tolerance:g}, first {beyond[0]}, "
        f"most {', '.join(map(str, worst_first))}"
    )
