"""ONNX Runtime engines: one class for every place where an ONNX model runs in Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from fuserank_ensemble.graph.tensors import Tensors, concatenate

SPINNING = "session.intra_op.allow_spinning"
# On a CPU the fused operator takes four times as long as the sum and the LayerNormalization that it stands for.
NOT_FUSED = ["SkipLayerNormFusion"]
LENGTH_STEP = 4  # tokens; finer lengths would leave hardly two requests of equal shape to run together


class Session(Protocol):
    """What runs a model; an ONNX Runtime session is one."""

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Any]) -> Sequence[Any]:
        """Returns the named outputs in their order."""
        ...


class Engine(Protocol):
    """A step that runs a model: each request's inputs in, its outputs out."""

    def execute(self, requests: Sequence[Tensors]) -> list[Tensors]:
        """Returns each request's outputs by name, `[rows, …]`."""
        ...


def open_session(path: Path, parameters: Mapping[str, str], device_id: int | None = None) -> ort.InferenceSession:
    """Opens a session as a model's configuration asks.

    Args:
        path: The ONNX file.
        parameters: The configuration's parameters by name.
        device_id: A GPU's number, or None for the CPU.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = int(parameters.get("intra_op_thread_count", 0))
    options.inter_op_num_threads = int(parameters.get("inter_op_thread_count", 1))
    # Threads that spin while idle steal the cores of the other steps: off unless the configuration asks for it.
    options.add_session_config_entry(SPINNING, parameters.get(SPINNING, "0"))
    providers: list[Any] = ["CPUExecutionProvider"]
    if device_id is not None:
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device_id}))
    disabled = NOT_FUSED if device_id is None else None
    return ort.InferenceSession(str(path), options, providers=providers, disabled_optimizers=disabled)


class OnnxEngine:
    """Runs one model, once for all requests of a batch that have equal shapes."""

    def __init__(
        self, session: Session, outputs: Sequence[str], trim: Callable[[Tensors], Tensors] | None = None
    ) -> None:
        """Takes a session.

        Args:
            session: What runs the model.
            outputs: The outputs that are wanted.
            trim: Cuts padding off a request's inputs before requests are batched; None leaves them as they are.
        """
        self._session, self._outputs, self._trim = session, list(outputs), trim

    def run(self, batch: Tensors) -> Tensors:
        """Returns the outputs of one batch by name."""
        return dict(zip(self._outputs, self._session.run(self._outputs, batch), strict=True))

    def execute(self, requests: Sequence[Tensors]) -> list[Tensors]:
        """See `Engine`."""
        inputs = [self._trim(tensors) for tensors in requests] if self._trim else list(requests)
        by_shape: dict[tuple[tuple[int, ...], ...], list[int]] = {}
        for i, tensors in enumerate(inputs):
            by_shape.setdefault(tuple(array.shape[1:] for array in tensors.values()), []).append(i)
        out: list[Tensors] = [{} for _ in inputs]
        for members in by_shape.values():
            outputs = self.run({name: concatenate([inputs[i][name] for i in members]) for name in inputs[members[0]]})
            rows = [len(next(iter(inputs[i].values()))) for i in members]
            for i, start, count in zip(members, np.cumsum([0, *rows]), rows, strict=False):
                out[i] = {name: array[start : start + count] for name, array in outputs.items()}
        return out


def trim_tokens(tensors: Tensors) -> Tensors:
    """Cuts an encoder's inputs to their longest row, rounded up to `LENGTH_STEP`.

    Buckets are for engines of fixed shapes; where a shape is free, padding beyond the longest row is only work.
    """
    length = padded_length(tensors["ATTENTION_MASK"] != 0)
    return {name: array[..., :length] for name, array in tensors.items()}


def padded_length(real: NDArray[np.bool_]) -> int:
    """Returns how many columns hold every real token, rounded up to `LENGTH_STEP`; at least one.

    Args:
        real: Where a token is no padding, bool `[…, length]`.
    """
    columns = np.flatnonzero(real.any(axis=tuple(range(real.ndim - 1))))
    return min(real.shape[-1], -(-(int(columns[-1]) + 1) // LENGTH_STEP) * LENGTH_STEP) if len(columns) else 1
