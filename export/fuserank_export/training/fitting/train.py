"""Trains the ranker on a time split of the log, and says how well it ranks what came after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from fuserank_ensemble.candidates.drift import FeatureReference
from fuserank_ensemble.candidates.features import FEATURES, FeatureLayout
from fuserank_ensemble.contract.options import HEADS
from fuserank_ensemble.spec import RANKED_KINDS, RankedKind
from fuserank_export.index.shop import Shop
from fuserank_export.sources.interactions import Interactions
from fuserank_export.training.cases.builder import CaseBuilder
from fuserank_export.training.cases.labels import MIN_POSITIVES, learnable
from fuserank_export.training.cases.split import IndexBefore, StepProgress, split_cases
from fuserank_export.training.cases.training_query import TrainingQuery
from fuserank_export.training.fitting.at_once import fit_at_once
from fuserank_export.training.fitting.budget import TimeBudget
from fuserank_export.training.fitting.fit import fit
from fuserank_export.training.fitting.own_signals import (
    Fitted,
    SignalGain,
    describe_gains,
    select_own_signals,
)
from fuserank_export.training.fitting.settings import FIT, FitSettings
from fuserank_export.training.fitting.validation import measure_ndcg, ndcg_by_case
from fuserank_export.training.model.position import PositionBias
from fuserank_export.training.model.ranker import Ranker

LEAST_SHOWN, MANY_CASES = 10, 100  # validation cases of a kind of request: fewer show nothing, or little


@dataclass(frozen=True)
class TrainingReport:
    """What the manifest says of the ranker.

    Attributes:
        source: `log`; where there was none to learn from, `judgements`, and without those `catalog`.
        cases: How many requests it learned from.
        validation_cases: How many later requests it was measured on.
        window_days: Length of each time window.
        heads: Positive labels in training by head; 0 where there are too few, or too few negative ones: such a
            head is not trained and weighs nothing.
        ndcg_at_10: On the validation cases, by kind of request: the ranker's, that of fusion alone, and that of the
            best channel alone.
        losses: By epoch, on the cases learned from (`loss`) and on the later ones (`eval_loss`).
        judged_queries: How many judged queries took part.
        shown_lists: How many lists of impressions took part.
        position_terms: What each position adds to a click's logit beyond the first; learned, and not served.
        own_signals: What each of the shop's own signals brought, and whether the ranker reads it.
        time_budget: The minutes that the command had, and after how many epochs they ended each fit; None for no end.
        note: What a reader should know.
        reference: The features that it learned from, which serving compares its own with; a file of the bundle.
    """

    source: str
    cases: int
    validation_cases: int
    window_days: float
    heads: dict[str, int]
    ndcg_at_10: dict[str, dict[str, Any]]
    losses: list[dict[str, float]]
    judged_queries: int
    shown_lists: int
    position_terms: dict[int, float]
    own_signals: dict[str, SignalGain]
    time_budget: dict[str, Any] | None
    note: str
    reference: FeatureReference

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; what is a file of its own is left out."""
        return {name: value for name, value in asdict(self).items() if name != "reference"}


def train_ranker(
    log: Interactions,
    shop: Shop,
    builder: CaseBuilder,
    index_before: IndexBefore,
    *,
    judged: Sequence[TrainingQuery] = (),
    signals_must_gain: bool = True,
    cases: int = 1_500,
    settings: FitSettings = FIT,
    seed: int = 13,
    advanced: StepProgress = lambda step, done, total: None,
    budget: TimeBudget | None = None,
    at_once: bool = True,
) -> tuple[Ranker, TrainingReport]:
    """Trains a ranker.

    The log is split by time: all but the last of its last windows are learned from, the last is measured on (and
    ends the training and calibrates it, so that its figures are a little kind to the ranker).
    A window is 28 days, or a tenth of a shorter log.

    Args:
        log: The log; may be empty.
        shop: The catalogue.
        builder: Builds cases of training queries.
        index_before: What the channels know by a moment; called once for each window, the earliest first.
        judged: Judged queries in any order, see `judged_queries`; the last fifth joins the log's last window.
        signals_must_gain: Whether the ranker reads those of the shop's own signals alone that gain on the last window,
            see `select_own_signals`, or all.
        cases: How many (user, query) pairs to draw from each window.
        settings: How it is fitted.
        seed: Of draws and weights.
        advanced: Called with a step's name, what is done and the whole.
        budget: The time after which it stops with the best so far; None has no end.
        at_once: Whether two rankers may be fitted at once, which takes twice the memory of a fit.
    """
    split = split_cases(log, shop, builder, index_before, judged=judged, count=cases, seed=seed, advanced=advanced)
    train, held_out = split.train, split.held_out
    if split.source == "catalog":
        settings = replace(settings, least_steps=0)  # made-up queries are soon learned
    vectors = np.asarray(builder.catalog.vectors)
    whole = FeatureLayout(builder.spec.own_features)

    retrieved = held_out.retrieved  # a shown list teaches, but it measures the ranking that chose it, too

    def fit_columns(layout: FeatureLayout) -> Fitted:
        columns, position = whole.positions(layout), PositionBias() if train.positions.any() else None
        step = " with ".join(["training the ranker", *layout.own_signals[-1:]])
        model, losses, logits = fit(
            train.with_columns(columns, builder.folder),
            (held_out if len(held_out) else train).with_columns(columns, builder.folder),
            vectors,
            settings,
            seed,
            lambda epoch: advanced(step, epoch, settings.epochs),
            position,
            layout,
            budget,
        )
        return Fitted(model, losses, position, logits[: len(retrieved)])  # none where others calibrated it

    def fit_all(layouts: Sequence[FeatureLayout]) -> list[Fitted]:
        fits = [partial(fit_columns, layout) for layout in layouts]
        return fit_at_once(fits, budget) if at_once else [fit_one() for fit_one in fits]

    gains: dict[str, SignalGain] = {}
    if not signals_must_gain:
        (fitted,) = fit_all([whole])
    elif split.source == "catalog":  # made-up queries show nothing of a signal
        (fitted,) = fit_all([FeatureLayout()])
    else:
        known = ~np.isnan(train.features[..., len(FEATURES) :]).all((0, 1))
        tried = FeatureLayout(tuple(feature for feature, k in zip(whole.own, known, strict=True) if k))
        fitted, gains = select_own_signals(
            tried,
            fit_all,
            lambda fitted: ndcg_by_case(retrieved, fitted.logits),
            len(retrieved),
            lambda: budget is not None and budget.is_over,
        )
    model, position = fitted.ranker, fitted.position
    columns = whole.positions(model.layout)
    heads = {
        head: int(np.nansum(train.labels[..., h])) if learnable(train.labels[..., h]) else 0
        for h, head in enumerate(HEADS)
    }
    report = TrainingReport(
        source=split.source,
        cases=len(train),
        validation_cases=len(held_out),
        window_days=split.window_days,
        heads=heads,
        ndcg_at_10=measure_ndcg(retrieved, fitted.logits),
        losses=fitted.losses,
        judged_queries=len(judged),
        shown_lists=split.shown_lists,
        position_terms=position.terms(train.positions, MIN_POSITIVES) if position else {},
        own_signals=gains,
        time_budget=budget.to_dict() if budget else None,
        note="; ".join(
            filter(None, (split.note, budget.describe(settings.epochs) if budget else "", describe_gains(gains)))
        ),
        # A recommendation of what is new to its user is a kind that serving does not tell apart: it takes no part.
        reference=FeatureReference.from_cases(
            train.kinds, train.with_columns(columns, builder.folder).features, train.present
        ),
    )
    return model, report


def objective(report: TrainingReport) -> dict[str, float]:
    """Returns the default weights of the heads: all on the last that has learned, a purchase before a click."""
    learned = [head for head, count in report.heads.items() if count >= MIN_POSITIVES]
    return {head: float(head == (learned or HEADS[:1])[-1]) for head in HEADS}


def ranked_kinds(report: TrainingReport) -> tuple[RankedKind, ...]:
    """Returns the kinds of request that the ranker was shown to order at least as well as fusion and any channel.

    Where the validation has too few cases nothing is shown, nor by queries that were made up from the catalogue: all
    of their candidates match, and popularity is all that there is to be learned.
    """
    if report.source == "catalog":
        return ()
    shown = []
    for kind in RANKED_KINDS:
        measured = report.ndcg_at_10.get(kind)
        if measured is None or measured["cases"] < LEAST_SHOWN:
            continue
        # Of few cases, a gain within their own scatter shows nothing.
        margin = measured["standard_error"] if measured["cases"] < MANY_CASES else 0.0
        best = max(measured["fusion"], measured["best_channel"]["ndcg"])
        # Where nobody finds a right answer, all are equally good and nothing is shown.
        if measured["ranker"] > 0 and measured["ranker"] - margin >= best:
            shown.append(kind)
    return tuple(shown)


def describe_unranked(report: TrainingReport) -> str:
    """Returns why some kinds of request keep the order of fusion; empty where none does."""
    if report.source == "catalog":
        return "made-up queries show nothing of the ranker: every request keeps the order of fusion"
    reasons = []
    for kind in RANKED_KINDS:
        if kind in ranked_kinds(report):
            continue
        measured = report.ndcg_at_10.get(kind, {"cases": 0})
        if measured["cases"] < LEAST_SHOWN:
            reasons.append(f"{kind} ({measured['cases']} of the {LEAST_SHOWN} cases that it takes to tell)")
        elif not any((measured["ranker"], measured["fusion"], measured["best_channel"]["ndcg"])):
            reasons.append(f"{kind} ({measured['cases']} cases, none with a right answer among the candidates)")
        else:
            best = measured["best_channel"]
            reasons.append(
                f"{kind} (nDCG@10 {measured['ranker']:.3f}; fusion {measured['fusion']:.3f}, "
                f"{best['name']} {best['ndcg']:.3f})"
            )
    return f"the order of fusion stands for {', '.join(reasons)}" if reasons else ""
