"""Closed-loop load: so many callers, each asking anew as soon as it has its answer.

For the peers, which answer in Python anyway; our own graph is under perf_analyzer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import numpy as np


class RefusedError(Exception):
    """The asked had no room for the question: no answer, and no failure of the measurement."""


TrainingQuery = Callable[[str, str, int], Awaitable[object]]  # query, user, pairs to rerank


@dataclass(frozen=True)
class Loop:
    """What was measured.

    Attributes:
        latencies: Seconds of each answer.
        seconds: From the first question to the last answer.
    """

    latencies: list[float]
    seconds: float

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    @property
    def p50_ms(self) -> float:
        """Median latency."""
        return float(np.median(self.latencies)) * 1e3


async def closed_loop(
    ask: TrainingQuery,
    questions: Sequence[tuple[str, str]],
    rerank: int,
    concurrency: int,
    seconds: float,
    warm: int = 8,
) -> Loop:
    """Asks for some seconds, then waits for what is under way; what is refused counts as no answer.

    Args:
        ask: Asks one question.
        questions: Queries and users, taken in order, again from the start where they run out.
        rerank: Pairs that the cross-encoder reads; 0 only searches.
        concurrency: Callers.
        seconds: How long new questions are asked.
        warm: Questions asked before, which do not count.

    Raises:
        ValueError: Where there are no questions.
    """
    if not questions:
        raise ValueError("questions: found none; allowed: at least one")
    for query, user in questions[:warm]:
        await ask(query, user, rerank)
    latencies: list[float] = []
    number = 0
    started = time.perf_counter()

    async def caller() -> None:
        nonlocal number
        while time.perf_counter() - started < seconds:
            query, user = questions[number % len(questions)]
            number += 1
            asked = time.perf_counter()
            try:
                await ask(query, user, rerank)
            except RefusedError:
                continue
            latencies.append(time.perf_counter() - asked)

    async with asyncio.TaskGroup() as callers:
        for _ in range(concurrency):
            callers.create_task(caller())
    return Loop(latencies, time.perf_counter() - started)
