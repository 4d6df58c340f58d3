"""Open-loop load: requests are sent when they are due, whether or not earlier ones are answered.

perf_analyzer stops at the first refused request, and so cannot measure goodput beyond the peak. A latency counts from
the moment when its request was due, so that a stalled sender hides nothing (no coordinated omission). The load is sent
by a process of its own: `python -m fuserank_benchmarks.load.open_loop` reads a plan and writes the outcome, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc

SEED = 7
TIMEOUT_SECONDS = 10.0  # until a request counts as lost
INPUTS = {"search": ("QUERY", "USER_ID", "OPTIONS"), "record": ("EVENTS",)}
REFUSED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)


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
    """

    url: str
    requests: Sequence[Sequence[str]]
    rate: float
    seconds: float
    seed: int = SEED
    model: str = "search"


@dataclass(frozen=True)
class Outcome:
    """What became of a plan's requests; times in milliseconds from when each was due.

    Attributes:
        answered: Latencies of answered requests.
        refused: Times until the server refused a request.
        failed: How many requests failed in any other way or were lost.
        seconds: How long requests were due.
        late_ms: 99th percentile of the sender's own delay; where it is large, the rate was not kept.
    """

    answered: list[float]
    refused: list[float]
    failed: int
    seconds: float
    late_ms: float

    def percentile(self, q: float) -> float:
        """A percentile of the latencies, in milliseconds; NaN where nothing was answered."""
        return float(np.percentile(self.answered, q)) if self.answered else float("nan")

    def goodput(self, deadline_ms: float) -> float:
        """Requests a second answered within a deadline."""
        return sum(latency <= deadline_ms for latency in self.answered) / self.seconds

    def refused_within(self, limit_ms: float) -> float:
        """Share of the unanswered requests that were refused within a limit; 1 if all were answered."""
        unanswered = len(self.refused) + self.failed
        return sum(taken <= limit_ms for taken in self.refused) / unanswered if unanswered else 1.0


def arrivals(rate: float, seconds: float, seed: int = SEED) -> NDArray[np.float64]:
    """Moments when requests are due, in seconds from the start: a Poisson process of a seed."""
    draw = np.random.default_rng(seed)
    gaps = draw.exponential(1 / rate, int(rate * seconds * 2) + 64)
    moments: NDArray[np.float64] = np.cumsum(gaps)
    return moments[moments < seconds]


def build_message(*values: str, model: str = "search") -> Any:
    """A request's protobuf message, of the model's inputs as `INPUTS` names them."""
    message = service_pb2.ModelInferRequest(model_name=model)
    for name, value in zip(INPUTS[model], values, strict=True):
        message.inputs.add(name=name, datatype="BYTES", shape=[1, 1])
        message.raw_input_contents.append(struct.pack("<I", len(value.encode())) + value.encode())
    return message


async def send(plan: Plan) -> Outcome:
    """Sends a plan's requests and waits for all of them."""
    messages = [build_message(*request, model=plan.model) for request in plan.requests]  # before the clock runs
    moments = arrivals(plan.rate, plan.seconds, plan.seed)
    answered: list[float] = []
    refused: list[float] = []
    delays: list[float] = []
    failed = 0
    async with grpc.aio.insecure_channel(plan.url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        await stub.ModelInfer(messages[0], timeout=TIMEOUT_SECONDS)  # opens the connection
        started = time.perf_counter() + 0.05

        async def send_one(message: Any, due: float) -> None:
            nonlocal failed
            delays.append(time.perf_counter() - due)
            try:
                await stub.ModelInfer(message, timeout=TIMEOUT_SECONDS)
            except grpc.aio.AioRpcError as error:
                if error.code() in REFUSED:
                    refused.append((time.perf_counter() - due) * 1e3)
                else:
                    failed += 1
            else:
                answered.append((time.perf_counter() - due) * 1e3)

        async with asyncio.TaskGroup() as tasks:
            for number, moment in enumerate(moments):
                due = started + float(moment)
                if (wait := due - time.perf_counter()) > 0:
                    await asyncio.sleep(wait)
                tasks.create_task(send_one(messages[number % len(messages)], due))
    late_ms = float(np.percentile(delays, 99)) * 1e3 if delays else 0.0
    return Outcome(answered, refused, failed, plan.seconds, round(late_ms, 2))


def send_from_process(plan: Plan) -> Outcome:
    """Sends a plan from a process of its own, so that the measuring process's work does not delay it.

    Raises:
        RuntimeError: That process fails; the message holds its last line.
    """
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
