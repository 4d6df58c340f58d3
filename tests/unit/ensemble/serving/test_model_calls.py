"""A model calls another one by name, and a call that was not taken is told from one that failed."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from fuserank_ensemble.graph.step import UnavailableError
from fuserank_ensemble.serving.triton import TritonHost


@dataclass
class FakeTensor:
    label: str
    array: np.ndarray

    def as_numpy(self):
        return self.array


class FakeError:
    UNAVAILABLE, INTERNAL = "UNAVAILABLE", "INTERNAL"

    def __init__(self, text, code=INTERNAL):
        self._text, self._code = text, code

    def message(self):
        return self._text

    def code(self):
        return self._code


@pytest.fixture
def triton(monkeypatch):
    """Triton's module, which exists only inside its stubs: the called model doubles, or fails as it is told to."""
    module = SimpleNamespace(error=None, sent=[], answered=[])

    class FakeRequest:
        def __init__(self, **arguments):
            self._arguments = arguments
            module.sent.append(arguments)

        def exec(self):
            tensors = [FakeTensor("Y", 2 * each.array) for each in self._arguments["inputs"]]
            response = SimpleNamespace(tensors=tensors, has_error=lambda: module.error is not None)
            response.error = lambda: module.error
            return response

    module.InferenceRequest, module.Tensor, module.TritonError = FakeRequest, FakeTensor, FakeError
    module.InferenceResponse = lambda tensors=(), error=None: SimpleNamespace(tensors=tensors, error=error)
    module.TRITONSERVER_MEMORY_CPU, module.PreferredMemory = 0, lambda kind: ("memory", kind)
    module.get_output_tensor_by_name = lambda response, name: {t.label: t for t in response.tensors}[name]
    module.get_input_tensor_by_name = lambda request, name: SimpleNamespace(
        is_cpu=lambda: True, as_numpy=lambda: request[name]
    )
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", module)
    return module


def test_a_call_names_the_model_and_the_outputs_and_wants_them_on_the_cpu(triton):
    found = TritonHost().call("retrieve", {"X": np.ones((2, 3), np.float32)[:, ::2]}, ("Y",))
    assert found["Y"].tolist() == [[2, 2], [2, 2]]
    (sent,) = triton.sent
    assert (sent["model_name"], sent["requested_output_names"]) == ("retrieve", ["Y"])
    assert sent["preferred_memory"] == ("memory", 0)
    assert sent["inputs"][0].array.flags.c_contiguous


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (FakeError("Request timeout expired", FakeError.UNAVAILABLE), UnavailableError),
        (FakeError("Model retrieve - Error when running inference: Exceeds maximum queue size"), UnavailableError),
        (FakeError("Model retrieve - Error when running inference: Server not ready"), UnavailableError),
        (FakeError("internal error in stage retrieve"), RuntimeError),
    ],
)
def test_a_call_that_was_not_taken_is_told_from_one_that_failed(triton, error, expected):
    triton.error = error
    with pytest.raises(RuntimeError, match=f"^retrieve: {error.message()}$") as caught:
        TritonHost().call("retrieve", {"X": np.zeros((1, 1), np.float32)}, ("Y",))
    assert caught.type is expected


def test_the_models_of_a_server_are_those_of_its_repository(tmp_path):
    (tmp_path / "text_tower").mkdir()
    host = TritonHost(models=tmp_path)
    assert (host.serves("text_tower"), host.serves("ranker")) == (True, False)
