"""Closed-loop load: a number of callers, each of which sends its next request as soon as the last one is answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import numpy as np


class RefusedError(Exception):
    """The server had no room for a request; the measurement goes on without its answer."""


SendRequest = Callable[[str, str, int], Awaitable[object]]  # query, user, pairs to rerank


@dataclass(frozen=True)
class ClosedLoop:
    """What a closed loop measured.

    Attributes:
        latencies: Seconds of each answer.
        seconds: From the first request to the last answer.
    """

    latencies: list[float]
    seconds: float

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    @property
    def p50_ms(self) -> float:
        """Median latency in milliseconds."""
        return float(np.median(self.latencies)) * 1e3


async def run_closed_loop(
    send: SendRequest,
    requests: Sequence[tuple[str, str]],
    rerank: int,
    concurrency: int,
    seconds: float,
    warm_up: int = 8,
) -> ClosedLoop:
    """Sends requests for some seconds, then waits for those under way; refused ones count as unanswered.

    Args:
        send: Sends one request.
        requests: Queries and users, sent in order and then again from the start.
        rerank: Pairs that the cross-encoder reads; 0 only searches.
        concurrency: Number of callers.
        seconds: How long new requests are sent.
        warm_up: Requests sent before, which are not counted.

    Raises:
        ValueError: There are no requests.
    """
    if not requests:
        raise ValueError("requests: found none; allowed: at least one")
    for query, user in requests[:warm_up]:
        await send(query, user, rerank)
    latencies: list[float] = []
    number = 0
    started = time.perf_counter()

    async def call_repeatedly() -> None:
        nonlocal number
        while time.perf_counter() - started < seconds:
            query, user = requests[number % len(requests)]
            number += 1
            sent = time.perf_counter()
            try:
                await send(query, user, rerank)
            except RefusedError:
                continue
            latencies.append(time.perf_counter() - sent)

    async with asyncio.TaskGroup() as callers:
        for _ in range(concurrency):
            callers.create_task(call_repeatedly())
    return ClosedLoop(latencies, time.perf_counter() - started)
