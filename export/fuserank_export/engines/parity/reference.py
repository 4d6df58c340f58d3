"""Runs an ONNX file exactly in its element types, on any CPU.

ONNX Runtime's CPU provider has few half-precision kernels: it computes an FP16 graph in FP32 and drops the casts
between, so that nothing overflows and little is rounded. The reference implementation of the operators
(onnx.reference) rounds each value to half. Matrix products sum in FP32 and round once, as tensor cores do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from scipy.special import erf, expit


class _Product(OpRun):
    def _run(self, a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[Any]]:
        if a.dtype != np.float16:
            return (np.matmul(a, b),)
        with np.errstate(over="ignore"):  # overflows are looked for
            return (np.matmul(a.astype(np.float32), b.astype(np.float32)).astype(np.float16),)


class _Erf(OpRun):
    def _run(self, x: NDArray[Any]) -> tuple[NDArray[Any]]:
        return (erf(x.astype(np.float32)).astype(x.dtype),)


class _Sigmoid(OpRun):
    def _run(self, x: NDArray[Any]) -> tuple[NDArray[Any]]:
        return (expit(x.astype(np.float32)).astype(x.dtype),)


class _GatherElements(OpRun):
    def _run(self, data: NDArray[Any], indices: NDArray[Any], axis: int = 0) -> tuple[NDArray[Any]]:
        return (np.take_along_axis(data, indices, axis),)


# The library's own operators call a Python function for each number, sum in half, or fail beyond 32 elements.
_REPLACED = {"MatMul": _Product, "Erf": _Erf, "Sigmoid": _Sigmoid, "GatherElements": _GatherElements}
_OPERATORS = [type(name, (kind,), {"op_domain": ""}) for name, kind in _REPLACED.items()]


class ReferenceSession:
    """Runs an ONNX file by the reference implementation; has the `run` of an ONNX Runtime session."""

    def __init__(self, path: Path) -> None:
        """Opens an ONNX file."""
        self._evaluator = ReferenceEvaluator(str(path), new_ops=_OPERATORS)

    def run(self, outputs: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Returns the named outputs, in their order."""
        with np.errstate(all="ignore"):
            return list(self._evaluator.run(list(outputs), dict(feeds)))

    def run_all(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        """Returns every value of the graph by name, with weights and inputs."""
        with np.errstate(all="ignore"):
            return dict(self._evaluator.run(None, dict(feeds), intermediate=True))
