"""Interleaved rounds of everything that is compared, and medians and ratios with their confidence intervals."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

SEED = 7
CONFIDENCE = 0.95
Probe = Callable[[], Mapping[str, float]]  # measures some named figures once


def interleave(probes: Mapping[str, Probe], rounds: int, announce: Callable[[str], None]) -> dict[str, list[float]]:
    """Runs every probe once a round, so that a machine that slows down slows all of them.

    Args:
        probes: Probes by name.
        rounds: Number of rounds.
        announce: Called with the round and the probe's name before it runs.

    Returns:
        Each figure's values, one a round.
    """
    values: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds):
        for name, probe in probes.items():
            announce(f"round {number + 1} of {rounds}: {name}")
            for figure, value in probe().items():
                values[figure].append(value)
    return dict(values)


def summarize(name: str, values: Sequence[float], digits: int = 3) -> dict[str, float | None]:
    """A figure's median over the rounds, and the 95 % interval of that median by the percentile bootstrap.

    Args:
        name: The figure's name; `<name>_low` and `<name>_high` are the interval's ends.
        values: One value a round; none where it was not measured, which gives None.
        digits: Digits after the point.
    """
    if not len(values):
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    low, high = _median_interval(np.asarray(values, np.float64))
    summary = {name: float(np.median(values)), f"{name}_low": low, f"{name}_high": high}
    return {key: round(value, digits) for key, value in summary.items()}


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Ratios round by round, so that what slowed a whole round cancels out."""
    return [first / second for first, second in zip(numerators, denominators, strict=True)]


def _median_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    if len(values) < 2 or np.ptp(values) == 0:
        return float(values.min()), float(values.max())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns of few values
        interval = bootstrap(
            (values,), np.median, method="percentile", confidence_level=CONFIDENCE, n_resamples=2_000, random_state=SEED
        ).confidence_interval
    return float(interval.low), float(interval.high)
