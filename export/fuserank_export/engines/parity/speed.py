"""How long engines take, side by side: in turns, so that what else the machine does hits them alike."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from fuserank_ensemble.graph.engine import Session
from fuserank_export.engines.parity.adversarial import Feed

ROUNDS, FEWEST, SECONDS = 25, 7, 2.0  # turns of a bucket: all, or as many as fit into its time but no fewer
WARM = 2  # the first runs allocate
Milliseconds = dict[str, float]  # by bucket


def milliseconds(sessions: Mapping[str, Session], output: str, feeds: Mapping[str, Feed]) -> dict[str, Milliseconds]:
    """Time of a run: the lower quartile of many, since a shared machine only ever adds to it.

    Args:
        sessions: Engines by name.
        output: What to ask for.
        feeds: Inputs by bucket.

    Returns:
        For each engine the milliseconds by bucket.
    """
    out: dict[str, Milliseconds] = {name: {} for name in sessions}
    for bucket, feed in feeds.items():
        samples: dict[str, list[float]] = {name: [] for name in sessions}
        begun = time.perf_counter()
        for turn in range(ROUNDS + WARM):
            if turn >= FEWEST + WARM and time.perf_counter() - begun > SECONDS:
                break
            for name, session in sessions.items():
                started = time.perf_counter()
                session.run([output], feed)
                if turn >= WARM:
                    samples[name].append(time.perf_counter() - started)
        for name, mine in samples.items():
            out[name][bucket] = round(float(np.percentile(mine, 25)) * 1_000, 4)
    return out


def speedup(fp32: Milliseconds, own: Milliseconds) -> float:
    """FP32's time over an engine's own, geometric mean over the buckets."""
    ratios = [fp32[bucket] / own[bucket] for bucket in fp32]
    return round(float(np.exp(np.mean(np.log(ratios)))), 3)
