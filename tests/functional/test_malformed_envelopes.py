"""Bytes that are no request, over both protocols, and connections that say nothing: others get their answers."""

from __future__ import annotations

import http.client
import json
import random
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack

import grpc
import pytest
from tritonclient.grpc import service_pb2

from fuserank.client import Client
from fuserank_ensemble.serving.server import Server
from support.running import answer, assert_no_traceback, stub_pids, url

pytestmark = pytest.mark.targets("single_process", reason="what reads envelopes is Triton, whatever runs the graph")
INFER = "/inference.GRPCInferenceService/ModelInfer"
ENVELOPES = 150


@pytest.fixture(autouse=True)
def unharmed(server: Server, client: Client) -> Iterator[None]:
    """The same processes give the same answer afterwards."""
    before, stubs = answer(client.search("milk", "u03")), stub_pids(server)
    yield
    assert answer(client.search("milk", "u03")) == before
    assert stub_pids(server) == stubs


def valid_envelope() -> bytes:
    request = service_pb2.ModelInferRequest(model_name="search", id="1")
    for name, value in {"QUERY": b"milk", "USER_ID": b"", "OPTIONS": b"{}"}.items():
        request.inputs.add(name=name, datatype="BYTES", shape=[1, 1])
        request.raw_input_contents.append(struct.pack("<I", len(value)) + value)
    return bytes(request.SerializeToString())


def spoilt(content: bytes, rng: random.Random) -> bytes:
    """The bytes with some changed, left out, repeated or added."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1)
        part = rng.randbytes(rng.randint(1, 8))
        length = rng.choice([0, 1, len(part), len(changed)])
        changed[at : at + length] = rng.choice([part, b"", changed[at : at + 8] * 2])
    return bytes(changed)


def test_a_protobuf_that_is_spoilt_is_refused_or_answered(server: Server):
    rng = random.Random(7)
    codes = set()
    with grpc.insecure_channel(url(server)) as channel:
        infer = channel.unary_unary(INFER, request_serializer=None, response_deserializer=None)
        for _ in range(ENVELOPES):
            try:
                infer(spoilt(valid_envelope(), rng), timeout=20)
                codes.add("OK")
            except grpc.RpcError as error:
                codes.add(error.code().name)
                assert_no_traceback(error.details())
    assert "OK" in codes
    assert codes <= {"OK", "INVALID_ARGUMENT", "INTERNAL", "NOT_FOUND", "UNIMPLEMENTED", "UNAVAILABLE"}, codes


def test_json_that_is_spoilt_is_refused_or_answered(server: Server):
    inputs = [
        {"name": name, "datatype": "BYTES", "shape": [1, 1], "data": [value]}
        for name, value in {"QUERY": "milk", "USER_ID": "", "OPTIONS": "{}"}.items()
    ]
    body = json.dumps({"inputs": inputs}).encode()
    rng = random.Random(8)
    statuses = set()
    for _ in range(ENVELOPES):
        connection = http.client.HTTPConnection("127.0.0.1", server.endpoints.http, timeout=20)
        headers = {"Content-Type": "application/json"}
        if rng.random() < 0.3:
            headers["Inference-Header-Content-Length"] = rng.choice(["0", "-1", "10", str(len(body)), "x", "9" * 30])
        connection.request("POST", "/v2/models/search/infer", spoilt(body, rng), headers)
        reply = connection.getresponse()
        statuses.add(reply.status)
        assert_no_traceback(reply.read().decode("utf-8", "replace"))
        connection.close()
    assert 200 in statuses
    assert 400 in statuses
    assert statuses <= {200, 400, 404, 500}, statuses


def test_connections_that_never_finish_a_request_hold_nobody_up(server: Server, client: Client):
    with ExitStack() as open_connections:
        for number in range(300):
            port = server.endpoints.http if number % 2 else server.endpoints.grpc
            connection = open_connections.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            connection.sendall(b"POST /v2/models/search/infer HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n{")
        assert len(client.search("milk")) == 10
