"""An OTLP collector over HTTP that keeps what it gets: JSON, as Triton sends it, and protobuf, as the stages do."""

from __future__ import annotations

import base64
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from support.busy_machine import wait_until


@dataclass(frozen=True)
class Span:
    """What a test looks at in a span; ids are hexadecimal, `parent` is empty at the root."""

    name: str
    trace: str
    id: str
    parent: str
    service: str
    attributes: dict[str, Any]


@dataclass
class Collector:
    """A running collector."""

    port: int
    spans: list[Span] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        """Where servers send their spans."""
        return f"http://127.0.0.1:{self.port}/v1/traces"

    def wait_for(self, enough: Callable[[list[Span]], bool]) -> list[Span]:
        """The spans, when there are enough."""
        assert wait_until(lambda: enough(self.spans)), f"only {sorted(span.name for span in self.spans)}"
        return list(self.spans)


def _spans(content_type: str, body: bytes) -> Iterator[Span]:
    if "json" in content_type:
        message, decoded = json.loads(body), str
    else:
        message = MessageToDict(ExportTraceServiceRequest.FromString(body))

        def decoded(text: str) -> str:
            return base64.b64decode(text).hex()

    for resource in message["resourceSpans"]:
        service = _attributes(resource["resource"]).get("service.name", "")
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                parent = decoded(span.get("parentSpanId", ""))
                ids = decoded(span["traceId"]), decoded(span["spanId"]), parent
                yield Span(span["name"], *ids, service, _attributes(span))


def _attributes(holder: dict[str, Any]) -> dict[str, Any]:
    return {each["key"]: next(iter(each["value"].values())) for each in holder.get("attributes") or ()}


@contextmanager
def collector() -> Iterator[Collector]:
    """Listens until the block ends."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            running.bodies.append(body)
            running.spans += _spans(self.headers["Content-Type"], body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        running = Collector(server.server_port)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield running
        server.shutdown()
        thread.join()
