"""Holds each of a shop's own signals to the ranker without it, and leaves out those that gain nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.features import FeatureLayout
from fuserank_ensemble.interactions.segments import USER
from fuserank_ensemble.retrieval.own_features import OwnFeature
from fuserank_export.index.shadows import is_shadow
from fuserank_export.training.model.position import PositionBias
from fuserank_export.training.model.ranker import Ranker

# Of the mean difference in nDCG, case by case, that a gain must exceed. Two fits of the same differ, too, which the
# cases do not show: a column of noise has been two standard errors above its shadow.
STANDARD_ERRORS = 3.0
LEAST_CASES = 30  # of validation, for a gain to mean anything


@dataclass(frozen=True)
class Fitted:
    """A ranker that was fitted.

    Attributes:
        ranker: The ranker; its layout says which columns it reads.
        losses: By epoch.
        position: What was learned of positions beside it; None where no list has any.
        logits: What it says of the later cases that it is measured on, float32 `[cases, K, heads]`.
    """

    ranker: Ranker
    losses: list[dict[str, float]]
    position: PositionBias | None
    logits: NDArray[np.float32]


@dataclass(frozen=True)
class SignalGain:
    """What one of a shop's own signals brings.

    Attributes:
        columns: The columns that it is made of.
        cases: How many validation cases there are.
        kept: Whether the ranker reads it.
        in_time: Whether the time budget sufficed to try it.
        ndcg_with: nDCG@10 on the validation cases, of all kinds of request together; None where they are too few.
        ndcg_without: That of the ranker without it.
        standard_error: Of their difference, case by case.
        ndcg_shadow: That of the ranker with its shadow instead, see `add_shadows`; None where it did not come to that.
    """

    columns: tuple[str, ...]
    cases: int
    kept: bool = False
    in_time: bool = True
    ndcg_with: float | None = None
    ndcg_without: float | None = None
    standard_error: float | None = None
    ndcg_shadow: float | None = None

    def describe(self, signal: str) -> str:
        """Returns a sentence for the export's last lines."""
        columns = ", ".join(self.columns)
        if not self.in_time:
            return f"the signal {signal} ({columns}) is left out: the time budget ended before it was tried"
        if self.ndcg_with is None:
            return (
                f"the signal {signal} ({columns}) is left out: {self.cases} validation cases of the {LEAST_CASES} "
                "that it takes to tell whether it gains"
            )
        measured = f"nDCG@10 {self.ndcg_with:.4f}, {self.ndcg_without:.4f} without"
        if self.ndcg_shadow is not None:
            measured += f", {self.ndcg_shadow:.4f} with the same values dealt out anew"
        if self.kept:
            return f"the signal {signal} ({columns}) is kept: {measured}"
        return f"the signal {signal} ({columns}) is left out, as it does not gain: {measured}"


def select_own_signals(
    layout: FeatureLayout,
    fit: Callable[[Sequence[FeatureLayout]], list[Fitted]],
    measure: Callable[[Fitted], NDArray[np.float64]],
    cases: int,
    is_over: Callable[[], bool] = lambda: False,
) -> tuple[Fitted, dict[str, SignalGain]]:
    """Fits a ranker without any of a shop's own signals, then with one more at a time, and keeps what gains.

    A signal must be better than the ranker without it, and than the ranker with its shadow in its place.

    Args:
        layout: All columns that the cases have, the shadows among them.
        fit: Fits rankers to the columns of layouts, one for each; those of one call may be fitted at once.
        measure: Returns a ranker's nDCG of each validation case, float64 `[cases]`.
        cases: How many validation cases there are.
        is_over: Whether the time is up: a signal whose fits were not done by then is left out.

    Returns:
        The ranker with the signals that gained, and what each brought.
    """
    # The first signal need not wait for the ranker without any.
    tried = layout.own_signals if cases >= LEAST_CASES else ()
    best, *first = fit([FeatureLayout(), *(FeatureLayout(_without_shadows(layout, signal)) for signal in tried[:1])])
    gains = dict[str, SignalGain]()
    before = measure(best) if tried else np.empty(0)
    for signal in layout.own_signals:
        features = _without_shadows(layout, signal)
        shadows = tuple(feature for feature in layout.of_signal(signal) if is_shadow(feature))
        sources = tuple(dict.fromkeys(feature.source.removeprefix(USER) for feature in features))
        if not tried:
            gains[signal] = SignalGain(sources, cases)
            continue
        if is_over():
            gains[signal] = SignalGain(sources, len(before), in_time=False)
            continue
        kept_before = best.ranker.layout.own
        candidate = first.pop() if first else fit([FeatureLayout((*kept_before, *features))])[0]
        after, shadow = measure(candidate), None
        kept = _is_better(after, before)
        if kept:
            with_shadow = measure(fit([FeatureLayout((*kept_before, *shadows))])[0])
            kept, shadow = _is_better(after, with_shadow), float(with_shadow.mean())
        if is_over():  # what was compared had not learned as long
            gains[signal] = SignalGain(sources, len(after), in_time=False)
            continue
        gains[signal] = SignalGain(
            sources,
            len(after),
            kept,
            ndcg_with=float(after.mean()),
            ndcg_without=float(before.mean()),
            standard_error=_standard_error(after, before),
            ndcg_shadow=shadow,
        )
        if kept:
            best, before = candidate, after
    return best, gains


def _without_shadows(layout: FeatureLayout, signal: str) -> tuple[OwnFeature, ...]:
    return tuple(feature for feature in layout.of_signal(signal) if not is_shadow(feature))


def _is_better(after: NDArray[np.float64], before: NDArray[np.float64]) -> bool:
    return bool((after - before).mean() > STANDARD_ERRORS * _standard_error(after, before))


def _standard_error(after: NDArray[np.float64], before: NDArray[np.float64]) -> float:
    """Of the mean difference, case by case."""
    return float((after - before).std(ddof=1) / len(after) ** 0.5)


def describe_gains(gains: dict[str, SignalGain]) -> str:
    """Returns what became of a shop's own signals; empty where it has none."""
    return "; ".join(gain.describe(signal) for signal, gain in gains.items())
