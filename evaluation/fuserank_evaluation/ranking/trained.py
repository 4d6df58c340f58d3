"""Trains the ranker and LambdaMART on what lies before the cut, as the export trains, and enters them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.retriever import Candidates
from fuserank_ensemble.contract.options import HEADS
from fuserank_ensemble.retrieval.index import InteractionIndex
from fuserank_ensemble.spec import GraphSpec
from fuserank_evaluation.baselines.lightgbm import LightGbm, Lists
from fuserank_evaluation.datasets.cases import SEED
from fuserank_evaluation.datasets.grocery import Grocery
from fuserank_evaluation.ranking.ranker import Ranker
from fuserank_evaluation.ranking.retrieved import Retrieved
from fuserank_export.learning.interactions import popularity_before
from fuserank_export.training.cases.builder import CaseBuilder
from fuserank_export.training.cases.cases import Cases
from fuserank_export.training.cases.labels import MIN_POSITIVES
from fuserank_export.training.cases.training_query import KINDS, TrainingQuery
from fuserank_export.training.fitting.fit import predicted
from fuserank_export.training.fitting.settings import FitSettings
from fuserank_export.training.fitting.train import TrainingReport, objective, train_ranker


@dataclass(frozen=True)
class RecordingBuilder(CaseBuilder):
    """Keeps the cases that it builds, so that another can learn from the very same.

    Attributes:
        built: For each window, its cases.
    """

    built: list[Cases] = field(default_factory=list)

    def build(
        self,
        asks: Sequence[TrainingQuery],
        learned: InteractionIndex,
        advanced: Callable[[int], None] = lambda count: None,
    ) -> Cases:
        """See `CaseBuilder`."""
        cases = super().build(asks, learned, advanced)
        self.built.append(cases)
        return cases


def trained(
    grocery: Grocery,
    retrieved: Retrieved,
    cases: int,
    settings: FitSettings,
    advanced: Callable[[str, int, int], None],
) -> tuple[Ranker, LightGbm, TrainingReport]:
    """The ranker and LambdaMART, which learns from the same cases.

    The log ends at the cut: nothing of the test's window is there to be seen. Both learn from all but the last of the
    training's windows; the last says when to stop.

    Args:
        grocery: The shop.
        retrieved: Finds and describes the candidates of the cases to be ranked.
        cases: How many (user, query) pairs to draw from each of the training's windows.
        settings: How the ranker is fitted.
        advanced: Called with a step's name, what is done and the whole.

    Returns:
        Both, and what the ranker's training said.
    """
    log, shop = grocery.known_log, grocery.shop
    known: list[InteractionIndex] = []

    def learned_before(moment: float) -> InteractionIndex:
        if not known:
            known.append(grocery.learned(moment))
        return replace(known[0], popularity=popularity_before(log, shop, moment))

    plain = grocery.builder(grocery.cut)
    builder = RecordingBuilder(plain.catalog, plain.spec, plain.embed)
    model, report = train_ranker(
        log, shop, builder, learned_before, cases=cases, settings=settings, seed=SEED, advanced=advanced
    )
    vectors = np.asarray(builder.catalog.vectors)

    def score(found: Sequence[Candidates]) -> list[NDArray[np.float32]]:
        logits = predicted(model, unanswered(found, builder.spec), vectors)
        return [each[: len(one.rows)] for each, one in zip(logits, found, strict=True)]

    weights = objective(report)
    heads = tuple(head for head in HEADS if report.heads[head] >= MIN_POSITIVES)
    boosted = LightGbm(retrieved, builder.spec.candidates, SEED)
    learned, later = Cases.joined(builder.built[:-1]), builder.built[-1]
    for done, kind in enumerate(KINDS, start=1):
        advanced(f"lightgbm: {kind}", done, len(KINDS))
        boosted.fit(kind, Lists.of(learned, kind), Lists.of(later, kind))
    return Ranker(retrieved, score, tuple(weights[head] for head in HEADS), heads), boosted, report


def unanswered(found: Sequence[Candidates], spec: GraphSpec) -> Cases:
    """The first candidates of each case as the ranker takes them, as many as it gets when it serves."""
    cases = Cases.blank(["" for _ in found], spec.candidates, spec.events)
    for i, each in enumerate(found):
        count = min(len(each.rows), spec.candidates)
        cases.rows[i, :count], cases.features[i, :count] = each.rows[:count], each.features[:count]
        cases.texts[i, :count] = each.texts[:count]
        cases.events[i, : len(each.events)], cases.moments[i] = each.events, each.moments
    return cases
