"""The one place that knows Triton's Python API: from its requests to plain arrays and back."""

from __future__ import annotations

import gc
import json
import logging
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.serving.observability import metrics, tracing
from fuserank_ensemble.serving.observability.caches import CacheMetrics
from fuserank_ensemble.serving.observability.logs import LOGGER, log_as_json
from fuserank_ensemble.serving.observability.metrics import Labels, Registry

Tensors = dict[str, Any]  # arrays; an input on a GPU is a tensor that speaks DLPack
Call = Callable[[str, Tensors, Sequence[str]], Tensors]  # a model, its inputs, the outputs wanted of it -> these
_LOG = logging.getLogger(LOGGER)
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
            log_as_json()
            started = time.monotonic()
            # Triton names the stage's folder, <bundle>/model_repository/<stage>, where the embedded server has a link.
            self._stage = stage_class.open(Path(args["model_repository"]).resolve().parent.parent, device)
            seconds = round(time.monotonic() - started, 3)
            _LOG.info("a stage has opened its bundle", extra={"stage": stage_class.name, "seconds": seconds})
            self._caches = CacheMetrics(registry(), getattr(self._stage, "caches", {}))
            for metric in (metrics.INVALID, metrics.ERRORS):
                registry().add(metric, 0.0, model=stage_class.name)
            registry().flush(force=True)
            # What is loaded now lives as long as the process: the collector need not walk it during requests.
            gc.collect()
            gc.freeze()

        def execute(self, requests: list[Any]) -> list[Any]:
            import triton_python_backend_utils as pb_utils  # noqa: PLC0415  exists only inside a Triton stub

            inputs: list[Tensors] = [
                {name: received(pb_utils.get_input_tensor_by_name(request, name)) for name in self._inputs}
                for request in requests
            ]
            ids = [request.request_id() for request in requests]
            started = time.time_ns()
            answers = answered(self._stage, inputs, ids)
            if tracing.tracer():
                self._trace(requests, answers, started)
            responses = [self._response(answer) for answer in answers]
            self._caches.count()
            registry().flush()
            return responses

        def _response(self, answer: Tensors | Exception) -> Any:
            import triton_python_backend_utils as pb_utils  # noqa: PLC0415  exists only inside a Triton stub

            if not isinstance(answer, Exception):
                return pb_utils.InferenceResponse([pb_utils.Tensor(name, answer[name]) for name in self._outputs])
            code, text = pb_utils.TritonError.INTERNAL, str(answer)
            if isinstance(answer, InvalidRequestError):
                code = pb_utils.TritonError.INVALID_ARG
                registry().add(metrics.INVALID, model=stage_class.name)
            elif isinstance(answer, UnavailableError):
                code = pb_utils.TritonError.UNAVAILABLE
            else:
                text = f"internal error in stage {stage_class.name}; the server's log has the cause"
                registry().add(metrics.ERRORS, model=stage_class.name)
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(text, code))

        def _trace(self, requests: list[Any], answers: Sequence[Tensors | Exception], started: int) -> None:
            """A span for each request that Triton traces; those of one batch have the same times."""
            ended = time.time_ns()
            for request, answer in zip(requests, answers, strict=True):
                if context := request.trace().get_context():
                    attributes: tracing.Attributes = {
                        "fuserank.request_id": request.request_id(),
                        "fuserank.batch": len(requests),
                    }
                    if isinstance(answer, Exception):
                        attributes["error.type"] = type(answer).__name__
                    elif "STATUS" in answer:
                        attributes |= tracing.told(answer["STATUS"][0, 0])
                    tracing.record(stage_class.name, json.loads(context), started, ended, attributes)

    return TritonPythonModel


def received(tensor: Any) -> Any:
    """An input as the stage gets it: an array, or where it lies on a GPU the tensor itself, which speaks DLPack.

    Triton hands on tensors that lie on a GPU only to models with FORCE_CPU_ONLY_INPUT_TENSORS set to `no`.
    """
    return tensor.as_numpy() if tensor.is_cpu() else tensor


def answered(stage: Stage, requests: list[Tensors], ids: Sequence[str]) -> list[Tensors | Exception]:
    """Runs a batch; where it breaks, runs its requests one by one, so that only the one that breaks it fails.

    Args:
        stage: Who answers.
        requests: Each request's inputs.
        ids: The callers' names of the requests, for the log.
    """
    try:
        return list(stage.execute(requests))
    except UnavailableError as error:
        # One by one they would only add to the load that is the cause.
        return [error] * len(requests)
    except Exception as error:  # the boundary: whatever a request does, the others and the process live on
        if len(requests) == 1:
            _LOG.exception("a stage failed on a request", extra={"stage": stage.name, "request_id": ids[0]})
            return [error]
        return [answered(stage, [each], [name])[0] for each, name in zip(requests, ids, strict=True)]


class TritonSink:
    """Triton's own metrics endpoint: `/metrics` of the server that runs this stage.

    It must be used from `execute` and `initialize` alone: in 2.51 a number that another thread hands on meanwhile
    crashes the whole server.
    """

    def __init__(self) -> None:
        self._families: dict[str, Any] = {}
        self._metrics: dict[tuple[str, Labels], Any] = {}

    def add(self, name: str, kind: Literal["counter", "gauge"], meaning: str, labels: Labels, value: float) -> None:
        """See `fuserank_ensemble.serving.observability.metrics.Sink`."""
        import triton_python_backend_utils as pb_utils  # noqa: PLC0415  exists only inside a Triton stub

        if (name, labels) not in self._metrics:
            if name not in self._families:
                kinds = {"counter": pb_utils.MetricFamily.COUNTER, "gauge": pb_utils.MetricFamily.GAUGE}
                self._families[name] = pb_utils.MetricFamily(name=name, description=meaning, kind=kinds[kind])
            self._metrics[name, labels] = self._families[name].Metric(labels=dict(labels))
        metric = self._metrics[name, labels]
        if kind == "gauge":
            metric.set(value)
        elif value:
            metric.increment(value)


@cache
def registry() -> Registry:
    """What this process counts; it is handed on between batches."""
    return Registry(TritonSink())


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
