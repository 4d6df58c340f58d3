"""A fake Triton: a gRPC server on 127.0.0.1 that answers as the `search` model does."""

from __future__ import annotations

import json
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

MILK = {
    "fields": {"title": "Milk [2%]", "price": 2.5, "tags": ["dairy", "cold"], "in_stock": True},
    "signals": [
        {"name": "base", "value": 1.0, "contribution": 0.25},
        {"name": "text", "value": 0.71, "contribution": 1.5, "share": 0.6, "reason": "matches the words"},
        {"name": "habit", "value": 3, "contribution": 1.0, "share": 0.4, "reason": "bought 3 times", "new": 1},
    ],
    "from_a_newer_server": True,
}
BREAD = {"fields": {"title": "Bread", "price": None}}
STATUS = {
    "bundle": "b-1a2b",
    "degraded": ["ranker: 64 of 128 candidates"],
    "candidates": {"dense": 100, "fused": 128},
    "microseconds": {"encoder": 900, "total": 4200},
    "returned": 2,
    "user_known": True,
    "history_unknown": 1,
    "from_a_newer_server": {"x": 1},
}


def as_bytes(values):
    return serialize_byte_tensor(np.array(values, dtype=np.object_)).item()


@dataclass
class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Answers row 0 with two items and every other row with one, padded; each of `failures` fails one call first."""

    failures: list[tuple[grpc.StatusCode, str]] = field(default_factory=list)  # one is used up by each call
    delay: float = 0.0
    items: list[dict] = field(default_factory=lambda: [MILK, BREAD])
    status: dict = field(default_factory=lambda: STATUS)
    model_ready: bool = True
    private: bool = False  # whether the repository index is kept private
    counted: bool = False  # whether there are statistics
    requests: list[list[SimpleNamespace]] = field(default_factory=list)  # decoded rows of each ModelInfer
    metadata: list[dict[str, str]] = field(default_factory=list)  # headers of each call
    stopped: threading.Event = field(default_factory=threading.Event)  # ends all delays
    ended: threading.Event = field(default_factory=threading.Event)  # the latest call has ended, or was cancelled
    url: str = ""

    def ModelInfer(self, request, context):
        self.metadata.append(dict(context.invocation_metadata()))
        columns = [deserialize_bytes_tensor(raw) for raw in request.raw_input_contents]
        assert [list(tensor.shape) for tensor in request.inputs] == [[len(columns[0]), 1]] * 3
        assert [tensor.name for tensor in request.inputs] == ["QUERY", "USER_ID", "OPTIONS"]
        rows = [
            SimpleNamespace(query=query, user=user, raw_options=options, options=json.loads(options))
            for query, user, options in zip(*columns, strict=True)
        ]
        self.requests.append(rows)
        context.add_callback(self.ended.set)
        self.stopped.wait(self.delay)
        if self.failures:
            context.abort(*self.failures.pop(0))
        return self._answer(rows)

    def _answer(self, rows):
        batch, k = len(rows), len(self.items)
        lengths = [k] + [min(k, 1)] * (batch - 1)
        ids, item_texts, scores = [], [], []
        for length in lengths:
            ids += [b"item %d" % rank if rank < length else b"" for rank in range(k)]
            item_texts += [json.dumps(self.items[rank]) if rank < length else "" for rank in range(k)]
            scores += [2.75 - rank if rank < length else 0.0 for rank in range(k)]
        outputs = [
            ("ITEM_ID", "BYTES", [batch, k], as_bytes(ids) if ids else b""),
            ("SCORE", "FP32", [batch, k], np.array(scores, dtype=np.float32).tobytes()),
            ("ITEM", "BYTES", [batch, k], as_bytes(item_texts) if item_texts else b""),
            ("STATUS", "BYTES", [batch, 1], as_bytes([json.dumps(self.status)] * batch)),
        ]
        response = service_pb2.ModelInferResponse(model_name="search")
        for name, datatype, shape, raw in outputs:
            response.outputs.add(name=name, datatype=datatype, shape=shape)
            response.raw_output_contents.append(raw)
        return response

    def ServerLive(self, request, context):
        self.metadata.append(dict(context.invocation_metadata()))
        return service_pb2.ServerLiveResponse(live=True)

    def ServerReady(self, request, context):
        return service_pb2.ServerReadyResponse(ready=True)

    def ModelReady(self, request, context):
        assert request.name == "search"
        return service_pb2.ModelReadyResponse(ready=self.model_ready)

    def ServerMetadata(self, request, context):
        return service_pb2.ServerMetadataResponse(name="triton", version="2.51.0")

    def ModelStatistics(self, request, context):
        if not self.counted:
            context.abort(grpc.StatusCode.UNAVAILABLE, "This protocol is restricted, expecting header 'admin'")
        response = service_pb2.ModelStatisticsResponse()
        response.model_stats.add(name="search", version="1")
        return response

    def RepositoryIndex(self, request, context):
        if self.private:
            context.abort(grpc.StatusCode.UNAVAILABLE, "This protocol is restricted, expecting header 'admin'")
        response = service_pb2.RepositoryIndexResponse()
        response.models.add(name="search", version="1", state="READY")
        response.models.add(name="encoder", version="1", state="UNAVAILABLE", reason="unloaded")
        return response


def serve(fake, credentials=None):
    """Starts a fake on a free port; returns the server, to be stopped."""
    server = grpc.server(ThreadPoolExecutor(4))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(fake, server)
    address = "127.0.0.1:0"
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    fake.url = f"127.0.0.1:{port}"
    server.start()
    return server


def running(fake):
    """A fake on a free port while a test runs."""
    server = serve(fake)
    yield fake
    fake.stopped.set()
    server.stop(0).wait()


@pytest.fixture
def triton():
    yield from running(FakeTriton())


@pytest.fixture
def slow_triton():
    """A server that does not answer within a test."""
    yield from running(FakeTriton(delay=60))


@dataclass(frozen=True)
class Certificate:
    cert: str
    key: str


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """Self-signed certificates for the server, for a known client and for a stranger."""
    folder = tmp_path_factory.mktemp("certificates")

    def self_signed(name):
        cert, key = str(folder / f"{name}.crt"), str(folder / f"{name}.key")
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        names = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1,DNS:search.test"]
        subprocess.run([*command.split(), *names, "-keyout", key, "-out", cert], check=True, capture_output=True)
        return Certificate(cert, key)

    return SimpleNamespace(**{name: self_signed(name) for name in ("server", "client", "stranger")})


@pytest.fixture(params=["tls", "mutual"])
def encrypted_triton(request, certificates):
    """A fake behind TLS; under "mutual" it admits only holders of the client's certificate."""

    def content(path):
        with open(path, "rb") as file:
            return file.read()

    mutual = request.param == "mutual"
    fake = FakeTriton()
    credentials = grpc.ssl_server_credentials(
        [(content(certificates.server.key), content(certificates.server.cert))],
        root_certificates=content(certificates.client.cert) if mutual else None,
        require_client_auth=mutual,
    )
    server = serve(fake, credentials)
    fake.mutual = mutual
    yield fake
    fake.stopped.set()
    server.stop(0).wait()
