"""The one place that knows Triton's Python API: from its requests to plain arrays and back."""

from __future__ import annotations

import gc
import json
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.contract.experiment import Experiment, experiment_from_environment
from fuserank_ensemble.graph.step import Model, SearchObserver, Step, UnavailableError, UnsupportedError
from fuserank_ensemble.graph.tensors import Tensors
from fuserank_ensemble.serving.admission import FIRST_STAGE, Admission, AdmittedStep, FinishedMark, FinishingObserver
from fuserank_ensemble.serving.arms import DEALT_MODELS, arm_places
from fuserank_ensemble.serving.observability import metrics, tracing
from fuserank_ensemble.serving.observability.caches import CacheMetrics
from fuserank_ensemble.serving.observability.logs import LOGGER, log_as_json
from fuserank_ensemble.serving.observability.metrics import Labels, Registry
from fuserank_ensemble.serving.observability.search import LateSearchMetrics, SearchMetrics
from fuserank_ensemble.serving.switch.folder import SwitchFolder
from fuserank_ensemble.serving.switch.step import OpenedStep, SwitchingStep
from fuserank_ensemble.state.identity import IdentityKey
from fuserank_ensemble.state.settings import StateSettings, choose_key, key_file_from_environment

Made = TypeVar("Made")
_LOG = logging.getLogger(LOGGER)
# A call that is refused before it is queued keeps Triton's words, but the Python backend calls it INTERNAL.
_REFUSALS = ("Exceeds maximum queue size", "Server not ready")


class TritonAdapter(ABC):
    """A `TritonPythonModel` around a step of the graph; subclasses say how the step is opened."""

    @abstractmethod
    def open_step(self, args: dict[str, str], config: dict[str, Any]) -> Step | AdmittedStep:
        """Opens what answers.

        Args:
            args: What Triton hands to `initialize`.
            config: The model's configuration.
        """

    def initialize(self, args: dict[str, str]) -> None:
        """Opens the step, and begins to count."""
        config = json.loads(args["model_config"])
        self._name = str(args["model_name"])
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._outputs = [tensor["name"] for tensor in config["output"]]
        log_as_json()
        self._closing = ExitStack()
        started = time.monotonic()
        self._step = self.open_step(args, config)
        seconds = round(time.monotonic() - started, 3)
        _LOG.info("a model has been opened", extra={"stage": self._name, "seconds": seconds})
        self._caches = CacheMetrics(registry(), getattr(self._step, "caches", {}))
        for metric in (metrics.INVALID, metrics.ERRORS, metrics.REFUSED):
            registry().add(metric, 0.0, model=self._name)
        registry().flush(force=True)
        # What is loaded now lives as long as the process: the collector need not walk it during requests.
        gc.collect()
        gc.freeze()

    def finalize(self) -> None:
        """Ends the step's threads and lets go of its files, once all requests have been answered."""
        try:
            self._closing.close()
        except Exception:  # the boundary: Triton stops whatever happens
            _LOG.exception("a model could not be closed", extra={"stage": self._name})

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answers a batch; each request gets its outputs or its own error."""
        import triton_python_backend_utils as pb_utils  # noqa: PLC0415  exists only inside a Triton stub

        def read(request: Any) -> Tensors:
            return {name: input_array(pb_utils.get_input_tensor_by_name(request, name)) for name in self._inputs}

        ids = [request.request_id() for request in requests]
        inputs = [self._attempt(partial(read, request), name) for request, name in zip(requests, ids, strict=True)]
        started = time.time_ns()
        sound = [(each, name) for each, name in zip(inputs, ids, strict=True) if not isinstance(each, Exception)]
        answered = iter(
            execute_isolated(self._step, self._name, [each for each, _ in sound], [name for _, name in sound])
            if sound
            else ()
        )
        answers = [each if isinstance(each, Exception) else next(answered) for each in inputs]
        if tracing.tracer():
            self._trace(requests, answers, started)
        responses = [self._response(answer, name) for answer, name in zip(answers, ids, strict=True)]
        self._caches.count()
        registry().flush()
        return responses

    def _attempt(self, make: Callable[[], Made], request_id: str) -> Made | Exception:
        """Makes a request's tensors; where there is no memory for them, the request fails and no other."""
        try:
            return make()
        except Exception as error:  # the boundary: Triton would tell the caller of the whole batch our traceback
            _LOG.exception("a stage failed on a request", extra={"stage": self._name, "request_id": request_id})
            return error

    def _response(self, answer: Tensors | Exception, request_id: str) -> Any:
        import triton_python_backend_utils as pb_utils  # noqa: PLC0415  exists only inside a Triton stub

        def write(outputs: Tensors) -> Any:
            tensors = [pb_utils.Tensor(name, np.ascontiguousarray(outputs[name])) for name in self._outputs]
            return pb_utils.InferenceResponse(tensors)

        if not isinstance(answer, Exception):
            answer = self._attempt(partial(write, answer), request_id)
            if not isinstance(answer, Exception):
                return answer
        code, text = pb_utils.TritonError.INTERNAL, str(answer)
        if isinstance(answer, InvalidRequestError):
            code = pb_utils.TritonError.INVALID_ARG
            registry().add(metrics.INVALID, model=self._name)
        elif isinstance(answer, UnavailableError):
            code = pb_utils.TritonError.UNAVAILABLE
            registry().add(metrics.REFUSED, model=self._name)
        elif isinstance(answer, UnsupportedError):
            code = pb_utils.TritonError.UNSUPPORTED
        else:
            text = f"internal error in stage {self._name}; the server's log has the cause"
            registry().add(metrics.ERRORS, model=self._name)
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(text, code))

    def _trace(self, requests: list[Any], answers: Sequence[Tensors | Exception], started: int) -> None:
        """Records a span for each request that Triton traces; those of one batch have the same times."""
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
                    attributes |= tracing.status_attributes(answer["STATUS"][0, 0])
                tracing.record(self._name, json.loads(context), started, ended, attributes)


def triton_model(model_class: type[Model]) -> type[TritonAdapter]:
    """Returns the `TritonPythonModel` class that Triton looks for in a model's `model.py`."""

    class TritonPythonModel(TritonAdapter):
        def open_step(self, args: dict[str, str], config: dict[str, Any]) -> Step | AdmittedStep:
            del config
            # Triton names the model's folder, <bundle>/model_repository/<model>, or one of links, see `link_models`.
            entry = Path(args["model_repository"]) / args["model_version"] / "model.py"
            root = entry.resolve().parents[3]
            device, folder = instance_device(args), SwitchFolder.from_environment()

            def open_step(bundle_root: Path, announced: Announced = "late") -> OpenedStep:
                # A link to the bundle's folder: what lies beside it is what this server serves.
                host = TritonHost(announced, Path(args["model_repository"]).parent)
                return OpenedStep(model_class.open(bundle_root, device, host), host.releases)

            name, first = args["model_name"], open_step(root, "now")
            places = arm_places(experiment_from_environment()) if name in DEALT_MODELS else []
            if not (folder or places):
                self._closing.callback(first.close)
                return first.step
            arms = {place.id: open_step(Path(place.folder), "beside") for place in places}
            pads = {"PAIR_IDS": Bundle.open(root, verify=()).spec.pair_pad_token_id} if arms else {}
            switching = SwitchingStep(name, root, first, open_step, folder, arms, pads)
            self._closing.callback(switching.close)
            if folder and name == FIRST_STAGE:
                return AdmittedStep(switching, Admission(FinishedMark(folder.path)))
            return switching

    return TritonPythonModel


def instance_device(args: dict[str, str]) -> str:
    """Returns the device of a model instance, `cpu` or `cuda:N`."""
    return f"cuda:{args['model_instance_device_id']}" if args["model_instance_kind"] == "GPU" else "cpu"


def input_array(tensor: Any) -> Any:
    """Returns an input as the step gets it: an array, or where it lies on a GPU the tensor itself, which speaks DLPack.

    Triton hands on tensors that lie on a GPU only to models with FORCE_CPU_ONLY_INPUT_TENSORS set to `no`.
    """
    return tensor.as_numpy() if tensor.is_cpu() else tensor


def execute_isolated(
    step: Step | AdmittedStep, name: str, requests: list[Tensors], ids: Sequence[str]
) -> list[Tensors | Exception]:
    """Runs a batch; where it breaks, runs its requests one by one, so that only the one that breaks it fails.

    Args:
        step: What answers.
        name: The model's name, for the log.
        requests: Each request's inputs.
        ids: The callers' names of the requests, for the log.

    Returns:
        For each request its outputs or its error.
    """
    try:
        return list(step.execute(requests))
    except (UnavailableError, UnsupportedError) as error:
        # One by one they would only add to the load that is the cause.
        return [error] * len(requests)
    except Exception as error:  # the boundary: whatever a request does, the others and the process live on
        if len(requests) == 1:
            _LOG.exception("a stage failed on a request", extra={"stage": name, "request_id": ids[0]})
            return [error]
        return [execute_isolated(step, name, [r], [i])[0] for r, i in zip(requests, ids, strict=True)]


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


# When metrics name a step's bundle as the served one: at once, with its first answer (a step that is opened by a thread
# of its own), or never (that of an arm, which answers beside the served one).
Announced = Literal["now", "late", "beside"]


class TritonHost:
    """Triton's Python backend as the `Host` of a step."""

    def __init__(self, announced: Announced = "now", models: Path = Path()) -> None:
        """Takes when metrics name the bundle, and the repository of the models that the server has."""
        self._announced, self._models = announced, models
        self.releases: list[Callable[[], None]] = []

    def serves(self, model: str) -> bool:
        """See `Host`."""
        return (self._models / model).is_dir()

    def search_observer(self, bundle: Bundle) -> SearchObserver:
        """See `Host`."""

        def open_metrics() -> SearchMetrics:
            if self._announced == "beside":
                return SearchMetrics(registry(), bundle.manifest, beside=True)
            return SearchMetrics(registry(), bundle.manifest, bundle.reference)

        observer = LateSearchMetrics(open_metrics) if self._announced == "late" else open_metrics()
        folder = SwitchFolder.from_environment()
        # Where the graph has a first stage of its own, that one is told.
        return (
            FinishingObserver(FinishedMark(folder.path), observer) if folder and self.serves(FIRST_STAGE) else observer
        )

    def at_close(self, release: Callable[[], None]) -> None:
        """See `Host`."""
        self.releases.append(release)

    def state(self) -> StateSettings | None:
        """See `Host`."""
        return StateSettings.from_environment()

    def user_key(self, bundle: Bundle) -> IdentityKey | None:
        """See `Host`."""
        return choose_key(self.state(), bundle.root, key_file_from_environment())

    def experiment(self) -> Experiment | None:
        """See `Host`."""
        return experiment_from_environment()

    def call(self, model: str, inputs: Tensors, outputs: Sequence[str]) -> Tensors:
        """See `Host`; it must be used from within `execute`, and waits for the answer.

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
