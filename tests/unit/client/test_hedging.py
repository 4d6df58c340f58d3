"""Several servers are asked by turns; where one takes long, another is asked as well, and what lost is cancelled."""

from __future__ import annotations

import asyncio
import time

import grpc
import pytest

from fuserank.aio import AsyncClient
from fuserank.client import Client
from fuserank.connection import Connection
from fuserank.errors import ConfigurationError, InvalidRequestError, ServerUnavailableError

SOON = 20.0  # seconds that a busy machine may take
SLOW = 60.0  # seconds that a slow server takes
BAD = (grpc.StatusCode.INVALID_ARGUMENT, "OPTIONS.k: found 0; allowed: 1")


def both(*servers):
    return [server.url for server in servers]


def slow_down(*servers):
    """Lets servers that have been quick take their time, and forgets what they were asked."""
    for server in servers:
        server.delay = SLOW
        server.requests.clear()
        server.ended.clear()


def test_servers_are_asked_by_turns(triton, slow_triton):
    slow_triton.delay = 0
    with Client(both(triton, slow_triton)) as client:
        deadline = time.monotonic() + SOON
        while not (triton.requests and slow_triton.requests) and time.monotonic() < deadline:
            assert len(client.search("milk")) == 2
    assert triton.requests
    assert slow_triton.requests


def test_a_slow_server_is_passed_over_and_its_call_is_cancelled(triton, slow_triton):
    slow_triton.delay = 0  # until both are connected: calls go by turns from then on
    with Client(both(triton, slow_triton), hedge_after=0.05, timeout=50) as client:
        while not (triton.requests and slow_triton.requests):
            client.search("milk")
        slow_down(slow_triton)
        while not slow_triton.requests:
            assert len(client.search("milk")) == 2
        assert slow_triton.ended.wait(SOON)


async def test_the_asyncio_client_hedges_too(triton, slow_triton):
    slow_triton.delay = 0
    async with AsyncClient(both(triton, slow_triton), hedge_after=0.05, timeout=50) as client:
        while not (triton.requests and slow_triton.requests):
            await client.search("milk")
        slow_down(slow_triton)
        while not slow_triton.requests:
            assert len(await client.search("milk")) == 2
        assert await asyncio.to_thread(slow_triton.ended.wait, SOON)


async def test_a_cancelled_search_is_cancelled_on_the_server(slow_triton):
    for hedge_after in (None, 0.05):
        slow_triton.requests.clear()
        slow_triton.ended.clear()
        async with AsyncClient(slow_triton.url, hedge_after=hedge_after, timeout=50) as client:
            search = asyncio.ensure_future(client.search("milk"))
            while not slow_triton.requests:
                await asyncio.sleep(0.01)
            search.cancel()
            with pytest.raises(asyncio.CancelledError):
                await search
            assert await asyncio.to_thread(slow_triton.ended.wait, SOON)


def test_a_quick_answer_is_asked_for_once(triton):
    with Client(triton.url, hedge_after=SOON) as client:
        client.search("milk")
    assert len(triton.requests) == 1


def test_an_error_is_an_answer(triton):
    triton.failures = [BAD]
    with Client(triton.url, hedge_after=SOON) as client, pytest.raises(InvalidRequestError, match="found 0"):
        client.search("milk")
    assert len(triton.requests) == 1


async def test_of_two_calls_the_one_that_succeeds_counts(triton):
    """Both wait; the one that is done first fails, the other answers."""
    triton.delay, triton.failures = 0.3, [BAD]
    async with AsyncClient(triton.url, hedge_after=0.05, timeout=SOON) as client:
        assert len(await client.search("milk")) == 2
    with Client(triton.url, hedge_after=0.05, timeout=SOON) as client:
        triton.failures = [BAD]
        assert len(client.search("milk")) == 2
    assert len(triton.requests) == 4


def test_where_both_fail_the_error_is_raised(triton):
    triton.delay, triton.failures = 0.3, [(grpc.StatusCode.UNAVAILABLE, "server is not ready")] * 2
    client = Client(triton.url, hedge_after=0.05, timeout=SOON, retries=0)
    with client, pytest.raises(ServerUnavailableError, match="not ready"):
        client.search("milk")


def test_several_addresses_are_one_target():
    assert Connection(["127.0.0.1:8001", "127.0.0.2:8001"]).target == "ipv4:127.0.0.1:8001,127.0.0.2:8001"
    assert Connection(["[::1]:1", "[::1]:2"]).target == "ipv6:[::1]:1,[::1]:2"
    assert Connection("search.test:8001").target == "search.test:8001"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": []}, "url: found ''"),
        ({"url": ["127.0.0.1:8001", "http://127.0.0.1:8001"]}, "url: found 'http://"),
        ({"hedge_after": 0}, "hedge_after: found 0"),
    ],
)
def test_unusable_settings_are_named(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        Connection(**settings)


@pytest.mark.parametrize("urls", [["127.0.0.1:8001", "127.0.0.1"], ["127.0.0.1:8001", "[::1]:8001"]])
def test_addresses_that_gRPC_cannot_join_are_named(urls):
    with pytest.raises(ConfigurationError, match=r"allowed: (host:port|one kind)"):
        _ = Connection(urls).target
