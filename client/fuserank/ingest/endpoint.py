"""Answers Prometheus and the kubelet: `/metrics`, `/live` and `/ready`."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol

from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from fuserank.ingest.metrics import IngestMetrics

LATE_SECONDS = 120.0  # a reader whose loop stands still so long is not alive


class Reader(Protocol):
    """What is asked of an ingest."""

    beat: float
    joined: bool


@contextmanager
def serve_state(host: str, port: int, metrics: IngestMetrics, reader: Reader) -> Iterator[int]:
    """Answers in a thread while the block runs; yields the port, which the system chooses for 0.

    `/live` is 200 while the reader's loop goes round, also while it waits for the server or for Kafka; `/ready` is 200
    once the group has told it which partitions it reads.

    Raises:
        OSError: Where the port is taken.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, kind = self.path.partition("?")[0], "text/plain"
            if path == "/metrics":
                status, body, kind = 200, generate_latest(metrics.registry), CONTENT_TYPE_LATEST
            elif path == "/live":
                status, body = _state(time.monotonic() - reader.beat < LATE_SECONDS)
            elif path == "/ready":
                status, body = _state(reader.joined)
            else:
                status, body = 404, b"not found\n"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing: probes come every few seconds."""

    server = ThreadingHTTPServer((host, port), Handler)
    thread = threading.Thread(target=server.serve_forever, name="state", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def _state(good: bool) -> tuple[int, bytes]:
    return (200, b"yes\n") if good else (503, b"no\n")
