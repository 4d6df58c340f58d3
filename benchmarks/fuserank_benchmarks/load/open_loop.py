"""Open-loop load: requests go out when they are due, whether or not earlier ones are answered.

For what perf_analyzer cannot do, which stops at the first refused request: goodput beyond the peak. A latency counts
from the moment when its request was due, so that a stalled sender hides nothing (no coordinated omission).
Runs in a process of its own: `python -m load.open_loop` reads a plan and writes its answers.
"""

from __future__ import annotations

import asyncio
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc

SEED = 7
PATIENCE_SECONDS = 10.0  # until a request counts as lost
REFUSED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)


@dataclass(frozen=True)
class Plan:
    """What is sent.

    Attributes:
        url: Triton's gRPC address.
        rows: Query, user and options; taken in turn.
        rate: Requests a second, Poisson.
        seconds: How long.
    """

    url: str
    rows: Sequence[tuple[str, str, str]]
    rate: float
    seconds: float
    seed: int = SEED


@dataclass(frozen=True)
class Outcome:
    """What came back; milliseconds from when each request was due.

    Attributes:
        answered: Of answered requests.
        refused: Of requests that the server refused.
        failed: How many came back with any other error or not at all.
        seconds: How long requests were due.
        late_ms: By how much the sender itself was late, 99th percentile: where this is large, the rate was not kept.
    """

    answered: list[float]
    refused: list[float]
    failed: int
    seconds: float
    late_ms: float

    def percentile(self, q: float) -> float:
        """Of the answered requests, in milliseconds; NaN where there are none."""
        return float(np.percentile(self.answered, q)) if self.answered else float("nan")

    def goodput(self, deadline_ms: float) -> float:
        """Requests a second answered within their deadline."""
        return sum(each <= deadline_ms for each in self.answered) / self.seconds

    def refused_within(self, limit_ms: float) -> float:
        """Share of the requests without an answer in any time that were refused within a limit; 1 if there are none."""
        without = len(self.refused) + self.failed
        return sum(each <= limit_ms for each in self.refused) / without if without else 1.0


def arrivals(rate: float, seconds: float, seed: int = SEED) -> NDArray[np.float64]:
    """Moments at which requests are due, in seconds from the start: a Poisson process, seeded."""
    draw = np.random.default_rng(seed)
    gaps = draw.exponential(1 / rate, int(rate * seconds * 2) + 64)
    moments: NDArray[np.float64] = np.cumsum(gaps)
    return moments[moments < seconds]


def message(query: str, user: str, options: str) -> Any:
    """A request's message, built before the clock runs."""
    request = service_pb2.ModelInferRequest(model_name="search")
    for name, value in (("QUERY", query), ("USER_ID", user), ("OPTIONS", options)):
        request.inputs.add(name=name, datatype="BYTES", shape=[1, 1])
        request.raw_input_contents.append(struct.pack("<I", len(value.encode())) + value.encode())
    return request


async def send(plan: Plan) -> Outcome:
    """Sends a plan's requests and waits for all that are under way."""
    messages = [message(*row) for row in plan.rows]
    moments = arrivals(plan.rate, plan.seconds, plan.seed)
    answered: list[float] = []
    refused: list[float] = []
    late: list[float] = []
    failed = 0
    async with grpc.aio.insecure_channel(plan.url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        await stub.ModelInfer(messages[0], timeout=PATIENCE_SECONDS)  # opens the connection
        started = time.perf_counter() + 0.05

        async def ask(request: Any, due: float) -> None:
            nonlocal failed
            late.append(time.perf_counter() - due)
            try:
                await stub.ModelInfer(request, timeout=PATIENCE_SECONDS)
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
                tasks.create_task(ask(messages[number % len(messages)], due))
    late_ms = float(np.percentile(late, 99)) * 1e3 if late else 0.0
    return Outcome(answered, refused, failed, plan.seconds, round(late_ms, 2))


def run(plan: Plan) -> Outcome:
    """Sends a plan from a process of its own, so that the measuring process's work does not delay it.

    Raises:
        RuntimeError: Where that process fails, with its last words.
    """
    here = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))}
    command = [sys.executable, "-m", "load.open_loop"]
    done = subprocess.run(
        command, input=json.dumps(asdict(plan)), env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"open loop at {plan.rate:g} requests/s: {done.stderr.strip().splitlines()[-1:]}")
    return Outcome(**json.loads(done.stdout))


def main() -> None:
    """Reads a plan from stdin and writes the outcome to stdout."""
    sys.stdout.write(json.dumps(asdict(asyncio.run(send(Plan(**json.load(sys.stdin)))))))


if __name__ == "__main__":
    main()
