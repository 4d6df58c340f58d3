"""Requests share batches, and share nothing else: neither errors nor answers."""

from __future__ import annotations

import asyncio
import random

import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from fuserank.aio import AsyncClient
from fuserank.client import Client
from fuserank.errors import InvalidRequestError
from fuserank.types import Request
from fuserank_ensemble.serving.server import Server
from fuserank_ensemble.spec import Target
from support.busy_machine import PATIENCE, wait_until
from support.running import STAGES, assert_same_answer, options, raw_inputs, stub_pids, url
from support.small_shops import KINDS

REQUESTS = [
    Request(query, user, k=k)
    for query, user, k in zip(
        ["milk", "", "rye bread", "coffee", "", "绿茶", "detergent", "apple juice"],
        ["", "u01", "u02", "nobody", "u03", "u04", "", "u05"],
        [10, 10, 5, 20, 3, 10, 1, 40],
        strict=True,
    )
]
BAD = [  # inputs, what the error says
    ({"options": options(k=0)}, "OPTIONS.k: found 0"),
    ({"options": options(filter={"colour": "red"})}, "OPTIONS.filter.colour: found an unknown field"),
    ({"query": b""}, "QUERY, USER_ID: found both empty"),
    ({"query": b"x" * 5_000}, "QUERY: found 5,000 bytes"),
    ({"query": b"\xff"}, "QUERY: found byte 0xff"),
    ({"options": options(objective={"click": float("nan")})}, "OPTIONS.objective.click: found NaN"),
    # Half a character, which an error cannot quote as it is: a message that Triton refuses fails the whole batch.
    ({"options": b'{"\\ud800": 1}'}, "found the lone surrogate"),
]


def executions(raw: triton.InferenceServerClient, model: str) -> tuple[int, int]:
    """Requests and batches of a model so far."""
    stats = raw.get_inference_statistics(model).model_stats[0]
    return stats.inference_count, stats.execution_count


@pytest.fixture(scope="package")
def waiting(target: Target) -> tuple[str, ...]:
    """The models whose queues the requests of `search` pass, the first of which sees all of them."""
    return ("search",) if target == "single_process" else STAGES


async def test_good_requests_are_answered_beside_bad_ones(
    server: Server, client: Client, raw: triton.InferenceServerClient, waiting: tuple[str, ...]
):
    alone = [client.search_batch([request])[0] for request in REQUESTS]
    pids, before = stub_pids(server), executions(raw, waiting[0])
    places = asyncio.Semaphore(32)
    draw = random.Random(5)
    plan = [(draw.randrange(len(REQUESTS)), None) if i % 3 else (None, draw.randrange(len(BAD))) for i in range(240)]
    anyone = triton.aio.InferenceServerClient(url(server))
    async with AsyncClient(url(server), timeout=PATIENCE) as everyone, anyone:

        async def one(good: int | None, bad: int | None) -> None:
            async with places:
                await asked(good, bad)

        async def asked(good: int | None, bad: int | None) -> None:
            if good is not None:
                assert_same_answer((await everyone.search_batch([REQUESTS[good]]))[0], alone[good])
                return
            sent, expected = BAD[bad or 0]
            with pytest.raises(InferenceServerException) as caught:
                await anyone.infer("search", raw_inputs(**sent))
            assert caught.value.status() == "StatusCode.INVALID_ARGUMENT", caught.value
            assert expected in caught.value.message()

        outcomes = await asyncio.gather(*(one(*each) for each in plan), return_exceptions=True)
    after = executions(raw, waiting[0])
    failed = [(step, outcome) for step, outcome in zip(plan, outcomes, strict=True) if outcome is not None]
    assert not failed, f"{len(failed)} of {len(plan)}, the first: {failed[0]}"
    # Otherwise nothing was proven: bad and good must have met in batches.
    batches = after[1] - before[1]
    print(f"{len(plan)} requests, a third of them bad, in {batches} batches")
    assert batches < len(plan) / 1.5
    assert stub_pids(server) == pids


async def test_batches_form_under_load(server: Server, raw: triton.InferenceServerClient, waiting: tuple[str, ...]):
    words = [word for kinds in KINDS.values() for word in kinds]
    before = {stage: executions(raw, stage) for stage in waiting}
    callers, calls = 16, 40
    async with AsyncClient(url(server), timeout=PATIENCE) as everyone:

        async def caller(number: int) -> None:
            draw = random.Random(number)
            for _ in range(calls):
                await everyone.search(draw.choice(words), f"u{draw.randrange(40):02}")

        await asyncio.gather(*(caller(number) for number in range(callers)))
    formed = {}
    for stage in waiting:
        # Triton counts a request a moment after its answer.
        assert wait_until(lambda stage=stage: executions(raw, stage)[0] - before[stage][0] == callers * calls)
        requests, batches = (now - then for now, then in zip(executions(raw, stage), before[stage], strict=True))
        formed[stage] = requests / batches
    print("requests a batch:", {stage: round(size, 2) for stage, size in formed.items()})
    assert formed["encoder" if "encoder" in waiting else "search"] > 1.5


def test_rows_of_one_call_are_answered_as_if_alone(client: Client):
    answers = client.search_batch(REQUESTS)
    assert len(answers) == len(REQUESTS)
    for request, answer in zip(REQUESTS, answers, strict=True):
        assert answer.status.returned == len(answer) == request.k
        assert_same_answer(answer, client.search_batch([request])[0])


def test_more_rows_than_a_batch_holds_are_answered(client: Client):
    answers = client.search_batch(REQUESTS * 5)
    assert len(answers) == 5 * len(REQUESTS) > 32
    for request, answer in zip(REQUESTS * 5, answers, strict=True):
        assert answer.status.returned == request.k


def test_a_bad_row_fails_its_call_and_is_named(client: Client):
    with pytest.raises(InvalidRequestError) as caught:
        client.search_batch([REQUESTS[0], Request("milk", k=-1)])
    assert caught.value.field == "OPTIONS.k"
