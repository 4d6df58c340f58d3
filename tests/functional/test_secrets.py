"""What is secret is on no command line, which every user of a machine reads, and in no log of the server."""

from __future__ import annotations

import psutil

from fuserank.client import Client
from fuserank_ensemble.serving.server import Server
from support.busy_machine import PATIENCE
from support.keys import TEST_SECRET
from support.running import tritonserver, url


def test_neither_the_key_of_users_nor_where_the_log_is_is_shown(live_server: Server):
    """The log's address is handed on as one of Redis is, which holds a password."""
    with Client(url(live_server), timeout=PATIENCE) as client:
        assert client.search("milk", "u03").items
    process = tritonserver(live_server.endpoints.grpc)
    assert process is not None
    assert live_server.state is not None
    family = [process, *process.children(recursive=True)]
    lines = [word for each in family for word in _words(each)]
    assert any("stub" in line for line in lines)
    for secret in (TEST_SECRET, live_server.state.place, live_server.state.place.partition(":")[2]):
        assert secret not in "\n".join(lines)
        assert secret not in live_server.logs()
    # It is in the environment, which this user alone reads.
    assert process.environ()["FUSERANK_STATE"] == live_server.state.place


def _words(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.NoSuchProcess:
        return []
