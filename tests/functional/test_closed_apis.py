"""A server as it starts by default: what would change it or read its insides is refused over gRPC and over HTTP."""

from __future__ import annotations

import json
import socket
import struct
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from fuserank.client import Client
from fuserank_ensemble.serving.server import Server
from support.busy_machine import PATIENCE
from support.running import tritonserver

pytestmark = pytest.mark.targets("single_process", reason="the server's own arguments are the same for every target")

CODE = json.dumps({"name": "evil", "backend": "python"})
OVER_GRPC: dict[str, Callable[[triton.InferenceServerClient], object]] = {
    "repository index": lambda raw: raw.get_model_repository_index(),
    "load": lambda raw: raw.load_model("search"),
    "load code": lambda raw: raw.load_model("evil", config=CODE),
    "unload": lambda raw: raw.unload_model("search"),
    "shared memory": lambda raw: raw.register_system_shared_memory("region", "/region", 64),
    "shared memory's state": lambda raw: raw.get_system_shared_memory_status(),
    "forget shared memory": lambda raw: raw.unregister_system_shared_memory(),
    "shared memory of CUDA": lambda raw: raw.register_cuda_shared_memory("region", b"aGFuZGxl", 0, 64),
    "trace": lambda raw: raw.update_trace_settings(settings={"trace_file": "/tmp/fuserank-trace", "trace_rate": "1"}),
    "trace of a model": lambda raw: raw.update_trace_settings("search", {"trace_level": ["TENSORS"]}),
    "trace's settings": lambda raw: raw.get_trace_settings(),
    "log": lambda raw: raw.update_log_settings({"log_file": "/tmp/fuserank-log"}),
    "log's settings": lambda raw: raw.get_log_settings(),
}
OVER_HTTP = {
    "repository index": ("POST", "repository/index"),
    "load": ("POST", "repository/models/search/load"),
    "unload": ("POST", "repository/models/search/unload"),
    "shared memory": ("POST", "systemsharedmemory/region/region/register"),
    "shared memory's state": ("GET", "systemsharedmemory/status"),
    "forget shared memory": ("POST", "systemsharedmemory/unregister"),
    "shared memory of CUDA": ("POST", "cudasharedmemory/region/region/register"),
    "trace": ("POST", "trace/setting"),
    "trace of a model": ("POST", "models/search/trace/setting"),
    "trace's settings": ("GET", "trace/setting"),
    "log": ("POST", "logging"),
    "log's settings": ("GET", "logging"),
}


@pytest.mark.parametrize("call", OVER_GRPC)
def test_an_admin_api_is_closed_over_grpc(raw: triton.InferenceServerClient, call: str):
    with pytest.raises(InferenceServerException, match=r"restricted") as caught:
        OVER_GRPC[call](raw)
    assert caught.value.status() == "StatusCode.UNAVAILABLE"


@pytest.mark.parametrize("call", OVER_HTTP)
def test_an_admin_api_is_closed_over_http(server: Server, call: str):
    method, path = OVER_HTTP[call]
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.endpoints.http}/v2/{path}", b"{}" if method == "POST" else None, method=method
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=PATIENCE)
    assert caught.value.code == 403
    assert "restricted" in json.load(caught.value)["error"]


def test_what_callers_and_the_benchmark_need_stays_open(raw: triton.InferenceServerClient, client: Client):
    assert raw.is_model_ready("search")
    assert raw.get_model_config("search").config.name == "search"
    assert raw.get_inference_statistics("search").model_stats
    assert len(client.search("milk")) == 10


@pytest.fixture
def header(server: Server) -> tuple[bytes, bytes]:
    """The header that would open the APIs, read from the command line as any user of the machine can."""
    process = tritonserver(server.endpoints.grpc)
    assert process is not None
    (word,) = [word for word in process.cmdline() if word.startswith("--grpc-restricted-protocol=")]
    assert f"--http-restricted-api={word.partition('=')[2]}" in process.cmdline()
    name, _, value = word.rpartition(":")[2].partition("=")
    return name.encode(), value.encode()


def exchange(port: int, request: bytes) -> bytes:
    """What a server sends within a second, or until it ends the connection."""
    reply = b""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(request)
        connection.settimeout(1.0)
        try:
            while got := connection.recv(65536):
                reply += got
        except OSError:
            pass
    return reply


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of HTTP/2 (RFC 9113, section 4.1)."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


SUCCESS = b"grpc-status\x010"


def grpc_call(method: bytes, name: bytes, value: bytes) -> bytes:
    """A call with an empty request as bytes, with a header that no client's library would send."""
    path = b"/inference.GRPCInferenceService/" + method
    headers = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"x")]
    headers += [(b"te", b"trailers"), (b"content-type", b"application/grpc"), (name, value)]
    # Literals without a table (RFC 7541, section 6.2.2); none is as long as 127 bytes.
    packed = b"".join(b"\x00" + bytes([len(n)]) + n + bytes([len(v)]) + v for n, v in headers)
    body = frame(4, 0, 0, b"") + frame(1, 4, 1, packed) + frame(0, 1, 1, bytes(5))
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + body


def test_the_header_on_the_command_line_opens_nothing_over_grpc(server: Server, header: tuple[bytes, bytes]):
    name, value = header
    for spelt in (name, name.lower()):
        call = grpc_call(b"RepositoryIndex", b"triton-grpc-protocol-" + spelt, value)
        assert SUCCESS not in exchange(server.endpoints.grpc, call), spelt
    # Such a call succeeds where the API is open.
    assert SUCCESS in exchange(server.endpoints.grpc, grpc_call(b"ServerLive", b"x", b"y"))


@pytest.mark.parametrize("written", [b"%b", b"%b ", b" %b", b"closed\n ", b"closed\r\n \n", b"closed\r\n\t", b'"%b"'])
def test_the_header_on_the_command_line_opens_nothing_over_http(
    server: Server, header: tuple[bytes, bytes], written: bytes
):
    name, value = header
    sent = written.replace(b"%b", value)
    lines = [b"POST /v2/repository/index HTTP/1.1", b"Host: x", name + b": " + sent, b"Content-Length: 0", b"", b""]
    request = b"\r\n".join(lines)
    assert b" 200 OK" not in exchange(server.endpoints.http, request)
