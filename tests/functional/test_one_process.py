"""`search` in one process answers as the ensemble does: alone, in a batch, beside bad requests."""

from __future__ import annotations

import asyncio
import itertools
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from test_parity import SCORE_TOLERANCE, requests

from fuserank import AsyncClient, Client, InvalidRequestError
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.serving.server import Server
from support.busy_machine import PATIENCE, wait_until
from support.running import endpoints, url


@pytest.fixture(scope="module")
def whole(bundle_root: Path) -> Iterator[Server]:
    with Server(bundle_root, endpoints(), "single_process") as running:
        yield running


@pytest.fixture(scope="module")
def asked(whole: Server) -> Iterator[Client]:
    with Client(url(whole)) as connected:
        yield connected


def looked_up(server: Server, cache: str) -> dict[str, float]:
    """Hits and misses of a cache, as Prometheus is told."""
    address = f"http://127.0.0.1:{server.endpoints.metrics}/metrics"
    with urllib.request.urlopen(address, timeout=PATIENCE) as reply:
        lines = [line for line in reply.read().decode().splitlines() if f'cache="{cache}"' in line]
    found = {"hit": 0.0, "miss": 0.0}
    for line in lines:
        found["hit" if 'result="hit"' in line else "miss"] += float(line.rsplit(" ", 1)[1])
    return found


def test_only_what_the_target_needs_is_loaded(whole: Server):
    with triton.InferenceServerClient(url(whole)) as raw:
        models = {model.name for model in raw.get_model_repository_index().models}
    assert models == {"search", "encoder", "retrieve", "similar", "suggest"}


def test_answers_equal_the_stages_run_one_by_one(asked: Client, graph: LocalGraph):
    for query, user, options in requests():
        found, expected = asked.search(query, user, **options), graph.search(query, user, **options)
        assert [item.id.encode() for item in found] == expected["ITEM_ID"][0].tolist(), (query, user, options)
        np.testing.assert_allclose([item.score for item in found], expected["SCORE"][0], rtol=0, atol=SCORE_TOLERANCE)


def test_similar_finds_its_stages(asked: Client):
    assert asked.similar(text="whole milk", k=3).items


async def test_batches_mix_kinds_shapes_and_bad_requests(whole: Server, asked: Client):
    plan = requests(24)
    alone = [asked.search(query, user, **options) for query, user, options in plan]
    with triton.InferenceServerClient(url(whole)) as raw:

        def executed() -> tuple[int, int]:
            stats = raw.get_inference_statistics("search").model_stats[0]
            return stats.inference_count, stats.execution_count

        before = executed()
        async with AsyncClient(url(whole), timeout=PATIENCE) as everyone:

            async def bad() -> None:
                with pytest.raises(InvalidRequestError, match="found both empty"):
                    await everyone.search("", "")

            good = [everyone.search(query, user, **options) for query, user, options in plan]
            found, _ = await asyncio.gather(asyncio.gather(*good), asyncio.gather(*(bad() for _ in range(8))))
        after = executed()
    for one, other in zip(alone, found, strict=True):
        assert [item.id for item in one] == [item.id for item in other]
    count, executions = (b - a for a, b in zip(before, after, strict=True))
    print(f"{count} requests in {executions} executions")
    assert count / executions > 1


def test_a_query_that_was_asked_before_is_not_encoded_again(whole: Server, asked: Client):
    before, other_queries = looked_up(whole, "embedding")["hit"], itertools.count()
    for _ in range(100):
        asked.search("a query that nobody else asks")

    def counted() -> bool:
        # An instance hands its numbers on once a second, with a batch: here one of a query that is never repeated.
        asked.search(f"query {next(other_queries)}")
        return looked_up(whole, "embedding")["hit"] - before >= 90

    assert wait_until(counted)
