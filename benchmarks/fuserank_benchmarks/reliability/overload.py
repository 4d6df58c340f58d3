"""A server below, at and beyond its peak: steady open loops and bursts.

The peak is measured by a closed loop before and after each step, since a machine's speed changes: a step's goodput is
compared with the mean of the two.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil

import grpc
import numpy as np

from fuserank.errors import RETRY_AFTER_SECONDS
from fuserank_benchmarks.inputs.queries import FreshLoad, ShopVocabulary
from fuserank_benchmarks.load.open_loop import METHOD, REFUSED, Outcome, Plan, build_message, send_from_process
from fuserank_benchmarks.peers.closed_loop import ClosedLoop, RefusedError, run_closed_loop
from fuserank_benchmarks.reliability.counters import read_degraded

DEADLINE_MS = 500.0
FACTORS = (0.5, 1.0, 2.0, 5.0)  # of the peak
BURSTS = (2.0, 5.0)
CALM = 0.5  # of the peak, before and after a burst
CALLERS = (8, 16, 32)  # of the closed loop; the best of them is kept
MOST_REQUESTS = 120_000  # of one step; after them the first ones come again
NORMAL = 1.5  # times the p99 before a burst; what is below is normal
PEAK_SHARE = 1 / 6  # of a step's length, for each measurement of the peak


@dataclass(frozen=True)
class Place:
    """Where the server is: gRPC's address, and the address of its metrics."""

    url: str
    metrics_url: str


@dataclass(frozen=True)
class Step:
    """A steady open loop.

    Attributes:
        factor: Its rate over the peak that was measured before.
        peak: Answers a second of the closed loops before and after it, mean.
        outcome: What became of its requests.
        degraded: Replies that were cut short, by reason.
    """

    factor: float
    peak: float
    outcome: Outcome
    degraded: Counter[str]

    @property
    def goodput(self) -> float:
        """Answers within the deadline over the peak."""
        return self.outcome.goodput(DEADLINE_MS) / self.peak


@dataclass(frozen=True)
class Burst:
    """An open loop at `CALM` with a burst in it.

    Attributes:
        factor: Its rate over the peak.
        spans: Seconds before, of, and after the burst.
        outcome: What became of the requests of all three.
    """

    factor: float
    spans: tuple[float, float, float]
    outcome: Outcome

    @property
    def calm_p99_ms(self) -> float:
        """99th percentile of what was answered before the burst."""
        return _p99(self.outcome.due_within(0.0, self.spans[0]))

    def p99_after_ms(self, seconds: float) -> float:
        """99th percentile of the answers that were due from some seconds after the burst on."""
        before, burst, _ = self.spans
        return _p99(self.outcome.due_within(before + burst + seconds, sum(self.spans)))

    @property
    def normal_after_seconds(self) -> float:
        """How many whole seconds after the burst the p99 of a second is normal again; infinite if it never is."""
        before, burst, after = self.spans
        for second in range(int(after)):
            start = before + burst + second
            if _p99(self.outcome.due_within(start, start + 1)) <= NORMAL * self.calm_p99_ms:
                return float(second)
        return float("inf")


@dataclass(frozen=True)
class Overload:
    """All that was measured of one server; `peaks` are answers a second of each closed loop, with `callers` callers."""

    callers: int
    peaks: list[float]
    steps: list[Step]
    bursts: list[Burst]


class OverloadedServer:
    """Loads a running server; each measurement sends new requests, since the server caches queries.

    Args:
        place: Where it is.
        shop: What requests are drawn from.
        seconds: Length of a step.
        announce: Called with a line before each measurement.
    """

    def __init__(self, place: Place, shop: ShopVocabulary, seconds: float, announce: Callable[[str], None]) -> None:
        self._place, self._load, self._seconds, self._announce = place, FreshLoad(shop), seconds, announce

    def measure(self, factors: Sequence[float] = FACTORS, bursts: Sequence[float] = BURSTS) -> Overload:
        """Loads it by each factor of its peak, and by each burst."""
        found = {callers: self._measure_peak(callers) for callers in CALLERS}
        callers = max(found, key=lambda each: found[each])
        peaks, steps = [found[callers]], []
        for factor in factors:
            degraded = read_degraded(self._place.metrics_url)
            outcome = self._send(factor * peaks[-1], self._seconds)
            degraded = read_degraded(self._place.metrics_url) - degraded
            peaks.append(self._measure_peak(callers))
            steps.append(Step(factor, (peaks[-2] + peaks[-1]) / 2, outcome, degraded))
        spans = (self._seconds / 3, self._seconds / 6, self._seconds / 2)
        calm = CALM * peaks[-1]
        after = [
            Burst(factor, spans, self._send(calm, spans[0], ((factor * peaks[-1], spans[1]), (calm, spans[2]))))
            for factor in bursts
        ]
        return Overload(callers, peaks, steps, after)

    def _measure_peak(self, callers: int) -> float:
        seconds = self._seconds * PEAK_SHARE
        self._announce(f"peak with {callers} callers, {seconds:.0f} s")
        return measure_peak(self._place.url, self._draw(500 * seconds), callers, seconds)

    def _send(self, rate: float, seconds: float, then: Sequence[tuple[float, float]] = ()) -> Outcome:
        plan = Plan(self._place.url, (), rate, seconds, deadline_ms=DEADLINE_MS, then=then)
        steps = ", ".join(f"{step:.0f}/s for {length:.0f} s" for step, length in plan.steps)
        self._announce(f"open loop: {steps}")
        return send_from_process(replace(plan, requests=self._draw(sum(step * length for step, length in plan.steps))))

    def _draw(self, count: float) -> list[tuple[str, str, str]]:
        drawn = self._load.draw(min(ceil(count * 1.05) + 100, MOST_REQUESTS))
        return drawn.requests(options=f'{{"deadline_ms":{DEADLINE_MS:.0f}}}')


def measure_peak(url: str, requests: Sequence[tuple[str, str, str]], callers: int = 16, seconds: float = 10.0) -> float:
    """Answers a second that callers without a pause get."""
    return asyncio.run(measure_closed(url, requests, callers, seconds)).per_second


async def measure_closed(
    url: str, requests: Sequence[tuple[str, str, str]], callers: int, seconds: float
) -> ClosedLoop:
    """What callers without a pause get, by the same messages as the open loop sends."""
    asked = [(query, user) for query, user, _ in requests]
    options = requests[0][2]
    async with grpc.aio.insecure_channel(url) as channel:
        infer = channel.unary_unary(METHOD)

        async def ask(query: str, user: str, pairs: int) -> None:
            del pairs
            message = build_message(query, user, options, deadline_ms=DEADLINE_MS)
            try:
                await infer(message.SerializeToString(), timeout=DEADLINE_MS / 1e3 * 4)
            except grpc.aio.AioRpcError as error:
                if error.code() not in REFUSED:
                    raise
                await asyncio.sleep(RETRY_AFTER_SECONDS)  # a caller that came again at once would only take cores
                raise RefusedError from error

        return await run_closed_loop(ask, asked, 0, callers, seconds)


def _p99(milliseconds: Sequence[float]) -> float:
    return float(np.percentile(milliseconds, 99)) if len(milliseconds) else float("nan")
