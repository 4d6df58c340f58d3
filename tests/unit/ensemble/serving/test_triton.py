"""At the edge to Triton one bad request harms no other, and nobody outside ever sees a traceback."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.graph.step import UnavailableError
from fuserank_ensemble.graph.tensors import string_tensor
from fuserank_ensemble.serving.backends import onnx as onnx_backend
from fuserank_ensemble.serving.observability import metrics
from fuserank_ensemble.serving.triton import execute_isolated, input_array, registry, triton_model


class Doubling:
    """Doubles a number; refuses negative ones politely, and breaks on a zero, taking its batch along."""

    name = "doubling"

    @classmethod
    def open(cls, bundle_root, device, host):
        stage = cls()
        stage.opened = (bundle_root, device)
        return stage

    def execute(self, requests):
        if any((each["X"] == 0).any() for each in requests):
            raise ZeroDivisionError("secret of line 42")
        return [
            InvalidRequestError("X", int(each["X"][0, 0]), "a positive number")
            if (each["X"] < 0).any()
            else {"Y": 2 * each["X"], "UNUSED": each["X"]}
            for each in requests
        ]


class FakeRequest(dict):
    def request_id(self):
        return f"id of {self['X'][0, 0]:g}"


def numbers(*values):
    return [FakeRequest(X=np.asarray([[value]], np.float32)) for value in values]


def ids(requests):
    return [request.request_id() for request in requests]


def test_one_request_that_breaks_a_stage_does_not_disturb_the_others_of_its_batch():
    batch = numbers(1, 0, 3, -4, 0)
    answers = execute_isolated(Doubling(), "doubling", batch, ids(batch))
    assert answers[0]["Y"] == 2
    assert isinstance(answers[1], ZeroDivisionError)
    assert answers[2]["Y"] == 6
    assert isinstance(answers[3], InvalidRequestError)
    assert isinstance(answers[4], ZeroDivisionError)


def test_a_sound_batch_is_run_once_and_whole():
    stage, calls = Doubling(), []
    inner = stage.execute
    stage.execute = lambda requests: calls.append(len(requests)) or inner(requests)
    assert [float(a["Y"][0, 0]) for a in execute_isolated(stage, "doubling", numbers(1, 2, 3), [""] * 3)] == [2, 4, 6]
    assert calls == [3]


def test_a_request_that_breaks_a_stage_leaves_its_cause_in_the_log(caplog):
    execute_isolated(Doubling(), "doubling", numbers(1, 0), ["first", "second"])
    (record,) = caplog.records
    assert (record.stage, record.request_id) == ("doubling", "second")
    assert "secret of line 42" in caplog.text


@dataclass
class FakeTensor:
    label: str
    array: np.ndarray
    on_gpu: bool = False

    def is_cpu(self):
        return not self.on_gpu

    def as_numpy(self):
        assert not self.on_gpu, "Triton refuses to copy a GPU's tensor"
        return self.array


@dataclass
class FakeResponse:
    output_tensors: list = field(default_factory=list)
    error: object = None


@dataclass
class FakeError:
    text: str
    code: str = "INTERNAL"
    INVALID_ARG = "INVALID_ARG"
    INTERNAL = "INTERNAL"
    UNAVAILABLE = "UNAVAILABLE"


class FakeFamily:
    """Counts as Triton does: one number for each name and set of labels, whoever holds it."""

    COUNTER, GAUGE = "counter", "gauge"
    scraped: ClassVar[dict] = {}

    def __init__(self, name, description, kind):
        assert description
        self.name, self.kind = name, kind

    def Metric(self, labels):
        key = (self.name, *labels.values())
        self.scraped.setdefault(key, 0.0)

        def increment(value):
            assert self.kind == "counter"
            self.scraped[key] += value

        return SimpleNamespace(increment=increment)


@pytest.fixture
def pb_utils(monkeypatch):
    """Triton's module, which exists only inside its stubs."""
    registry.cache_clear()
    monkeypatch.setattr(FakeFamily, "scraped", {})
    module = SimpleNamespace(
        get_input_tensor_by_name=lambda request, name: FakeTensor(name, request[name]),
        Tensor=FakeTensor,
        InferenceResponse=lambda output_tensors=(), error=None: FakeResponse(list(output_tensors), error),
        TritonError=FakeError,
        MetricFamily=FakeFamily,
        Logger=SimpleNamespace(log_error=lambda text: None),
    )
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", module)
    return module


def arguments(**more):
    config = {"input": [{"name": "X"}], "output": [{"name": "Y"}], **more}
    return {
        "model_config": json.dumps(config),
        "model_name": "doubling",
        "model_instance_kind": "CPU",
        "model_instance_device_id": "0",
        "model_repository": "/b/my shop/model_repository/doubling",
        "model_version": "1",
    }


def scraped(pb_utils):
    """What was counted, by name."""
    return {name: value for (name, _), value in pb_utils.MetricFamily.scraped.items() if value}


def test_a_refusal_is_the_callers_fault_and_a_crash_the_servers(pb_utils):
    model = triton_model(Doubling)()
    model.initialize(arguments())
    good, refused, broken = model.execute(numbers(5, -1, 0))
    registry().flush(force=True)
    assert [(t.label, t.array.tolist()) for t in good.output_tensors] == [("Y", [[10.0]])]
    assert (refused.error.code, refused.error.text) == ("INVALID_ARG", "X: found -1; allowed: a positive number")
    assert broken.error.code == "INTERNAL"
    assert "secret" not in broken.error.text
    assert "doubling" in broken.error.text
    assert scraped(pb_utils) == {metrics.INVALID.name: 1.0, metrics.ERRORS.name: 1.0}


@pytest.mark.parametrize("part", ["Tensor", "get_input_tensor_by_name"])
def test_a_request_that_finds_no_memory_for_its_tensors_fails_alone_and_tells_no_path(pb_utils, monkeypatch, part):
    model = triton_model(Doubling)()
    model.initialize(arguments())
    make = getattr(pb_utils, part)

    def sometimes(*given):
        if (part == "Tensor" and given[1] == 6) or (part != "Tensor" and given[0]["X"] == 3):
            raise MemoryError("Unable to allocate 522. KiB")
        return make(*given)

    monkeypatch.setattr(pb_utils, part, sometimes)
    first, failed, last = model.execute(numbers(1, 3, 5))
    assert [each.output_tensors[0].array.item() for each in (first, last)] == [2, 10]
    assert failed.error.code == "INTERNAL"
    assert failed.error.text == "internal error in stage doubling; the server's log has the cause"
    registry().flush(force=True)
    assert scraped(pb_utils) == {metrics.ERRORS.name: 1.0}
    (alone,) = model.execute(numbers(3))
    assert alone.error.code == "INTERNAL"


def test_who_cannot_be_answered_at_present_may_try_again(pb_utils):
    class Busy(Doubling):
        name = "busy"

        def execute(self, requests):
            raise UnavailableError("retrieve: Exceeds maximum queue size")

    model = triton_model(Busy)()
    model.initialize(arguments())
    (response,) = model.execute(numbers(5))
    assert (response.error.code, response.error.text) == ("UNAVAILABLE", "retrieve: Exceeds maximum queue size")
    registry().flush(force=True)
    assert scraped(pb_utils) == {metrics.REFUSED.name: 1.0}


def test_what_lies_on_a_gpu_reaches_the_stage_as_it_is_and_the_rest_as_arrays():
    array = np.ones((1, 3), np.float32)
    there = FakeTensor("EMBEDDING", array, on_gpu=True)
    assert input_array(there) is there
    assert input_array(FakeTensor("EMBEDDING", array)) is array


@pytest.mark.parametrize(("kind", "device"), [("CPU", "cpu"), ("GPU", "cuda:3")])
def test_a_stage_opens_the_bundle_around_its_folder_on_the_device_of_its_instance(pb_utils, kind, device):
    model = triton_model(Doubling)()
    model.initialize(arguments() | {"model_instance_kind": kind, "model_instance_device_id": "3"})
    root, opened_on = model._step.opened
    assert (str(root), opened_on) == ("/b/my shop", device)


@pytest.fixture
def engine(pb_utils, tmp_path):
    """The Python-based onnxruntime backend, on a model that doubles."""
    onnx = pytest.importorskip("onnx")
    node = onnx.helper.make_node("Add", ["X", "X"], ["Y"])
    tensors = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["batch", 2]) for n in ("X", "Y")]
    graph = onnx.helper.make_graph([node], "double", tensors[:1], tensors[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "1").mkdir()
    onnx.save(model, str(tmp_path / "1" / "double.onnx"))
    opened = onnx_backend.TritonPythonModel()
    parameters = {"intra_op_thread_count": {"string_value": "1"}}
    more = {"default_model_filename": "double.onnx", "parameters": parameters}
    opened.initialize(arguments(**more) | {"model_repository": str(tmp_path)})
    return opened


def test_an_engine_answers_a_batch_in_one_run_and_gives_every_request_its_own_rows(engine):
    batch = [FakeRequest(X=np.full((rows, 2), rows, np.float32)) for rows in (1, 3, 2)]
    responses = engine.execute(batch)
    assert [r.output_tensors[0].array.tolist() for r in responses] == [[[2.0 * n] * 2] * n for n in (1, 3, 2)]


def test_a_broken_engine_answers_every_request_with_an_error_and_no_detail(engine):
    responses = engine.execute([FakeRequest(X=np.zeros((1, 5), np.float32))] * 2)
    assert [r.error.code for r in responses] == ["INTERNAL", "INTERNAL"]
    assert "onnx" not in responses[0].error.text.lower()


def test_strings_lie_in_rows_and_columns_and_an_empty_list_has_no_columns():
    assert string_tensor([[b"a", b""], [b"c", b"d"]]).tolist() == [[b"a", b""], [b"c", b"d"]]
    assert string_tensor([[], []]).shape == (2, 0)
    assert string_tensor([]).shape == (0, 0)
