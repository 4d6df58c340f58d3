"""The one place that knows Triton's Python API: from its requests to plain arrays and back."""

from __future__ import annotations

import gc
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ensemble.contract import InvalidRequestError

Tensors = dict[str, NDArray[Any]]
_LOG = logging.getLogger("fuserank")


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
            requests: Each request's inputs by name, `[rows, …]`.

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
                {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs}
                for request in requests
            ]
            responses = []
            for answer in answered(self._stage, inputs):
                if isinstance(answer, InvalidRequestError):
                    code = pb_utils.TritonError.INVALID_ARG
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


def answered(stage: Stage, requests: list[Tensors]) -> list[Tensors | Exception]:
    """Runs a batch; where it breaks, runs its requests one by one, so that only the one that breaks it fails."""
    try:
        return list(stage.execute(requests))
    except Exception as error:  # the boundary: whatever a request does, the others and the process live on
        if len(requests) == 1:
            _LOG.exception("stage %s failed on a request", stage.name)
            return [error]
        return [answered(stage, [request])[0] for request in requests]


def strings(rows: Sequence[Sequence[bytes]]) -> NDArray[np.object_]:
    """A BYTES tensor `[rows, columns]`."""
    out = np.empty((len(rows), len(rows[0]) if rows else 0), np.object_)
    for i, row in enumerate(rows):
        out[i, :] = row
    return out
