"""Rounds in which all that is compared takes turns, and ratios that never come without their interval."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.stats import bootstrap

SEED = 7
LEVEL = 0.95
Probe = Callable[[], Mapping[str, float]]
Measured = Mapping[str, Sequence[float]]


def interleaved(probes: Mapping[str, Probe], rounds: int, told: Callable[[str], None]) -> dict[str, list[float]]:
    """Runs every probe once a round: a machine that slows down slows all of them.

    Args:
        probes: Each measures some named figures.
        rounds: How often.
        told: Hears of each probe before it runs.

    Returns:
        Each figure's values, one a round.
    """
    found: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds):
        for name, probe in probes.items():
            told(f"round {number + 1} of {rounds}: {name}")
            for figure, value in probe().items():
                found[figure].append(value)
    return dict(found)


def summary(name: str, values: Sequence[float], digits: int = 3) -> dict[str, float | None]:
    """A figure's median over the rounds, and the interval of that median by the percentile bootstrap.

    Args:
        name: Of the figure; `<name>_low` and `<name>_high` bound its 95 % interval.
        values: One a round; none where it was not measured.
        digits: After the point.
    """
    if not len(values):
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    low, high = _interval(np.asarray(values, np.float64))
    shown = {name: float(np.median(values)), f"{name}_low": low, f"{name}_high": high}
    return {key: round(value, digits) for key, value in shown.items()}


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Round by round, so that what slowed a whole round does not count."""
    return [mine / other for mine, other in zip(ours, theirs, strict=True)]


def _interval(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> tuple[float, float]:
    if len(values) < 2 or np.ptp(values) == 0:
        return float(values.min()), float(values.max())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy's, of few values
        found = bootstrap(
            (values,), np.median, method="percentile", confidence_level=LEVEL, n_resamples=2_000, random_state=SEED
        ).confidence_interval
    return float(found.low), float(found.high)
