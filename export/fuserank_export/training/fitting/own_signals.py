"""Holds each of a shop's own signals to the ranker without it, and leaves out those that gain nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.features import FeatureLayout
from fuserank_ensemble.interactions.segments import USER
from fuserank_export.training.cases.cases import Cases
from fuserank_export.training.model.position import PositionBias
from fuserank_export.training.model.ranker import Ranker

STANDARD_ERRORS = 2.0  # of the mean difference in nDCG, that a gain must exceed: a column of noise does so 1 time in 40
SHOP = "shop"  # the signal of the catalogue's columns
LEAST_CASES = 30  # of validation, for a gain to mean anything


@dataclass(frozen=True)
class Fitted:
    """A ranker that was fitted.

    Attributes:
        ranker: The ranker; its layout says which columns it reads.
        losses: By epoch.
        position: What was learned of positions beside it; None where no list has any.
        validation: The later cases that it is measured on, with its columns.
    """

    ranker: Ranker
    losses: list[dict[str, float]]
    position: PositionBias | None
    validation: Cases


@dataclass(frozen=True)
class SignalGain:
    """What one of a shop's own signals brings.

    Attributes:
        columns: The columns that it is made of.
        cases: How many validation cases there are.
        kept: Whether the ranker reads it.
        ndcg_with: nDCG@10 on the validation cases, of all kinds of request together; None where they are too few.
        ndcg_without: That of the ranker without it.
        standard_error: Of their difference, case by case.
        ndcg_dealt: That of the ranker with the same columns dealt out anew among the items; None where nobody asked.
    """

    columns: tuple[str, ...]
    cases: int
    kept: bool = False
    ndcg_with: float | None = None
    ndcg_without: float | None = None
    standard_error: float | None = None
    ndcg_dealt: float | None = None

    def describe(self, signal: str) -> str:
        """Returns a sentence for the export's last lines."""
        columns = ", ".join(self.columns)
        if self.ndcg_with is None:
            return (
                f"the signal {signal} ({columns}) is left out: {self.cases} validation cases of the {LEAST_CASES} "
                "that it takes to tell whether it gains"
            )
        measured = f"nDCG@10 {self.ndcg_with:.4f}, {self.ndcg_without:.4f} without"
        if self.ndcg_dealt is not None:
            measured += f", {self.ndcg_dealt:.4f} with the same values dealt out anew among the items"
        if self.kept:
            return f"the signal {signal} ({columns}) is kept: {measured}"
        return f"the signal {signal} ({columns}) is left out, as it does not gain: {measured}"


def select_own_signals(
    layout: FeatureLayout,
    fit: Callable[[FeatureLayout, bool], Fitted],
    measure: Callable[[Fitted], NDArray[np.float64]],
) -> tuple[Fitted, dict[str, SignalGain]]:
    """Fits a ranker without any of a shop's own signals, then with one more at a time, and keeps what gains.

    A catalogue's columns must also beat themselves dealt out anew among the items: in a small catalogue any column,
    even of noise, tells items apart, and a ranker learns by it which of them sell.

    Args:
        layout: All columns that the cases have.
        fit: Fits a ranker to the columns of a layout; where told so, with the catalogue's dealt out anew.
        measure: Returns a ranker's nDCG of each validation case, float64 `[cases]`.

    Returns:
        The ranker with the signals that gained, and what each brought.
    """
    best, gains = fit(FeatureLayout(), False), dict[str, SignalGain]()
    before = measure(best) if layout.own else np.empty(0)
    for signal in layout.own_signals:
        features = layout.of_signal(signal)
        sources = tuple(dict.fromkeys(feature.source.removeprefix(USER) for feature in features))
        if len(before) < LEAST_CASES:
            gains[signal] = SignalGain(sources, len(before))
            continue
        tried = FeatureLayout((*best.ranker.layout.own, *features))
        candidate = fit(tried, False)
        after = measure(candidate)
        kept, dealt = _gains(after, before), None
        if kept and signal == SHOP:
            of_dealt = measure(fit(tried, True))
            kept, dealt = _gains(after, of_dealt), float(of_dealt.mean())
        gains[signal] = SignalGain(
            sources, len(after), kept, float(after.mean()), float(before.mean()), _standard_error(after, before), dealt
        )
        if kept:
            best, before = candidate, after
    return best, gains


def deal_anew(parts: Sequence[Cases], layout: FeatureLayout, seed: int) -> list[Cases]:
    """Returns cases whose items have the catalogue's own columns of other items, the same item's in all of them.

    A share of the user's events is unknown there; what is unknown of an item stays so.

    Args:
        parts: The cases.
        layout: Their columns.
        seed: Of the permutation.
    """
    columns = np.asarray(layout.columns(SHOP))
    last = max(int(cases.rows.max(initial=-1)) for cases in parts)
    table = np.full((last + 1, len(columns)), np.nan, np.float32)  # [items, columns]
    for cases in parts:
        known = cases.present & ~np.isnan(cases.features[..., columns]).all(-1)
        table[cases.rows[known]] = cases.features[known][:, columns]
    items = np.flatnonzero(~np.isnan(table).all(1))
    table[items] = table[np.random.default_rng(seed).permutation(items)]
    table[:, [feature.form == "share" for feature in layout.of_signal(SHOP)]] = np.nan
    dealt = []
    for cases in parts:
        features = cases.features.copy()
        unknown = np.isnan(features[..., columns]).all(-1, keepdims=True)
        features[..., columns] = np.where(unknown, np.nan, table[cases.rows])
        dealt.append(replace(cases, features=features))
    return dealt


def _gains(after: NDArray[np.float64], before: NDArray[np.float64]) -> bool:
    return bool((after - before).mean() > STANDARD_ERRORS * _standard_error(after, before))


def _standard_error(after: NDArray[np.float64], before: NDArray[np.float64]) -> float:
    """Of the mean difference, case by case."""
    return float((after - before).std(ddof=1) / len(after) ** 0.5)


def describe_gains(gains: dict[str, SignalGain]) -> str:
    """Returns what became of a shop's own signals; empty where it has none."""
    return "; ".join(gain.describe(signal) for signal, gain in gains.items())
