"""Which layers of an engine disagree with FP32: the same input through both graphs, value by value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from fuserank_export.engines.parity.reference import ReferenceSession

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
    """Compares what the nodes of both graphs compute under one name, in the order of the FP32 graph.

    Args:
        reference: The FP32 file.
        engine: The file made from it.
        feed: Inputs by name.
    """
    graph, other = (onnx.load(str(path)) for path in (reference, engine))
    shared = {name for node in other.graph.node for name in node.output}
    layers = {name: node.name for node in graph.graph.node for name in node.output if name in shared}
    half = any(each.type.tensor_type.elem_type == onnx.TensorProto.FLOAT16 for each in other.graph.value_info)
    if half:
        expected, found = (ReferenceSession(path).everything(feed) for path in (reference, engine))
    else:
        expected, found = (_tapped(model, layers, feed) for model in (graph, other))
    return [
        Disagreement(layer, relative_error(found[name], expected[name]))
        for name, layer in layers.items()
        if _comparable(expected[name], found[name])
    ]


def _tapped(model: onnx.ModelProto, names: Iterable[str], feed: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Values of a graph by name, from ONNX Runtime: it has the 8-bit operators that the reference lacks."""
    outputs = {each.name for each in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in outputs)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(list(names), dict(feed)), strict=True))


def _comparable(expected: Any, found: Any) -> bool:
    numbers = all(isinstance(each, np.ndarray) and each.dtype in (np.float16, np.float32) for each in (expected, found))
    return numbers and expected.shape == found.shape and expected.size > 0


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
