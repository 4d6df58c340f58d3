"""Connections whose requests never end: what a neighbour's searches see of thousands of them, and what they cost.

Half of them are HTTP with a body that does not come, half gRPC with a frame of headers that does not come.
"""

from __future__ import annotations

import http.client
import json
import resource
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console

from fuserank.client import Client
from fuserank_benchmarks.demo import free_ports, served
from fuserank_benchmarks.inputs.queries import FreshLoad, ShopVocabulary
from fuserank_benchmarks.reliability.soak import server_process, take_sample
from fuserank_evaluation.reports.report import merge_report

SEARCHES = 300  # of each measurement, one after the other
NEW_SECONDS = 10.0  # that a new caller waits for an answer
HELD_SECONDS = 10.0  # before the neighbour is asked: a server that closes them does so within it, or not at all
SPARE_DESCRIPTORS = 1_000  # beside the connections, for all else that a process has open
UNFINISHED_HTTP = b"POST /v2/models/search/infer HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n{"
# HTTP/2's preface, empty settings, and the head of a frame of 4,096 bytes of headers.
UNFINISHED_GRPC = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000 001000010400000001")

_OF_SEARCHES = {
    "p50_ms": "median",
    "p99_ms": "99th percentile",
    "failed": "searches that were refused or failed",
}
_WHEN = {"before": "before", "beside": "while they are open", "after": "after they were closed"}
MEANINGS = {
    "connections_opened": "connections that were opened, half HTTP, half gRPC, each with a request that never ends",
    "connections_kept": "of them still open when the neighbour's searches were done",
    "connections_seconds": "s that opening them took",
    **{
        f"connections_{when}_{name}": f"a neighbour's searches, one at a time, {told}: {what}"
        for when, told in _WHEN.items()
        for name, what in _OF_SEARCHES.items()
    },
    "connections_new_ms": "ms until who came while they are open was told over HTTP that `search` is ready",
    "connections_memory_mb": "MB that the server's processes took for them",
    "connections_descriptors": "descriptors that they took",
}
Ask = Callable[[str, str], object]


def ask_all(ask: Ask, requests: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Asks one search after the other; returns milliseconds, and how many had no answer."""
    taken, failed = list[float](), 0
    for query, user in requests:
        started = time.perf_counter()
        try:
            ask(query, user)
        except Exception:  # whatever it is, the neighbour has no answer
            failed += 1
        taken.append((time.perf_counter() - started) * 1e3)
    return {
        "p50_ms": round(float(np.percentile(taken, 50)), 2),
        "p99_ms": round(float(np.percentile(taken, 99)), 2),
        "failed": failed,
    }


def ask_anew(port: int) -> float | None:
    """Returns the milliseconds until a new connection to HTTP had its answer; None where it had none in time."""
    started = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=NEW_SECONDS)
    try:
        connection.request("GET", "/v2/models/search/ready")
        answered = connection.getresponse().status == HTTPStatus.OK
    except OSError:
        answered = False
    finally:
        connection.close()
    return round((time.perf_counter() - started) * 1e3, 2) if answered else None


@contextmanager
def unfinished(ports: tuple[int, int], count: int) -> Iterator[list[socket.socket]]:
    """Holds connections open, each with the beginning of a request; those that are refused are left out.

    Args:
        ports: Of HTTP and of gRPC.
        count: How many, by turns to either.
    """
    with ExitStack() as closing:
        held = []
        for number in range(count):
            try:
                connection = socket.create_connection(("127.0.0.1", ports[number % 2]), timeout=5)
                closing.callback(connection.close)
                connection.sendall(UNFINISHED_GRPC if number % 2 else UNFINISHED_HTTP)
            except OSError:
                continue
            held.append(connection)
        yield held


def is_open(connection: socket.socket) -> bool:
    """Whether the other side has not closed a connection; what it sent is read."""
    connection.setblocking(False)
    try:
        while connection.recv(65_536):
            pass
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def allow_descriptors(count: int) -> None:
    """Lets this process, and a server that it starts, have so many descriptors.

    Raises:
        SystemExit: Where the hard limit is lower.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + SPARE_DESCRIPTORS
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise SystemExit(f"error: {wanted:,} descriptors are needed, {hard:,} allowed: `ulimit -Hn {wanted}` as root")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def hold_connections(
    ports: tuple[int, int], server: psutil.Process, requests: Sequence[tuple[str, str]], count: int
) -> dict[str, float | None]:
    """Measures a running server; returns the figures of `MEANINGS`.

    Args:
        ports: Of HTTP and of gRPC.
        server: Its process.
        requests: Query and user of searches, a third for each measurement.
        count: How many connections.
    """
    parts = [requests[part::3] for part in range(3)]
    figures: dict[str, dict[str, float]] = {}
    with Client(f"127.0.0.1:{ports[1]}") as client:
        figures["before"] = ask_all(client.search, parts[0])
        alone = take_sample(server, 0.0)
        started = time.monotonic()
        with unfinished(ports, count) as held:
            seconds = time.monotonic() - started
            time.sleep(HELD_SECONDS)
            figures["beside"] = ask_all(client.search, parts[1])
            new = ask_anew(ports[0])
            beside = take_sample(server, 0.0)
            kept = sum(map(is_open, held))
        figures["after"] = ask_all(client.search, parts[2])
    return {
        "connections_opened": len(held),
        "connections_kept": kept,
        "connections_seconds": round(seconds, 1),
        **{f"connections_{when}_{name}": value for when, of in figures.items() for name, value in of.items()},
        "connections_new_ms": new,
        "connections_memory_mb": round(beside.memory - alone.memory, 1),
        "connections_descriptors": beside.descriptors - alone.descriptors,
    }


def measure_connections(bundle: Path, shop: Path, count: int, console: Console) -> Path:
    """Serves a bundle beside many open connections, and writes the part `connections` of the report `reliability`.

    Args:
        bundle: The bundle to serve.
        shop: Folder of the catalogue's and the log's Parquet files.
        count: How many connections.
        console: Shows progress and figures.

    Returns:
        The report's JSON file.
    """
    allow_descriptors(count)
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    drawn = FreshLoad(ShopVocabulary.read(shop)).draw(3 * SEARCHES).requests(options="{}")
    ports = free_ports(3)
    with served(bundle, (ports[0], ports[1], ports[2]), console):
        process = server_process(f"127.0.0.1:{ports[1]}")
        figures = hold_connections((ports[0], ports[1]), process, [(query, user) for query, user, _ in drawn], count)
    console.print_json(data=figures)
    return merge_report("reliability", "connections", manifest["id"], figures, MEANINGS, {})
