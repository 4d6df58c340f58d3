"""What waited in the queue for longer than its deadline is refused before it costs anything."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
import tritonclient.grpc as triton

from fuserank.aio import AsyncClient
from fuserank.errors import OverloadedError
from fuserank_ensemble.serving.server import Server
from fuserank_ensemble.spec import Target
from support.busy_machine import PATIENCE
from support.running import stub_pids, url

AHEAD = 6  # requests that take every instance of the first stage, and its queue
APART_SECONDS = 0.05
DEADLINE_MS = 100


def inferences(raw: triton.InferenceServerClient, model: str) -> int:
    return int(raw.get_inference_statistics(model).model_stats[0].inference_count)


async def test_a_request_that_waited_too_long_is_not_worked_on(
    server: Server, raw: triton.InferenceServerClient, target: Target
) -> None:
    first = "search" if target == "single_process" else "preprocess"
    async with AsyncClient(url(server), timeout=PATIENCE, retries=0) as client:
        await client.search("milk")
        before, stages = inferences(raw, first), stub_pids(server)
        for pid in stages:
            os.kill(pid, signal.SIGSTOP)
        try:
            ahead = []
            for _ in range(AHEAD):
                ahead.append(asyncio.ensure_future(client.search("milk")))
                await asyncio.sleep(APART_SECONDS)
            late = asyncio.ensure_future(client.search("milk", deadline_ms=DEADLINE_MS))
            await asyncio.sleep(3 * DEADLINE_MS / 1_000)
        finally:
            for pid in stages:
                os.kill(pid, signal.SIGCONT)
        answers = await asyncio.gather(*ahead)
        assert all(len(answer) for answer in answers)
        with pytest.raises(OverloadedError, match=r"(?i)request timeout expired"):
            await late
        assert inferences(raw, first) - before == AHEAD
        assert not (await client.search("milk", deadline_ms=DEADLINE_MS * 100)).status.degraded
