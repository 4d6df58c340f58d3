"""Checks an ONNX file before an engine is built from it or served."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx.checker import ValidationError
from onnx.shape_inference import InferenceError

from fuserank_ensemble.graph.stages import Stage
from fuserank_export.errors import ExportError

# The first has LayerNormalization as one operator, which half precision keeps in FP32; all that serve read the last.
OLDEST_OPSET, NEWEST_OPSET = 17, 20
_TYPES: Mapping[int, str] = {
    onnx.TensorProto.FLOAT: "FP32",
    onnx.TensorProto.FLOAT16: "FP16",
    onnx.TensorProto.INT32: "INT32",
    onnx.TensorProto.INT64: "INT64",
    onnx.TensorProto.INT8: "INT8",
    onnx.TensorProto.UINT8: "UINT8",
    onnx.TensorProto.BOOL: "BOOL",
}
_DTYPES = {"FP32": onnx.TensorProto.FLOAT, "INT64": onnx.TensorProto.INT64, "INT32": onnx.TensorProto.INT32}


class EngineError(ExportError, RuntimeError):
    """An engine that must not be built or served; the message names the file, what is wrong, and the remedy."""


def load_checked(path: Path, stage: Stage) -> onnx.ModelProto:
    """Loads an ONNX file and checks it.

    Args:
        path: The file.
        stage: The stage whose engine it is; the inputs and outputs of both must be the same.

    Returns:
        The model.

    Raises:
        EngineError: Where it is truncated or not ONNX, has another opset, types or shapes that contradict each other,
            weights with NaN or infinity, or other inputs or outputs than the stage.
    """
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model, full_check=True)
    except (DecodeError, OSError, ValidationError, InferenceError) as error:
        reason = str(error).strip().splitlines()
        raise EngineError(
            f"{path}: is no sound ONNX file ({reason[0] if reason else type(error).__name__}); "
            "restore the file or export the bundle again"
        ) from None
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        raise EngineError(
            f"{path}: opset is {opset}; allowed: {OLDEST_OPSET} to {NEWEST_OPSET}. "
            "Export the bundle again with this version of fuserank"
        )
    _check_weights(path, model)
    _check_interface(path, model, stage)
    return model


def _check_weights(path: Path, model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        if tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16):
            values = onnx.numpy_helper.to_array(tensor)
            if not np.isfinite(values).all():
                raise EngineError(
                    f"{path}: weight {tensor.name} holds NaN or infinity; restore the weights of the encoder or the "
                    "text tower and export the bundle again"
                )


def _check_interface(path: Path, model: onnx.ModelProto, stage: Stage) -> None:
    for kind, declared, values in (
        ("inputs", stage.inputs, model.graph.input),
        ("outputs", stage.outputs, model.graph.output),
    ):
        expected = {tensor.name: (_DTYPES[tensor.dtype], len(tensor.dims) + 1) for tensor in declared}
        actual = {value.name: _type_and_rank(value) for value in values}
        if actual != expected:
            raise EngineError(
                f"{path}: its {kind} are {_format_signature(actual)}; the spec's {stage.name} has "
                f"{_format_signature(expected)}; export the bundle again"
            )


def _type_and_rank(value: Any) -> tuple[int, int]:
    tensor = value.type.tensor_type
    return tensor.elem_type, len(tensor.shape.dim)


def _format_signature(signature: Mapping[str, tuple[int, int]]) -> str:
    return ", ".join(f"{name} {_TYPES.get(kind, kind)} of {rank} axes" for name, (kind, rank) in signature.items())
