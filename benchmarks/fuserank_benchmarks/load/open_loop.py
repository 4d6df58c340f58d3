"""Open-loop load: requests are sent when they are due, whether or not earlier ones are answered.

perf_analyzer stops at the first refused request, and so cannot measure goodput beyond the peak. A latency counts from
the moment when its request was due, so that a stalled sender hides nothing (no coordinated omission). The load is sent
by processes of their own, one for each `RATE_OF_A_SENDER`: `python -m fuserank_benchmarks.load.open_loop` reads a plan
and writes the outcome, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from math import ceil
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from fuserank.wire import QUEUE_SHARE

SEED = 7
TIMEOUT_SECONDS = 10.0  # until a request counts as lost
MOST_OPEN = 4_096  # requests of one sender that wait for an answer; beyond it one is not sent, and has failed
RATE_OF_A_SENDER = 1_200.0  # requests/s that one process sends in time; it takes 0.3 ms of a core for each
INPUTS = {"search": ("QUERY", "USER_ID", "OPTIONS"), "record": ("EVENTS",)}
REFUSED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
METHOD = "/inference.GRPCInferenceService/ModelInfer"


@dataclass(frozen=True)
class Plan:
    """The requests to send.

    Attributes:
        url: Triton's gRPC address.
        requests: The inputs of each, of `search` query, user and options; taken in turn.
        rate: Requests a second, with Poisson arrivals.
        seconds: How long to send.
        seed: Seed of the arrivals.
        model: Which model they are for, one of `INPUTS`.
        deadline_ms: The deadline of each, of which it may wait in a queue for a share, as the clients ask; 0 for none.
        then: Rates and seconds that follow, such as those of a burst and of the time after it.
    """

    url: str
    requests: Sequence[Sequence[str]]
    rate: float
    seconds: float
    seed: int = SEED
    model: str = "search"
    deadline_ms: float = 0.0
    then: Sequence[tuple[float, float]] = ()

    @property
    def steps(self) -> list[tuple[float, float]]:
        """All rates and how many seconds each holds."""
        return [(self.rate, self.seconds), *((float(rate), float(seconds)) for rate, seconds in self.then)]


@dataclass(frozen=True)
class Outcome:
    """What became of a plan's requests; times in milliseconds from when each was due.

    Attributes:
        answered: Latencies of answered requests.
        refused: Times until the server refused a request.
        failed: How many requests failed in any other way or were lost.
        seconds: How long requests were due.
        late_ms: 99th percentile of the sender's own delay; where it is large, the rate was not kept.
        answered_due: When each answered request was due, in seconds from the start.
        cpu_seconds: CPU time of the senders, start and imports left out.
    """

    answered: list[float]
    refused: list[float]
    failed: int
    seconds: float
    late_ms: float
    answered_due: list[float]
    cpu_seconds: float = 0.0

    @property
    def sent(self) -> int:
        """How many requests were due."""
        return len(self.answered) + len(self.refused) + self.failed

    def percentile(self, q: float) -> float:
        """A percentile of the latencies, in milliseconds; NaN where nothing was answered."""
        return float(np.percentile(self.answered, q)) if self.answered else float("nan")

    def refusal_percentile(self, q: float) -> float:
        """A percentile of the times until a refusal, in milliseconds; NaN where nothing was refused."""
        return float(np.percentile(self.refused, q)) if self.refused else float("nan")

    def goodput(self, deadline_ms: float) -> float:
        """Requests a second answered within a deadline."""
        return sum(latency <= deadline_ms for latency in self.answered) / self.seconds

    def refused_within(self, limit_ms: float) -> float:
        """Share of the unanswered requests that were refused within a limit; 1 if all were answered."""
        unanswered = len(self.refused) + self.failed
        return sum(taken <= limit_ms for taken in self.refused) / unanswered if unanswered else 1.0

    def due_within(self, start: float, end: float) -> list[float]:
        """Latencies of the answered requests that were due in a span, in seconds from the start."""
        return [taken for due, taken in zip(self.answered_due, self.answered, strict=True) if start <= due < end]


def arrivals(steps: Sequence[tuple[float, float]], seed: int = SEED) -> NDArray[np.float64]:
    """Moments when requests are due, in seconds from the start: a Poisson process of a seed.

    Args:
        steps: Rates, one after the other, and how many seconds each holds.
        seed: The seed.
    """
    draw = np.random.default_rng(seed)
    moments, start = [], 0.0
    for rate, seconds in steps:
        # Given their count, the moments of a Poisson process are uniform.
        moments.append(start + np.sort(draw.uniform(0.0, seconds, draw.poisson(rate * seconds))))
        start += seconds
    return np.concatenate(moments)


def build_message(*values: str, model: str = "search", deadline_ms: float = 0.0) -> Any:
    """A request's protobuf message.

    Args:
        values: The model's inputs, as `INPUTS` names them.
        model: Which model it is for.
        deadline_ms: See `Plan`.
    """
    message = service_pb2.ModelInferRequest(model_name=model)
    for name, value in zip(INPUTS[model], values, strict=True):
        message.inputs.add(name=name, datatype="BYTES", shape=[1, 1])
        message.raw_input_contents.append(struct.pack("<I", len(value.encode())) + value.encode())
    if deadline_ms:
        message.parameters["timeout"].int64_param = round(deadline_ms * QUEUE_SHARE * 1e3)
    return message


class Sender:
    """Sends messages over a channel when they are due, and keeps what became of them, as `Outcome` has it."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        # Bytes in and out: what a message says is not looked at, and costs nothing beside the server.
        self._infer = channel.unary_unary(METHOD)
        self.answered: list[float] = []
        self.answered_due: list[float] = []
        self.refused: list[float] = []
        self.delays: list[float] = []
        self.failed = 0
        self._open = 0

    async def open(self, message: bytes) -> None:
        """Opens the connection by a request that is not counted."""
        await self._infer(message, timeout=TIMEOUT_SECONDS)

    async def send(self, messages: Sequence[bytes], moments: NDArray[np.float64]) -> None:
        """Sends a message at each moment, in seconds from now, and waits for all answers."""
        started = time.perf_counter() + 0.05
        async with asyncio.TaskGroup() as tasks:
            for number, moment in enumerate(moments.tolist()):
                if (wait := started + moment - time.perf_counter()) > 0:
                    await asyncio.sleep(wait)
                if self._open >= MOST_OPEN:
                    self.failed += 1
                    continue
                self._open += 1
                tasks.create_task(self._send_one(messages[number % len(messages)], moment, started))

    async def _send_one(self, message: bytes, moment: float, started: float) -> None:
        due = started + moment
        self.delays.append((time.perf_counter() - due) * 1e3)
        try:
            await self._infer(message, timeout=TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() in REFUSED:
                self.refused.append((time.perf_counter() - due) * 1e3)
            else:
                self.failed += 1
        else:
            self.answered.append((time.perf_counter() - due) * 1e3)
            self.answered_due.append(moment)
        finally:
            self._open -= 1


async def send(plan: Plan) -> Outcome:
    """Sends a plan's requests and waits for all of them."""
    messages = [  # before the clock runs
        build_message(*request, model=plan.model, deadline_ms=plan.deadline_ms).SerializeToString()
        for request in plan.requests
    ]
    moments = arrivals(plan.steps, plan.seed)
    async with grpc.aio.insecure_channel(plan.url) as channel:
        sender = Sender(channel)
        await sender.open(messages[0])
        before = time.process_time()
        await sender.send(messages, moments)
        spent = time.process_time() - before
    late_ms = float(np.percentile(sender.delays, 99)) if sender.delays else 0.0
    seconds = sum(seconds for _, seconds in plan.steps)
    return Outcome(
        sender.answered, sender.refused, sender.failed, seconds, round(late_ms, 2), sender.answered_due, spent
    )


def send_from_process(plan: Plan) -> Outcome:
    """Sends a plan from processes of their own, so that the measuring process's work does not delay it.

    Raises:
        RuntimeError: One of them fails; the message holds its last line.
    """
    count = ceil(max(rate for rate, _ in plan.steps) / RATE_OF_A_SENDER)
    with ThreadPoolExecutor(count) as pool:
        return merge(list(pool.map(_send_apart, split(plan, count))))


def split(plan: Plan, count: int) -> list[Plan]:
    """A plan as several, whose arrivals together are a Poisson process of the same rates."""
    return [
        replace(
            plan,
            requests=[*plan.requests[number::count]] or plan.requests,
            rate=plan.rate / count,
            seed=plan.seed + 1_000 * number,
            then=[(rate / count, seconds) for rate, seconds in plan.then],
        )
        for number in range(count)
    ]


def merge(outcomes: Sequence[Outcome]) -> Outcome:
    """What became of the requests of all senders together; the latest sender's delay stands for all."""
    return Outcome(
        answered=[taken for outcome in outcomes for taken in outcome.answered],
        refused=[taken for outcome in outcomes for taken in outcome.refused],
        failed=sum(outcome.failed for outcome in outcomes),
        seconds=max(outcome.seconds for outcome in outcomes),
        late_ms=max(outcome.late_ms for outcome in outcomes),
        answered_due=[due for outcome in outcomes for due in outcome.answered_due],
        cpu_seconds=sum(outcome.cpu_seconds for outcome in outcomes),
    )


def _send_apart(plan: Plan) -> Outcome:
    command = [sys.executable, "-m", "fuserank_benchmarks.load.open_loop"]
    finished = subprocess.run(command, input=json.dumps(asdict(plan)), capture_output=True, text=True, check=False)
    if finished.returncode:
        last_line = next(iter(finished.stderr.strip().splitlines()[-1:]), "no message")
        raise RuntimeError(f"open loop at {plan.rate:g} requests/s: {last_line}")
    return Outcome(**json.loads(finished.stdout))


def main() -> None:
    """Reads a plan from stdin and writes the outcome to stdout."""
    plan = Plan(**json.load(sys.stdin))
    try:
        outcome = asyncio.run(send(plan))
    except grpc.aio.AioRpcError as error:
        sys.exit(f"{plan.url}: {error.code().name}: {error.details()}")
    sys.stdout.write(json.dumps(asdict(outcome)))


if __name__ == "__main__":
    main()
