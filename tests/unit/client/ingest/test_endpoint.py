"""Probes and Prometheus are told how a reader of Kafka is."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from types import SimpleNamespace

import pytest

from fuserank.ingest.endpoint import LATE_SECONDS, serve_state
from fuserank.ingest.metrics import IngestMetrics


def ask(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize(
    ("path", "late", "joined", "status"),
    [
        ("/live", 0.0, False, 200),
        ("/live?verbose", LATE_SECONDS + 1, True, 503),
        ("/ready", 0.0, True, 200),
        ("/ready", 0.0, False, 503),
        ("/", 0.0, True, 404),
    ],
)
def test_a_reader_lives_while_its_loop_turns_and_is_ready_once_it_has_joined(path, late, joined, status):
    reader = SimpleNamespace(beat=time.monotonic() - late, joined=joined)
    with serve_state("127.0.0.1", 0, IngestMetrics(), reader) as port:
        assert ask(port, path)[0] == status


def test_metrics_are_prometheus_text():
    with serve_state("127.0.0.1", 0, IngestMetrics(), SimpleNamespace(beat=0.0, joined=False)) as port:
        status, text = ask(port, "/metrics")
    assert status == 200
    assert "# TYPE fuserank_ingest" in text
