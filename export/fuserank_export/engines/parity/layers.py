"""Compares the layers of an engine with FP32's on the same input."""

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

MAX_LISTED = 4  # layers in a message


@dataclass(frozen=True)
class Disagreement:
    """The error of one layer.

    Attributes:
        layer: The node's name in the FP32 graph.
        error: Norm of the difference over the norm of the FP32 value; infinite where only FP32 has a finite number.
    """

    layer: str
    error: float

    def __str__(self) -> str:
        """Returns the layer and its error."""
        return f"{self.layer} ({'overflows' if np.isinf(self.error) else f'{self.error:.2g}'})"


def relative_error(actual: NDArray[Any], expected: NDArray[Any]) -> float:
    """Returns the norm of the difference over the norm of the expected values, where those are finite.

    Returns infinity where an actual value is not finite and the expected one is.
    """
    actual, expected = actual.astype(np.float64), expected.astype(np.float64)
    if (np.isfinite(expected) & ~np.isfinite(actual)).any():
        return float("inf")
    finite = np.isfinite(expected)
    norm = float(np.linalg.norm(expected[finite]))
    return float(np.linalg.norm(actual[finite] - expected[finite])) / max(norm, 1e-12)


def compare_layers(reference: Path, engine: Path, feed: Mapping[str, NDArray[Any]]) -> list[Disagreement]:
    """Compares the values that have the same name in both graphs.

    Args:
        reference: The FP32 file.
        engine: The file made from it.
        feed: Inputs by name.

    Returns:
        The error of each layer, in the order of the FP32 graph.
    """
    fp32_model, engine_model = (onnx.load(str(path)) for path in (reference, engine))
    shared = {name for node in engine_model.graph.node for name in node.output}
    layers = {name: node.name for node in fp32_model.graph.node for name in node.output if name in shared}
    element_types = {value.type.tensor_type.elem_type for value in engine_model.graph.value_info}
    if onnx.TensorProto.FLOAT16 in element_types:
        expected, actual = (ReferenceSession(path).run_all(feed) for path in (reference, engine))
    else:
        expected, actual = (_run_with_outputs(model, layers, feed) for model in (fp32_model, engine_model))
    return [
        Disagreement(layer, relative_error(actual[name], expected[name]))
        for name, layer in layers.items()
        if _comparable(expected[name], actual[name])
    ]


def _run_with_outputs(model: onnx.ModelProto, names: Iterable[str], feed: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Returns values of a graph by name, from ONNX Runtime, which has the 8-bit operators that the reference lacks."""
    outputs = {output.name for output in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in outputs)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(list(names), dict(feed)), strict=True))


def _comparable(expected: Any, actual: Any) -> bool:
    """Returns whether both values are float arrays of one shape that is not empty."""
    for value in (expected, actual):
        if not isinstance(value, np.ndarray) or value.dtype not in (np.float16, np.float32):
            return False
    return bool(expected.shape == actual.shape and expected.size > 0)


def describe_layers(layers: list[Disagreement], tolerance: float) -> str:
    """Returns text that names the first layer beyond a tolerance and the worst ones."""
    beyond = [layer for layer in layers if layer.error > tolerance]
    if not beyond:
        worst = max(layers, key=lambda layer: layer.error, default=None)
        return f"no single layer is beyond {tolerance:g}; the worst is {worst}"
    worst_first = sorted(beyond, key=lambda layer: -layer.error)[:MAX_LISTED]
    return (
        f"{len(beyond)} layers disagree by more than {tolerance:g}, first {beyond[0]}, "
        f"most {', '.join(map(str, worst_first))}"
    )
