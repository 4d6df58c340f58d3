"""What waited in the queue for longer than its deadline is refused, and what nobody waits for is answered last."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import pytest
import tritonclient.grpc as triton

from fuserank.aio import AsyncClient
from fuserank.errors import OverloadedError
from fuserank.types import SearchResult
from fuserank_ensemble.serving.server import Server
from fuserank_ensemble.spec import Target
from support.busy_machine import PATIENCE, wait_until
from support.running import stub_pids, url

AHEAD = 6  # requests that take every instance of the first stage, and its queue
APART_SECONDS = 0.05
DEADLINE_MS = 100
# Of a job: more than a batch holds, and in one process as many as its queue does. An ensemble refuses some of them.
QUEUED = {"single_process": 26, "ensemble_cpu": 56}
FIRST = {"single_process": 20, "ensemble_cpu": 32}  # a batch, and what another instance may finish meanwhile


def inferences(raw: triton.InferenceServerClient, model: str) -> int:
    return int(raw.get_inference_statistics(model).model_stats[0].inference_count)


@contextmanager
def standing_still(stages: Sequence[int]) -> Iterator[None]:
    """Stops the stages' processes while the block runs: what is asked meanwhile waits."""
    for pid in stages:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in stages:
            os.kill(pid, signal.SIGCONT)


async def ask_apart(client: AsyncClient, count: int) -> list[asyncio.Future[SearchResult]]:
    """Sends searches one after the other, without waiting for their answers."""
    asked = []
    for _ in range(count):
        asked.append(asyncio.ensure_future(client.search("milk")))
        await asyncio.sleep(APART_SECONDS)
    return asked


async def test_a_request_that_waited_too_long_is_not_worked_on(
    server: Server, raw: triton.InferenceServerClient, target: Target
) -> None:
    first = "search" if target == "single_process" else "preprocess"
    async with AsyncClient(url(server), timeout=PATIENCE, retries=0) as client:
        start, stages = inferences(raw, first), stub_pids(server)
        await client.search("milk")
        assert wait_until(lambda: inferences(raw, first) > start)  # Triton counts after it has answered
        before = inferences(raw, first)
        with standing_still(stages):
            ahead = await ask_apart(client, AHEAD)
            late = asyncio.ensure_future(client.search("milk", deadline_ms=DEADLINE_MS))
            await asyncio.sleep(3 * DEADLINE_MS / 1_000)
        answers = await asyncio.gather(*ahead)
        assert all(len(answer) for answer in answers)
        with pytest.raises(OverloadedError, match=r"(?i)request timeout expired"):
            await late
        assert inferences(raw, first) - before == AHEAD
        assert not (await client.search("milk", deadline_ms=DEADLINE_MS * 100)).status.degraded


async def test_what_people_wait_for_is_answered_before_a_background_job(server: Server, target: Target) -> None:
    finished: list[str] = []

    async def ask(who: str, client: AsyncClient) -> None:
        with suppress(*([OverloadedError] if who == "job" else [])):
            assert len(await client.search("milk"))
            finished.append(who)

    places = {"url": url(server), "timeout": PATIENCE, "retries": 0}
    async with AsyncClient(**places) as client, AsyncClient(**places, background=True) as job:
        await job.search("milk")
        with standing_still(stub_pids(server)):
            ahead = await ask_apart(client, AHEAD)
            asked = [asyncio.ensure_future(ask("job", job)) for _ in range(QUEUED[target])]
            await asyncio.sleep(APART_SECONDS * 4)
            asked.append(asyncio.ensure_future(ask("person", client)))
            await asyncio.sleep(APART_SECONDS * 4)
        await asyncio.gather(*ahead, *asked)
    assert finished.index("person") < FIRST[target]
