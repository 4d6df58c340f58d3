"""Measures the time of engines in turns, so that other load of the machine affects all alike."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from fuserank_ensemble.graph.engine import Session
from fuserank_export.engines.parity.adversarial import Feed

MAX_ROUNDS, MIN_ROUNDS, MAX_SECONDS = 25, 7, 2.0  # of a bucket; the minimum is run whatever its time
WARM_UP_ROUNDS = 2  # the first runs allocate
Milliseconds = dict[str, float]  # by bucket


def measure_milliseconds(
    sessions: Mapping[str, Session], output: str, feeds: Mapping[str, Feed]
) -> dict[str, Milliseconds]:
    """Measures the time of a run: the lower quartile of many, because other load only adds to it.

    Args:
        sessions: Engines by name.
        output: Name of the output to compute.
        feeds: Inputs by bucket.

    Returns:
        For each engine the milliseconds by bucket.
    """
    times: dict[str, Milliseconds] = {name: {} for name in sessions}
    for bucket, feed in feeds.items():
        samples: dict[str, list[float]] = {name: [] for name in sessions}
        bucket_started = time.perf_counter()
        for turn in range(MAX_ROUNDS + WARM_UP_ROUNDS):
            if turn >= MIN_ROUNDS + WARM_UP_ROUNDS and time.perf_counter() - bucket_started > MAX_SECONDS:
                break
            for name, session in sessions.items():
                started = time.perf_counter()
                session.run([output], feed)
                if turn >= WARM_UP_ROUNDS:
                    samples[name].append(time.perf_counter() - started)
        for name, seconds in samples.items():
            times[name][bucket] = round(float(np.percentile(seconds, 25)) * 1_000, 4)
    return times


def mean_speedup(fp32: Milliseconds, engine: Milliseconds) -> float:
    """Returns FP32's time over an engine's, geometric mean over the buckets."""
    ratios = [fp32[bucket] / engine[bucket] for bucket in fp32]
    return round(float(np.exp(np.mean(np.log(ratios)))), 3)
