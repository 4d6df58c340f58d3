"""The page of overload: figures and their meanings, and what became of the requests of each step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import pyplot as plt

from fuserank_benchmarks.reliability.overload import BURSTS, CALM, DEADLINE_MS, FACTORS, NORMAL, Burst, Overload, Step
from fuserank_evaluation.reports.report import Table

_OF_STEP = {
    "goodput": "answers within {deadline:.0f} ms over the peak",
    "p50_ms": "ms of what was answered, from when it was due: median",
    "p99_ms": "ms, the same: 99th percentile",
    "refused": "share of the requests that were refused",
    "failed": "requests that failed otherwise, or had no answer within 10 s",
    "refused_p50_ms": "ms until a refusal, from when the request was due: median",
    "refused_p99_ms": "ms, the same: 99th percentile",
    "sender_late_ms": "ms that the sender itself was late, 99th percentile",
    "sender_cores": "cores that the senders took of the machine",
    "degraded": "share of the answers that were cut short",
}
_OF_BURST = {
    "p99_before_ms": "ms of what was answered before the burst: 99th percentile",
    "p99_after_5s_ms": "ms from 5 s after the burst on: 99th percentile",
    "normal_after_seconds": "s after the burst until the p99 of a second is at most {normal:g} times that before",
}


def name_of(factor: float) -> str:
    """Returns a factor as figures' names have it, such as `0_5x`."""
    return f"{factor:g}x".replace(".", "_")


def meanings(prefix: str) -> dict[str, str]:
    """What the figures of a target mean; `prefix` begins their names."""
    told = {f"{prefix}_peak": f"requests/s of {prefix} that callers without a pause get, median of the closed loops"}
    for factor in FACTORS:
        for name, meaning in _OF_STEP.items():
            told[f"{prefix}_{name_of(factor)}_{name}"] = f"at {factor:g} x peak: {meaning.format(deadline=DEADLINE_MS)}"
    for factor in BURSTS:
        for name, meaning in _OF_BURST.items():
            about = meaning.format(normal=NORMAL)
            told[f"{prefix}_burst_{name_of(factor)}_{name}"] = (
                f"a burst of {factor:g} x peak in {CALM:g} x peak: {about}"
            )
    return told


def figures(prefix: str, measured: Overload) -> dict[str, float | None]:
    """The figures of a target, as `meanings` names them; None where nothing was there to measure."""
    named: dict[str, float] = {f"{prefix}_peak": float(np.median(measured.peaks))}
    for step in measured.steps:
        named |= {f"{prefix}_{name_of(step.factor)}_{name}": value for name, value in _of_step(step).items()}
    for burst in measured.bursts:
        named |= {f"{prefix}_burst_{name_of(burst.factor)}_{name}": value for name, value in _of_burst(burst).items()}
    return {name: round(value, 3) if np.isfinite(value) else None for name, value in named.items()}


def _of_step(step: Step) -> dict[str, float]:
    outcome = step.outcome
    answered = max(len(outcome.answered), 1)
    return {
        "goodput": step.goodput,
        "p50_ms": outcome.percentile(50),
        "p99_ms": outcome.percentile(99),
        "refused": len(outcome.refused) / max(outcome.sent, 1),
        "failed": float(outcome.failed),
        "refused_p50_ms": outcome.refusal_percentile(50),
        "refused_p99_ms": outcome.refusal_percentile(99),
        "sender_late_ms": outcome.late_ms,
        "sender_cores": outcome.cpu_seconds / outcome.seconds,
        "degraded": min(step.degraded.total() / answered, 1.0),
    }


def _of_burst(burst: Burst) -> dict[str, float]:
    return {
        "p99_before_ms": burst.calm_p99_ms,
        "p99_after_5s_ms": burst.p99_after_ms(5.0),
        "normal_after_seconds": burst.normal_after_seconds,
    }


def tables(measured: Mapping[str, Overload]) -> dict[str, Table]:
    """A table of the steps of each target."""
    head = ["load", "requests/s", "goodput", "p99 answered, ms", "refused", "p99 refused, ms", "cut short"]
    rows = {
        name: [
            [
                f"{step.factor:g} x peak",
                f"{step.outcome.sent / step.outcome.seconds:.0f}",
                f"{step.goodput:.2f}",
                f"{step.outcome.percentile(99):.0f}",
                f"{len(step.outcome.refused) / max(step.outcome.sent, 1):.0%}",
                f"{step.outcome.refusal_percentile(99):.1f}" if step.outcome.refused else "",
                ", ".join(f"{reason} {count:,}" for reason, count in sorted(step.degraded.items())),
            ]
            for step in overload.steps
        ]
        for name, overload in measured.items()
    }
    return {f"{name}, at and beyond its peak": [head, *steps] for name, steps in rows.items()}


def plot_bursts(measured: Mapping[str, Overload]) -> dict[str, Any]:
    """A plot for each target of the p99 of each second around its bursts."""
    plots = {}
    for name, overload in measured.items():
        plot, axis = plt.subplots(figsize=(8, 3))
        for burst in overload.bursts:
            seconds = np.arange(int(sum(burst.spans)))
            latencies = [burst.outcome.due_within(second, second + 1) for second in seconds]
            axis.plot(
                seconds,
                [float(np.percentile(each, 99)) if each else float("nan") for each in latencies],
                label=f"{burst.factor:g} x",
            )
        start, length = overload.bursts[0].spans[:2]
        axis.axvspan(start, start + length, alpha=0.15)
        axis.set_xlabel("s")
        axis.set_ylabel("p99 of a second, ms")
        axis.legend(title="burst, of the peak")
        plots[f"{name}: latency of what is answered, around a burst"] = plot
    return plots
