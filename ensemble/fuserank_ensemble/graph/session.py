"""The `onnxruntime` backend of the embedded server: one ONNX Runtime session a model, batched inside.

It reads the same `config.pbtxt` as Triton's C++ backend: `default_model_filename`, the instance kind, and the
parameters `intra_op_thread_count`, `inter_op_thread_count` and `session.intra_op.allow_spinning`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

SPINNING = "session.intra_op.allow_spinning"
# On a CPU the fused operator takes four times as long as the sum and the LayerNormalization that it stands for.
NOT_FUSED = ["SkipLayerNormFusion"]


def open_session(path: Path, parameters: dict[str, str], device_id: int | None = None) -> ort.InferenceSession:
    """Opens a session as a model's configuration asks.

    Args:
        path: The ONNX file.
        parameters: The configuration's parameters by name.
        device_id: A GPU's number, or None for the CPU.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = int(parameters.get("intra_op_thread_count", 0))
    options.inter_op_num_threads = int(parameters.get("inter_op_thread_count", 1))
    # Threads that spin while idle steal the cores of the other stages: off unless the configuration asks for it.
    options.add_session_config_entry(SPINNING, parameters.get(SPINNING, "0"))
    providers: list[Any] = ["CPUExecutionProvider"]
    if device_id is not None:
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device_id}))
    disabled = NOT_FUSED if device_id is None else None
    return ort.InferenceSession(str(path), options, providers=providers, disabled_optimizers=disabled)


class TritonPythonModel:
    """Serves one ONNX model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Opens the session that the configuration describes."""
        config = json.loads(args["model_config"])
        self._outputs = [tensor["name"] for tensor in config["output"]]
        self._inputs = [tensor["name"] for tensor in config["input"]]
        parameters = {name: value["string_value"] for name, value in config.get("parameters", {}).items()}
        path = Path(args["model_repository"]) / args["model_version"] / config["default_model_filename"]
        gpu = args["model_instance_kind"] == "GPU"
        self._session = open_session(path, parameters, int(args["model_instance_device_id"]) if gpu else None)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Runs all requests of a batch in one go; Triton batches only requests of equal shape."""
        import triton_python_backend_utils as pb_utils  # noqa: PLC0415  exists only inside a Triton stub

        inputs = [
            {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs}
            for request in requests
        ]
        try:
            batch = {name: joined([each[name] for each in inputs]) for name in self._inputs}
            outputs = dict(zip(self._outputs, self._session.run(self._outputs, batch), strict=True))
        except Exception as error:  # the boundary: a broken engine answers with an error, the process lives on
            pb_utils.Logger.log_error(f"onnxruntime: {error}")
            text = "internal error in an engine; the server's log has the cause"
            failed = pb_utils.TritonError(text, pb_utils.TritonError.INTERNAL)
            return [pb_utils.InferenceResponse(error=failed) for _ in requests]
        ends = np.cumsum([len(each[self._inputs[0]]) for each in inputs])
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor(name, np.ascontiguousarray(outputs[name][start:end])) for name in self._outputs]
            )
            for start, end in zip([0, *ends[:-1]], ends, strict=True)
        ]


def joined(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    """Stacks the requests of a batch along its first dimension; a single one is not copied."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
