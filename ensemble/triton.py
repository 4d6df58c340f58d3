"""The one place that knows Triton's Python API: from its requests to plain arrays and back."""

from __future__ import annotations

import gc
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ensemble.contract import InvalidRequestError

Tensors = dict[str, Any]  # arrays; an input on a GPU is a tensor that speaks DLPack
Call = Callable[[str, Tensors, Sequence[str]], Tensors]  # a model, its inputs, the outputs wanted of it -> these
_LOG = logging.getLogger("fuserank")
# A call that is refused before it is queued keeps Triton's words, but the Python backend calls it INTERNAL.
_REFUSALS = ("Exceeds maximum queue size", "Server not ready")


class UnavailableError(RuntimeError):
    """Another model of this server takes no calls at present, such as one whose queue is full."""


class Stage(Protocol):
    """A stage of the graph: arrays in, arrays out, nothing of Triton."""

    name: str

    @classmethod
    def open(cls, bundle_root: Path, device: str) -> Stage:
        """Loads what the stage needs from the bundle; `device` is `cpu` or `cuda:N`."""
        ...

    def execute(self, requests: Sequence[Tensors]) -> list[Tensors | InvalidRequestError]:
        """Answers a batch of requests.

        Args:
            requests: Each request's inputs by name, `[rows, …]`; see `received` for those that lie on a GPU.

        Returns:
            For each request its outputs, or the error that this request alone gets.
        """
        ...


def stage_model(stage_class: type[Stage]) -> type:
    """Makes the `TritonPythonModel` class that Triton looks for in a stage's `model.py`."""

    class TritonPythonModel:
        def initialize(self, args: dict[str, str]) -> None:
            config = json.loads(args["model_config"])
            self._inputs = [tensor["name"] for tensor in config["input"]]
            self._outputs = [tensor["name"] for tensor in config["output"]]
            gpu = args["model_instance_kind"] == "GPU"
            device = f"cuda:{args['model_instance_device_id']}" if gpu else "cpu"
            # Triton names the stage's folder: <bundle>/model_repository/<stage>.
            self._stage = stage_class.open(Path(args["model_repository"]).parent.parent, device)
            # What is loaded now lives as long as the process: the collector need not walk it during requests.
            gc.collect()
            gc.freeze()

        def execute(self, requests: list[Any]) -> list[Any]:
            import triton_python_backend_utils as pb_utils  # noqa: PLC0415  exists only inside a Triton stub

            inputs: list[Tensors] = [
                {name: received(pb_utils.get_input_tensor_by_name(request, name)) for name in self._inputs}
                for request in requests
            ]
            responses = []
            for answer in answered(self._stage, inputs):
                if isinstance(answer, InvalidRequestError):
                    code = pb_utils.TritonError.INVALID_ARG
                    response = pb_utils.InferenceResponse(error=pb_utils.TritonError(str(answer), code))
                elif isinstance(answer, UnavailableError):
                    code = pb_utils.TritonError.UNAVAILABLE
                    response = pb_utils.InferenceResponse(error=pb_utils.TritonError(str(answer), code))
                elif isinstance(answer, Exception):
                    code = pb_utils.TritonError.INTERNAL
                    text = f"internal error in stage {stage_class.name}; the server's log has the cause"
                    response = pb_utils.InferenceResponse(error=pb_utils.TritonError(text, code))
                else:
                    tensors = [pb_utils.Tensor(name, answer[name]) for name in self._outputs]
                    response = pb_utils.InferenceResponse(tensors)
                responses.append(response)
            return responses

    return TritonPythonModel


def received(tensor: Any) -> Any:
    """An input as the stage gets it: an array, or where it lies on a GPU the tensor itself, which speaks DLPack.

    Triton hands on tensors that lie on a GPU only to models with FORCE_CPU_ONLY_INPUT_TENSORS set to `no`.
    """
    return tensor.as_numpy() if tensor.is_cpu() else tensor


def answered(stage: Stage, requests: list[Tensors]) -> list[Tensors | Exception]:
    """Runs a batch; where it breaks, runs its requests one by one, so that only the one that breaks it fails."""
    try:
        return list(stage.execute(requests))
    except UnavailableError as error:
        # One by one they would only add to the load that is the cause.
        return [error] * len(requests)
    except Exception as error:  # the boundary: whatever a request does, the others and the process live on
        if len(requests) == 1:
            _LOG.exception("stage %s failed on a request", stage.name)
            return [error]
        return [answered(stage, [request])[0] for request in requests]


def called(model: str, inputs: Tensors, outputs: Sequence[str]) -> Tensors:
    """Calls another model of this server from within a stage's `execute`, and waits for its answer.

    Args:
        model: Its name.
        inputs: Its inputs, `[rows, …]` with at most `GraphSpec.max_batch` rows.
        outputs: Which of its outputs are wanted; they come on the CPU.

    Raises:
        UnavailableError: Where its queue is full, or the server is not ready.
        RuntimeError: Where it failed.
    """
    import triton_python_backend_utils as pb_utils  # noqa: PLC0415  exists only inside a Triton stub

    response = pb_utils.InferenceRequest(
        model_name=model,
        requested_output_names=list(outputs),
        inputs=[pb_utils.Tensor(name, np.ascontiguousarray(array)) for name, array in inputs.items()],
        preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU),
    ).exec()
    if response.has_error():
        error = response.error()
        refused = error.code() == pb_utils.TritonError.UNAVAILABLE or any(w in error.message() for w in _REFUSALS)
        raise (UnavailableError if refused else RuntimeError)(f"{model}: {error.message()}")
    # Copies, since they are used when the response is gone.
    return {name: np.array(pb_utils.get_output_tensor_by_name(response, name).as_numpy()) for name in outputs}


def strings(rows: Sequence[Sequence[bytes]]) -> NDArray[np.object_]:
    """A BYTES tensor `[rows, columns]`."""
    out = np.empty((len(rows), len(rows[0]) if rows else 0), np.object_)
    for i, row in enumerate(rows):
        out[i, :] = row
    return out


def lists(rows: Sequence[Sequence[bytes]]) -> NDArray[np.object_]:
    """A BYTES tensor `[rows, longest]`: lists of one request have one width, the shorter end in empty strings."""
    width = max(map(len, rows), default=0)
    return strings([[*row, *[b""] * (width - len(row))] for row in rows])


def numbers(rows: Sequence[Sequence[float] | NDArray[np.float32]]) -> NDArray[np.float32]:
    """An FP32 tensor `[rows, longest]`: the shorter end in zeros."""
    out = np.zeros((len(rows), max(map(len, rows), default=0)), np.float32)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out
