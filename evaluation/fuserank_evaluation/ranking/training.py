"""Fits baselines, and trains the ranker and LambdaMART as the export does, on the events before the cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.candidate_set import Candidates
from fuserank_ensemble.candidates.features import FeatureLayout
from fuserank_ensemble.contract.options import HEADS
from fuserank_ensemble.retrieval.index import InteractionIndex
from fuserank_ensemble.spec import GraphSpec
from fuserank_evaluation.baselines.als import Als
from fuserank_evaluation.baselines.baseline import Baseline
from fuserank_evaluation.baselines.item_item import ItemItem
from fuserank_evaluation.baselines.lightgbm import LabelledLists, LightGbm
from fuserank_evaluation.baselines.personal_frequency import PersonalFrequency
from fuserank_evaluation.baselines.popularity import Popularity
from fuserank_evaluation.baselines.random import Random
from fuserank_evaluation.baselines.tifu_knn import TifuKnn
from fuserank_evaluation.baselines.up_cf import UpCf
from fuserank_evaluation.datasets.cases import SEED, RankingCases, Rows
from fuserank_evaluation.datasets.grocery import Grocery
from fuserank_evaluation.datasets.past import PastLog
from fuserank_evaluation.progress import ProgressCallback
from fuserank_evaluation.ranking.method import RankingMethod, ScoringMethod
from fuserank_evaluation.ranking.ranker import Ranker
from fuserank_evaluation.retrieval.candidates import CandidateFinder
from fuserank_export.learning.interactions import popularity_before
from fuserank_export.training.cases.builder import CaseBuilder
from fuserank_export.training.cases.cases import Cases
from fuserank_export.training.cases.labels import MIN_POSITIVES
from fuserank_export.training.cases.training_query import KINDS, TrainingQuery
from fuserank_export.training.fitting.fit import predicted
from fuserank_export.training.fitting.settings import FitSettings
from fuserank_export.training.fitting.train import TrainingReport, objective, train_ranker


def baselines() -> list[Baseline]:
    """The baselines that score items for a user."""
    return [Random(SEED), Popularity(), PersonalFrequency(), Als(SEED), ItemItem(), TifuKnn(), UpCf()]


def fit_baselines(
    past: PastLog, candidates: Callable[[RankingCases], list[Rows]], on_progress: ProgressCallback
) -> list[RankingMethod]:
    """Fits all of `baselines` on the past; `candidates` finds the candidates of searches."""
    methods: list[RankingMethod] = []
    unfitted = baselines()
    for done, baseline in enumerate(unfitted, start=1):
        baseline.fit(past)
        methods.append(ScoringMethod(baseline, past, candidates))
        on_progress("fitting baselines", done, len(unfitted))
    return methods


@dataclass(frozen=True)
class RecordingBuilder(CaseBuilder):
    """A case builder that keeps the cases it builds, so that LambdaMART can learn from the same ones.

    Attributes:
        built: The cases of each window.
    """

    built: list[Cases] = field(default_factory=list)

    def build(
        self,
        training_queries: Sequence[TrainingQuery],
        interactions: InteractionIndex,
        on_progress: Callable[[int], None] = lambda count: None,
    ) -> Cases:
        """See `CaseBuilder`."""
        cases = super().build(training_queries, interactions, on_progress)
        self.built.append(cases)
        return cases


def train_methods(
    grocery: Grocery,
    finder: CandidateFinder,
    cases: int,
    settings: FitSettings,
    on_progress: ProgressCallback,
) -> tuple[Ranker, LightGbm, TrainingReport]:
    """Trains the ranker, and LambdaMART on the same cases.

    The log ends at the cut, so that nothing of the evaluated window can be learned. Both learn from all but the last
    of the training's windows; the last one decides when to stop.

    Args:
        grocery: The shop.
        finder: Finds and describes the candidates of the cases to be ranked.
        cases: How many (user, query) pairs to draw from each of the training's windows.
        settings: How the ranker is fitted.
        on_progress: Called as steps go on.

    Returns:
        Both methods, and the report of the ranker's training.
    """
    log, shop = grocery.known_log, grocery.shop
    first_index: list[InteractionIndex] = []

    def interactions_before(moment: float) -> InteractionIndex:
        if not first_index:
            first_index.append(grocery.interaction_index(moment))
        return replace(first_index[0], popularity=popularity_before(log, shop, moment))

    plain = grocery.case_builder(grocery.cut)
    builder = RecordingBuilder(plain.catalog, plain.spec, plain.embed, plain.parse)
    model, report = train_ranker(
        log, shop, builder, interactions_before, cases=cases, settings=settings, seed=SEED, advanced=on_progress
    )
    vectors = np.asarray(builder.catalog.vectors)

    def score(candidates: Sequence[Candidates]) -> list[NDArray[np.float32]]:
        columns = FeatureLayout(builder.spec.own_features).positions(model.layout)
        logits = predicted(model, unlabelled_cases(candidates, builder.spec).with_columns(columns), vectors)
        return [of_case[: len(one.rows)] for of_case, one in zip(logits, candidates, strict=True)]

    weights = objective(report)
    heads = tuple(head for head in HEADS if report.heads[head] >= MIN_POSITIVES)
    boosted = LightGbm(finder, builder.spec.candidates, SEED)
    training, validation = Cases.joined(builder.built[:-1]), builder.built[-1]
    for done, kind in enumerate(KINDS, start=1):
        boosted.fit(kind, LabelledLists.from_cases(training, kind), LabelledLists.from_cases(validation, kind))
        on_progress("fitting LambdaMART", done, len(KINDS))
    weights_by_head = tuple(weights[head] for head in HEADS)
    priors = not log.has_queries
    return Ranker(finder, score, builder.catalog.items, priors, weights_by_head, heads), boosted, report


def unlabelled_cases(candidates: Sequence[Candidates], spec: GraphSpec) -> Cases:
    """The first candidates of each case as the ranker takes them, as many as in serving, without labels."""
    width = len(FeatureLayout(spec.own_features).features)
    cases = Cases.blank(["" for _ in candidates], spec.candidates, spec.events, width)
    for i, one in enumerate(candidates):
        count = min(len(one.rows), spec.candidates)
        cases.rows[i, :count], cases.features[i, :count] = one.rows[:count], one.features[:count]
        cases.texts[i, :count] = one.texts[:count]
        cases.events[i, : len(one.events)], cases.moments[i] = one.events, one.moments
    return cases
