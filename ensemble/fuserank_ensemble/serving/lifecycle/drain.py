"""The preStop hook: waits until traffic has gone elsewhere, so that Triton is not stopped under requests.

A pod that is to end leaves its Service at once, but proxies and clients hear of it later, and Triton that gets SIGTERM
unloads models while requests still travel through them (triton-inference-server/server#6287).
"""

from __future__ import annotations

import argparse
import re
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

# What callers ask; the stages of `search` follow from it.
_REQUESTS = re.compile(
    r'^nv_inference_request_(?:success|failure)\{[^}]*model="(?:search|similar|suggest|embed|rerank)"[^}]*\} (\S+)$',
    re.M,
)
_PENDING = re.compile(r"^nv_inference_pending_request_count\{[^}]*\} (\S+)$", re.M)


@dataclass(frozen=True)
class Traffic:
    """What the server's metrics say of its load: requests answered or refused so far, and how many wait."""

    requests: float
    pending: float

    @classmethod
    def parsed(cls, metrics: str) -> Traffic:
        """Reads Triton's metrics, in Prometheus' text format.

        Raises:
            ValueError: Where they do not count requests, and nobody could tell when these have ended.
        """
        requests = [float(value) for value in _REQUESTS.findall(metrics)]
        if not requests:
            raise ValueError("nv_inference_request_success: not among the server's metrics; start it with them")
        return cls(sum(requests), sum(float(value) for value in _PENDING.findall(metrics)))


def drained(
    traffic: Callable[[], Traffic], least: float, quiet: float, most: float, clock: Callable[[], float] = time.monotonic
) -> bool:
    """Waits until no request has come for a while.

    Args:
        traffic: Reads the present traffic; it is asked every fifth of a second.
        least: Seconds to wait in any case.
        quiet: Seconds without a request that count as the end.
        most: Seconds to wait at most.
        clock: Seconds that only grow.

    Returns:
        Whether it has become quiet.
    """
    started = changed = clock()
    last = traffic()
    while (now := clock()) - started < most:
        found = traffic()
        if found.pending or found.requests != last.requests:
            last, changed = found, now
        elif now - started >= least and now - changed >= quiet:
            return True
        time.sleep(0.2)
    return False


def main() -> None:
    """Reads the command line. Exits 0 also where traffic has not ended: Kubernetes stops the pod all the same."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metrics-port", type=int, default=8002, help="Triton's metrics port")
    parser.add_argument("--min-seconds", type=float, default=10.0)
    parser.add_argument("--quiet-seconds", type=float, default=3.0)
    parser.add_argument("--max-seconds", type=float, default=60.0)
    asked = parser.parse_args()

    def traffic() -> Traffic:
        with urllib.request.urlopen(f"http://127.0.0.1:{asked.metrics_port}/metrics", timeout=2) as reply:
            return Traffic.parsed(reply.read().decode())

    try:
        quiet = drained(traffic, asked.min_seconds, asked.quiet_seconds, asked.max_seconds)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    if not quiet:
        sys.stderr.write(f"requests still came after {asked.max_seconds:g} s; those in flight have Triton's time-out\n")


if __name__ == "__main__":
    main()
