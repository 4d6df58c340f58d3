"""Connections that never finish are held, those that the server closed are told apart, and a neighbour is timed."""

import resource
import socket
import time

import pytest

from fuserank_benchmarks.reliability import connections
from fuserank_benchmarks.reliability.connections import allow_descriptors, ask_all, is_open, unfinished
from fuserank_benchmarks.reliability.soak import Sample


@pytest.fixture
def listeners():
    """Two listening sockets, in place of HTTP and gRPC."""
    both = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    yield both
    for one in both:
        one.close()


def test_connections_are_held_until_the_block_ends_and_closed_ones_are_told(listeners):
    ports = tuple(one.getsockname()[1] for one in listeners)
    with unfinished(ports, 4) as held:
        http, grpc = ([one.accept()[0] for _ in range(2)] for one in listeners)
        assert http[0].recv(4) == b"POST"
        assert grpc[0].recv(3) == b"PRI"
        grpc[1].sendall(b"settings")
        http[1].close()
        deadline = time.monotonic() + 5
        while sum(map(is_open, held)) > 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert [is_open(one) for one in held] == [True, True, False, True]
    http[0].settimeout(5)
    while http[0].recv(100):  # to its end
        pass


def test_what_nobody_listens_for_is_left_out(listeners):
    ports = (listeners[0].getsockname()[1], listeners[1].getsockname()[1])
    listeners[1].close()
    with unfinished(ports, 4) as held:
        assert len(held) == 2


def test_a_search_that_fails_is_counted_and_timed():
    def ask(query, user):
        if query == "b":
            raise RuntimeError(user)

    figures = ask_all(ask, [("a", ""), ("b", "")])
    assert figures["failed"] == 1
    assert 0 <= figures["p50_ms"] <= figures["p99_ms"]


def test_too_few_descriptors_are_refused_with_how_many_are_needed(monkeypatch):
    limits = []
    monkeypatch.setattr(resource, "setrlimit", lambda kind, both: limits.append(both))
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1_024, 4_096))
    with pytest.raises(SystemExit, match="11,000 descriptors are needed, 4,096 allowed"):
        allow_descriptors(10_000)
    allow_descriptors(3_000)
    assert limits == [(4_000, 4_096)]


def test_every_figure_has_a_meaning(monkeypatch, listeners):
    ports = tuple(one.getsockname()[1] for one in listeners)
    monkeypatch.setattr(connections, "HELD_SECONDS", 0.0)
    monkeypatch.setattr(connections, "NEW_SECONDS", 0.1)
    monkeypatch.setattr(connections, "take_sample", lambda process, at: Sample(at, 1.0, 2, 3.0))

    class Neighbour:
        def __init__(self, url):
            assert url == f"127.0.0.1:{ports[1]}"

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def search(self, query, user):
            assert query

    monkeypatch.setattr(connections, "Client", Neighbour)
    figures = connections.hold_connections(ports, None, [("milk", "")] * 6, 2)
    assert figures.keys() == connections.MEANINGS.keys()
    assert (figures["connections_opened"], figures["connections_kept"]) == (2, 2)
    assert figures["connections_new_ms"] is None  # nobody answers here


def test_who_comes_anew_is_timed(serve_text):
    port = int(serve_text("").rpartition(":")[2].partition("/")[0])
    assert 0 < connections.ask_anew(port) < 10_000
