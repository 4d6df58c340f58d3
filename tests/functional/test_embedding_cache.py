"""A query that was asked before costs no encoder."""

from __future__ import annotations

import itertools
import urllib.request

from fuserank.client import Client
from fuserank_ensemble.serving.server import Server
from support.busy_machine import PATIENCE, wait_until


def lookups(server: Server, cache: str, result: str) -> float:
    """How many look-ups in a cache had a result, `hit` or `miss`, as Prometheus scrapes them."""
    address = f"http://127.0.0.1:{server.endpoints.metrics}/metrics"
    with urllib.request.urlopen(address, timeout=PATIENCE) as reply:
        lines = [line for line in reply.read().decode().splitlines() if f'cache="{cache}"' in line]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if f'result="{result}"' in line)


def test_a_query_that_was_asked_before_is_not_encoded_again(server: Server, client: Client):
    before, other_queries = lookups(server, "embedding", "hit"), itertools.count()
    for _ in range(100):
        client.search("a query that nobody else asks")

    def counted() -> bool:
        # An instance hands its numbers on once a second, with a batch: here one of a query that is never repeated.
        client.search(f"query {next(other_queries)}")
        return lookups(server, "embedding", "hit") - before >= 90

    assert wait_until(counted)
