"""The blocking and the asyncio client send the same requests and return the same results."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect

import grpc
import pytest

from fuserank.aio import AsyncClient
from fuserank.client import Client
from fuserank.errors import ClientClosedError, DeadlineExceededError, InvalidRequestError, ServerUnavailableError
from fuserank.types import ModelStatus, Request

BUSY = (grpc.StatusCode.UNAVAILABLE, "server is not ready")


def test_a_result_holds_items_fields_signals_and_status(triton):
    with Client(triton.url) as client:
        result = client.search("half gallon milk", user="900", k=2, explain=True)
    milk, bread = result
    assert (milk.id, milk.score, milk.fields["title"]) == ("item 0", 2.75, "Milk [2%]")
    assert [(s.name, s.contribution) for s in milk.signals] == [("base", 0.25), ("text", 1.5), ("habit", 1.0)]
    assert sum(s.contribution for s in milk.signals) == pytest.approx(milk.score)
    assert (bread.fields["price"], bread.signals) == (None, ())
    assert result.status.bundle == "b-1a2b"
    assert result.status.degraded == ("ranker: 64 of 128 candidates",)
    assert (result.status.user_known, result.status.history_unknown) == (True, 1)
    (row,) = triton.requests[0]
    assert (row.query, row.user, row.options) == (b"half gallon milk", b"900", {"k": 2, "explain": True})


def test_a_recommendation_is_a_search_without_a_query(triton):
    with Client(triton.url) as client:
        client.recommend("900", exclude_seen=True)
    (row,) = triton.requests[0]
    assert (row.query, row.user, row.options) == (b"", b"900", {"exclude_seen": True})


def test_a_batch_is_one_call_and_loses_its_padding(triton):
    with Client(triton.url) as client:
        first, second = client.search_batch([Request("milk"), Request(user="7", k=1)])
        assert client.search_batch([]) == []
    assert (len(first), len(second)) == (2, 1)
    assert [len(rows) for rows in triton.requests] == [2]


async def test_more_than_a_call_holds_is_split_in_its_order(triton):
    requests = [Request(f"q{number}", k=1) for number in range(70)]
    with Client(triton.url) as client:
        assert len(client.search_batch(requests)) == 70
    async with AsyncClient(triton.url) as client:
        assert len(await client.search_batch(requests)) == 70
    assert [len(rows) for rows in triton.requests] == [32, 32, 6, 32, 32, 6]
    queries = [row.query.decode() for rows in triton.requests for row in rows]
    assert queries == [request.query for request in requests] * 2


def test_no_items_is_an_empty_result(triton):
    triton.items = []
    with Client(triton.url) as client:
        assert list(client.search("milk")) == []


def test_status_has_models_and_bundle(triton):
    with Client(triton.url) as client:
        status = client.status()
    assert (status.live, status.ready, status.version, status.model_ready) == (True, True, "2.51.0", True)
    assert status.models[1] == ModelStatus("encoder", "1", "UNAVAILABLE", "unloaded")
    assert status.bundle == "b-1a2b"


def test_status_works_where_parts_are_private_or_broken(triton):
    triton.private, triton.model_ready = True, False
    triton.failures = [(grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'search' is not found")]
    with Client(triton.url) as client:
        status = client.status()
    assert (status.live, status.model_ready, status.models, status.bundle) == (True, False, (), None)


def test_status_names_the_loaded_models_of_a_server_that_keeps_its_index_private(triton):
    triton.private, triton.counted = True, True
    with Client(triton.url) as client:
        assert client.status().models == (ModelStatus("search", "1", "READY"),)


def test_threads_share_a_client(triton):
    async def many():
        return await asyncio.gather(*(asyncio.to_thread(client.search, f"{n}") for n in range(20)))

    with Client(triton.url) as client:
        assert {len(result) for result in asyncio.run(many())} == {2}
    assert {rows[0].query for rows in triton.requests} == {b"%d" % n for n in range(20)}


async def test_the_asyncio_client_answers_as_the_blocking_one(triton):
    with Client(triton.url) as client:
        blocking = [
            client.search("milk", explain=True),
            client.recommend("900"),
            client.search_batch([Request("milk"), Request(user="7")]),
            client.status(),
        ]
    sent, triton.requests = triton.requests, []
    async with AsyncClient(triton.url, headers={"X-Shop": "north"}) as client:
        awaited = [
            await client.search("milk", explain=True),
            await client.recommend("900"),
            await client.search_batch([Request("milk"), Request(user="7")]),
            await client.status(),
        ]
        assert await client.search_batch([]) == []
    assert awaited == blocking
    assert triton.requests == sent
    assert triton.metadata[-1]["x-shop"] == "north"


def test_both_clients_have_the_same_signatures():
    for name in ("__init__", "search", "recommend", "search_batch", "status", "close"):
        assert inspect.signature(getattr(Client, name)) == inspect.signature(getattr(AsyncClient, name))


async def test_the_asyncio_client_retries_times_out_and_names_errors(triton):
    triton.failures = [BUSY, BUSY]
    async with AsyncClient(triton.url) as client:
        assert len(await client.search("milk")) == 2
        assert len(triton.requests) == 3
        triton.failures = [(grpc.StatusCode.INVALID_ARGUMENT, "in ensemble 'search', OPTIONS.k: found 0")]
        with pytest.raises(InvalidRequestError, match=r"^OPTIONS\.k"):
            await client.search("milk")
        assert len(triton.requests) == 4
    async with AsyncClient(triton.url, retries=0) as client:
        triton.failures = [BUSY]
        with pytest.raises(ServerUnavailableError):
            await client.search("milk")
    triton.delay = 0.5
    async with AsyncClient(triton.url, timeout=0.1) as client:
        with pytest.raises(DeadlineExceededError):
            await client.search("milk")


async def test_a_closed_asyncio_client_raises_client_closed(triton):
    client = AsyncClient(triton.url)
    await client.search("milk")
    await client.close()
    await client.close()
    with pytest.raises(ClientClosedError):
        await client.search("milk")


async def test_a_cancelled_task_stays_cancelled(triton):
    triton.delay = 0.5
    async with AsyncClient(triton.url) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.search("milk"), 0.05)


@pytest.mark.parametrize("encrypted_triton", ["mutual"], indirect=True)
async def test_the_asyncio_client_speaks_mutual_tls(encrypted_triton, certificates):
    from fuserank.connection import TLS

    tls = TLS(certificates.server.cert, certificates.client.cert, certificates.client.key)
    async with AsyncClient(encrypted_triton.url, tls=tls) as client:
        assert len(await client.search("milk")) == 2


def test_an_asyncio_client_may_be_made_before_its_loop_runs(triton):
    client = AsyncClient(triton.url)

    async def ask():
        async with client:
            return await client.search("milk")

    assert len(asyncio.run(ask())) == 2


def test_results_are_frozen(triton):
    with Client(triton.url) as client, pytest.raises(dataclasses.FrozenInstanceError):
        client.search("milk")[0].score = 1.0


def test_a_page_has_counts_tiles_and_marked_words_and_a_facet_says_what_to_filter_by(triton):
    tree = [{"value": "Food", "count": 9, "children": [{"value": "Food > Dairy", "count": 4, "children": []}]}]
    triton.status = {
        "total": {"value": 132, "relation": "gte"},
        "facets": {"category": tree, "price": [{"to": 2, "count": 1}, {"from": 2, "count": 5}], "in_stock": []},
        "did_you_mean": "milk",
        "relaxed": ["words"],
        "without": {"brand": 3},
        "exposure": {"moved": 2, "unmet": 0, "cost": 0.25},
        "sponsored": {"placed": 1, "cost": 0.5},
    }
    beneath = [{"item_id": "i9", "fields": {"title": "Milk, gallon"}}]
    triton.items = [
        {"fields": {"title": "Milk"}, "highlights": {"title": ["", "Milk"]}, "variants": beneath, "variant_count": 4,
         "probability": 0.25, "sponsored": "Ad"}
    ]  # fmt: skip
    options = {"facets": ["brand", {"field": "price", "ranges": 2}], "offset": 20, "sort": "newest", "collapse": True}
    with Client(triton.url) as client:
        result = client.search("mlik", **options, highlight=True)
    assert triton.requests[0][0].options == {**options, "highlight": True}
    status, item = result.status, result[0]
    assert (status.total.value, status.total.relation) == (132, "gte")
    assert [value.condition for value in status.facets["price"]] == [{"lt": 2}, {"gte": 2}]
    (food,) = status.facets["category"]
    assert (food.condition, food.count, food.children[0].value) == ("Food", 9, "Food > Dairy")
    assert (status.did_you_mean, status.relaxed, dict(status.without)) == ("milk", ("words",), {"brand": 3})
    assert (status.exposure.moved, status.exposure.cost, status.sponsored.placed) == (2, 0.25, 1)
    assert (item.probability, item.sponsored) == (0.25, "Ad")
    assert item.highlights["title"][1::2] == ["Milk"]
    assert (item.variants[0].id, item.variants[0].fields["title"], item.variant_count) == ("i9", "Milk, gallon", 4)


def test_a_server_that_knows_no_pages_says_nothing_of_them(triton):
    with Client(triton.url) as client:
        result = client.search("milk", offset=0)
    assert result.status.total is None
    assert result.status.facets == {}
    assert (result[0].variants, result[0].highlights) == ((), {})
