"""Two fits at once, where there is a core for each: a fit uses one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from fuserank_export.forked import spare_processes, started
from fuserank_export.training.fitting.budget import TimeBudget

Result = TypeVar("Result")


def fit_at_once(fits: Sequence[Callable[[], Result]], budget: TimeBudget | None = None) -> list[Result]:
    """Returns the results of fits; of two, the second runs in a forked process beside the first.

    Args:
        fits: Up to two fits.
        budget: Notes those that its time ended, in whichever process they were.
    """
    if len(fits) != 2 or spare_processes(2) < 2:
        return [fit() for fit in fits]
    first, second = fits
    known = len(budget.stopped) if budget else 0

    def fit_beside() -> tuple[Result, list[float]]:
        return second(), budget.stopped[known:] if budget else []

    with started(fit_beside) as wait:
        results = [first()]
        result, stopped = wait()
    if budget:
        budget.stopped.extend(stopped)
    return [*results, result]
