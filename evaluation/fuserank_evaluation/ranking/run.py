"""`fuserank evaluate ranking`: the ranker against every baseline on Complete Journey's last 28 days.

All methods learn from the events before those days, and rank the same cases. Searches are ranked among the 200
candidates of retrieval (text baselines rank their own lists), recommendations among the whole catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from fuserank_ensemble.bundle import Bundle
from fuserank_evaluation.baselines.channels import search_baselines
from fuserank_evaluation.datasets.bundle_encoder import BundleEncoder
from fuserank_evaluation.datasets.grocery import Grocery
from fuserank_evaluation.metrics.calibration import Reliability, measure_reliability
from fuserank_evaluation.metrics.repetition import Repetition, measure_repetition
from fuserank_evaluation.progress import ProgressCallback
from fuserank_evaluation.ranking import plots
from fuserank_evaluation.ranking.figures import (
    HEADLINES,
    RANKER,
    beyond_accuracy,
    figure_name,
    figures,
    measure_tables,
    number_table,
    significance,
)
from fuserank_evaluation.ranking.method import RankingMethod
from fuserank_evaluation.ranking.results import MAIN, Results
from fuserank_evaluation.ranking.training import fit_baselines, train_methods
from fuserank_evaluation.reports.report import Table, merge_report
from fuserank_evaluation.retrieval.candidates import CandidateFinder
from fuserank_export.progress import Progress
from fuserank_export.training.fitting.settings import FIT, FitSettings

BARS = ("search", "recommendation", "recommendation_new")


@dataclass(frozen=True)
class LearnedMethods:
    """The methods that learn from features, and what their training reports.

    Attributes:
        methods: The ranker and LambdaMART; none where only baselines are evaluated.
        reliability: The ranker's calibration by head.
        losses: The ranker's losses by epoch; see `TrainingReport.losses`.
    """

    methods: Sequence[RankingMethod] = ()
    reliability: Mapping[str, Reliability] = field(default_factory=dict)
    losses: Sequence[Mapping[str, float]] = ()


def learn_from_features(
    grocery: Grocery, finder: CandidateFinder, cases: int, settings: FitSettings, on_progress: ProgressCallback
) -> LearnedMethods:
    """Trains the ranker and LambdaMART; arguments as for `train_methods`."""
    ranker, boosted, training = train_methods(grocery, finder, cases, settings, on_progress)
    search = grocery.case_sets.search
    reliability = measure_reliability(ranker.probabilities(search), search.relevant)
    return LearnedMethods([ranker, boosted], reliability, training.losses)


def rank_all(
    grocery: Grocery,
    methods: Sequence[RankingMethod],
    feature_methods: Sequence[RankingMethod],
    on_progress: ProgressCallback,
) -> Results:
    """Ranks all sets by all methods; searches without their queries are ranked by the feature methods alone."""
    results = Results()
    sets = grocery.case_sets
    for cases in (sets.search, sets.new_user, sets.recommendation, sets.recommendation_new, sets.new_item):
        results.add(cases, [*methods, *feature_methods], on_progress)
    results.add(sets.user_only, feature_methods, on_progress)
    return results


def evaluate_ranking(
    bundle: Path, shop: Path, cases: int, epochs: int | None, baselines_only: bool, console: Console
) -> Path:
    """Measures every method, and writes its part of the report `relevance`.

    Args:
        bundle: The demo's bundle.
        shop: Folder of Complete Journey in the input formats.
        cases: (household, query) pairs of each window that is learned from.
        epochs: The ranker's passes over them at most; None takes those of `FIT`.
        baselines_only: Leaves out the methods that learn from features.
        console: Shows progress and figures.

    Returns:
        The report's JSON file.
    """
    encoder = BundleEncoder(Bundle.open(bundle, verify=()))
    with Progress(console).steps() as on_progress:
        grocery = Grocery.open(encoder.bundle, shop, encoder.embed)
        finder = CandidateFinder(
            grocery.case_builder(grocery.cut), grocery.interaction_index(grocery.cut), on_progress=on_progress
        )
        simple = [*fit_baselines(grocery.past, finder.fused_rows, on_progress), *search_baselines(finder)]
        learned = LearnedMethods()
        if not baselines_only:
            settings = FIT if epochs is None else replace(FIT, epochs=epochs)
            learned = learn_from_features(grocery, finder, cases, settings, on_progress)
        results = rank_all(grocery, simple, learned.methods, on_progress)
    return write_ranking_report(grocery, results, learned, console)


def write_ranking_report(grocery: Grocery, results: Results, learned: LearnedMethods, console: Console) -> Path:
    """Prints the figures, and writes them with tables and plots; returns the report's JSON file."""
    recommendation = grocery.case_sets.recommendation
    by_method = {
        method: measure_repetition(ranking.ranked, recommendation)
        for method, ranking in results.rankings[recommendation.name].items()
    }
    named: dict[str, Any] = figures(results) | significance(results)
    named |= {f"{head}_ece": round(diagram.error, 5) for head, diagram in learned.reliability.items()}
    boosted = figure_name("search", MAIN, "lightgbm")
    if boosted in named:
        named[figure_name("search", MAIN, RANKER) + "_lightgbm"] = named[boosted]
    drawn = {
        "nDCG@10 with 95 % confidence intervals": plots.plot_bars(results, BARS),
        "Repetition and exploration": plots.plot_repetition(by_method),
    }
    if learned.reliability:
        drawn["Calibration of searches' candidates"] = plots.plot_calibration(learned.reliability)
    if learned.losses:
        drawn["The ranker's losses"] = plots.plot_losses(learned.losses)
    meanings = {name: meaning for name, meaning in HEADLINES.items() if name in named}
    for name, value in named.items():
        if name in meanings or (MAIN in name and "_baseline_" in name):
            console.print(f"{name:60} {value:>10,}", highlight=False)
    tables = ranking_tables(grocery, results, by_method)
    return merge_report("relevance", "ranking", grocery.bundle.id, named, meanings, drawn, tables)


def ranking_tables(grocery: Grocery, results: Results, by_method: Mapping[str, Repetition]) -> dict[str, Table]:
    """Tables of the page by caption: all measures, beyond accuracy, and repetition."""
    tables: dict[str, Table] = dict(measure_tables(results))
    for name in ("search", "recommendation"):
        beyond = beyond_accuracy(results, name, grocery.past, grocery.bundle.catalog("cpu"))
        tables[f"Beyond accuracy, first ten, {name}"] = number_table(
            ("coverage", "novelty (bits)", "diversity", "miscalibration (nats)"), beyond
        )
    tables["Repetition and exploration, recommendation"] = number_table(
        [name.replace("_", " ") for name in Repetition.__dataclass_fields__],
        {method: astuple(repetition) for method, repetition in by_method.items()},
    )
    return tables
