"""Two replicas behind a gRPC load balancer are restarted one after the other, under load, and no request is lost."""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from fuserank.client import Client
from fuserank.connection import DEFAULT_RETRIES
from support.balancer import Balancer, balancer
from support.busy_machine import wait_until
from support.callers import load
from support.charts import triton
from support.replica import Replica, free_endpoints, started

# As the chart's own order of events, only shorter: the endpoint goes first, then the hook waits, then comes SIGTERM.
QUICK = {"drain": {"minSeconds": 1, "quietSeconds": 1, "maxSeconds": 60, "exitSeconds": 10}}


def restarted(
    old: Replica, other: Replica, front: Balancer, bundle: Path, folder: Path, stack: ExitStack
) -> tuple[Replica, float]:
    """Ends one replica as a rollout does and starts its successor; returns it and the seconds of the hook."""
    front.route([other.url])
    started_at = time.monotonic()
    hook = old.execute(old.container["lifecycle"]["preStop"]["exec"]["command"])
    took = time.monotonic() - started_at
    assert hook.returncode == 0, hook.stderr
    assert hook.stderr == "", "traffic had not ended"
    assert old.stop() == 0
    new = stack.enter_context(started(old.container, bundle, old.endpoints, folder))
    front.route([other.url, new.url])
    return new, took


@pytest.mark.skipif(
    shutil.which("nginx") is None, reason="nginx is not installed (Debian, Ubuntu: apt-get install nginx)"
)
def test_a_rolling_restart_under_load_loses_no_request(tiny_bundle: Path, tmp_path: Path):
    container = triton(QUICK)
    with balancer(tmp_path, free_endpoints().http) as front, ExitStack() as stack:
        first, second = (
            stack.enter_context(started(container, tiny_bundle, free_endpoints(), tmp_path)) for _ in range(2)
        )
        assert min(turns(first, second)) >= 8
        front.route([first.url, second.url])
        # The client as it is shipped: a stream that nginx's old worker turns away while it leaves is sent once more.
        with load(front.url, callers=4, pause=0.01, retries=DEFAULT_RETRIES) as found:
            found.wait_for_answers(50)
            first, one = restarted(first, second, front, tiny_bundle, tmp_path, stack)
            second, two = restarted(second, first, front, tiny_bundle, tmp_path, stack)
            found.wait_for_answers(50)
            assert wait_until(lambda: min(counted(first), counted(second)) > 0), "a successor gets no requests"
        served = [counted(replica) for replica in (first, second)]
    found.seconds.sort()
    print(
        f"{found.answered} answered, {len(found.failures)} lost; hooks {one:.1f} and {two:.1f} s; "
        f"slowest {found.seconds[-1]:.2f} s; the successors answered {served}"
    )
    assert found.failures == []


def turns(first: Replica, second: Replica) -> list[int]:
    """How many of twenty requests each gets from a client whose name stands for both, as a headless Service's does."""
    before = [counted(replica) for replica in (first, second)]
    with Client(f"ipv4:{first.url},{second.url}") as client:
        for _ in range(20):
            client.search("tea", k=1)
    return [counted(replica) - was for replica, was in zip((first, second), before, strict=True)]


def counted(replica: Replica) -> int:
    """Searches that a replica has answered."""
    lines = [line for line in replica.metrics().splitlines() if line.startswith("nv_inference_request_success")]
    return next(int(float(line.rpartition(" ")[2])) for line in lines if 'model="search"' in line)
