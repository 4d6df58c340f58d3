"""How well the ranker orders what a household then buys, against every baseline, on Complete Journey's last weeks.

All entrants learn from what lies before the last 28 days, and answer the same cases. Searches are ranked among the
200 candidates of retrieval (text baselines rank by lists of their own), recommendations among the whole catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.status import Status

from fuserank_ensemble.bundle import Bundle
from fuserank_evaluation.baselines.als import Als
from fuserank_evaluation.baselines.baseline import Baseline
from fuserank_evaluation.baselines.channels import search_channels
from fuserank_evaluation.baselines.item_item import ItemItem
from fuserank_evaluation.baselines.personal_frequency import PersonalFrequency
from fuserank_evaluation.baselines.popularity import Popularity
from fuserank_evaluation.baselines.random import Random
from fuserank_evaluation.baselines.tifu_knn import TifuKnn
from fuserank_evaluation.baselines.up_cf import UpCf
from fuserank_evaluation.datasets.cases import SEED, RankingCases, Rows
from fuserank_evaluation.datasets.grocery import Grocery
from fuserank_evaluation.datasets.past import PastLog
from fuserank_evaluation.metrics.calibration import Reliability, reliability
from fuserank_evaluation.metrics.repetition import Repetition, repetition
from fuserank_evaluation.ranking import plots
from fuserank_evaluation.ranking.entrant import Entrant, ScoringEntrant
from fuserank_evaluation.ranking.results import MAIN, Results
from fuserank_evaluation.ranking.summary import (
    HEADLINES,
    RANKER,
    beyond_accuracy,
    figure_name,
    figures,
    measure_tables,
    plain_table,
    significance,
)
from fuserank_evaluation.ranking.trained import trained
from fuserank_evaluation.report import merge_report
from fuserank_evaluation.retrieval.run import Evaluation
from fuserank_export.training.fitting.settings import FitSettings

# Passes over so many cases: the loss on later ones falls little after the third.
FIT = FitSettings(epochs=3, learning_rate=3e-3)
BARS = ("search", "recommendation", "recommendation_new")
Advanced = Callable[[str, int, int], None]


def baselines() -> list[Baseline]:
    """Those that score items for a user."""
    return [Random(SEED), Popularity(), PersonalFrequency(), Als(SEED), ItemItem(), TifuKnn(), UpCf()]


def fitted(past: PastLog, candidates: Callable[[RankingCases], list[Rows]], advanced: Advanced) -> list[Entrant]:
    """Fits them all on the past."""
    entrants: list[Entrant] = []
    everything = baselines()
    for done, baseline in enumerate(everything, start=1):
        baseline.fit(past)
        entrants.append(ScoringEntrant(baseline, past, candidates))
        advanced(f"fitting {baseline.name}", done, len(everything))
    return entrants


def ranked(
    grocery: Grocery, entrants: Sequence[Entrant], of_features: Sequence[Entrant], advanced: Advanced
) -> Results:
    """Lets all entrants rank all sets; only entrants of features rank searches as if there were no query."""
    results = Results()
    sets = grocery.sets
    for cases in (sets.search, sets.new_user, sets.recommendation, sets.recommendation_new, sets.new_item):
        results.add(cases, [*entrants, *of_features], advanced)
    results.add(sets.user_only, of_features, advanced)
    return results


def main(
    bundle: Annotated[Path, typer.Option(help="The demo's bundle.")] = Path("build/demo"),
    shop: Annotated[Path, typer.Option(help="Complete Journey in the input formats.")] = Path("build/complete-journey"),
    cases: Annotated[int, typer.Option(help="(household, query) pairs of each window that is learned from.")] = 6_000,
    epochs: Annotated[int, typer.Option(help="The ranker's passes over them at most.")] = FIT.epochs,
    baselines_only: Annotated[bool, typer.Option(help="Leave out what learns from features.")] = False,
) -> None:
    """Measures every entrant, and writes build/reports/relevance.json with the page relevance-ranking.md."""
    console = Console()
    evaluation = Evaluation(Bundle.open(bundle, verify=()), console)
    with console.status("reading") as status:
        advanced = shown(status)
        grocery = Grocery.open(evaluation.bundle, shop, evaluation.embed)
        status.update("what the channels know before the cut")
        retrieved = grocery.retrieved(grocery.learned(grocery.cut), grocery.cut, advanced)
        simple: list[Entrant] = [*fitted(grocery.past, retrieved.rows, advanced), *search_channels(retrieved)]
        of_features: list[Entrant] = []
        reliable: dict[str, Reliability] = {}
        losses: list[dict[str, float]] = []
        if not baselines_only:
            ranker, boosted, training = trained(grocery, retrieved, cases, replace(FIT, epochs=epochs), advanced)
            of_features, losses = [ranker, boosted], training.losses
            reliable = reliability(ranker.probabilities(grocery.sets.search), grocery.sets.search.relevant)
        results = ranked(grocery, simple, of_features, advanced)
    report(grocery, results, reliable, losses, console)


def report(
    grocery: Grocery,
    results: Results,
    reliable: Mapping[str, Reliability],
    losses: Sequence[Mapping[str, float]],
    console: Console,
) -> None:
    """Writes the figures and the page."""
    everybody = grocery.sets.recommendation
    apart = {name: repetition(each.ranked, everybody) for name, each in results.rankings[everybody.name].items()}
    numbers: dict[str, Any] = figures(results) | significance(results)
    numbers |= {f"{head}_ece": round(each.error, 5) for head, each in reliable.items()}
    boosted = figure_name("search", MAIN, "lightgbm")
    if boosted in numbers:
        numbers[figure_name("search", MAIN, RANKER) + "_lightgbm"] = numbers[boosted]
    tables = measure_tables(results)
    for name in ("search", "recommendation"):
        beyond = beyond_accuracy(results, name, grocery.past, grocery.bundle.catalog("cpu"))
        tables[f"Beyond accuracy, first ten, {name}"] = plain_table(
            ("coverage", "novelty (bits)", "diversity", "miscalibration (nats)"), beyond
        )
    tables["Repetition and exploration, recommendation"] = plain_table(
        [name.replace("_", " ") for name in Repetition.__dataclass_fields__],
        {name: astuple(each) for name, each in apart.items()},
    )
    drawn = {
        "nDCG@10 with 95 % confidence intervals": plots.bars(results, BARS),
        "Repetition and exploration": plots.repetition_plot(apart),
    }
    if reliable:
        drawn["Calibration of searches' candidates"] = plots.calibration_plot(reliable)
    if losses:
        drawn["The ranker's losses"] = plots.losses_plot(losses)
    meanings = {name: meaning for name, meaning in HEADLINES.items() if name in numbers}
    for name, value in numbers.items():
        if name in meanings or (MAIN in name and "_baseline_" in name):
            console.print(f"{name:60} {value:>10,}", highlight=False)
    path = merge_report("relevance", "ranking", grocery.bundle.id, numbers, meanings, drawn, tables)
    console.print(f"{path}, {path.with_name('relevance-ranking.md')}")


def shown(status: Status) -> Advanced:
    """Tells on a terminal what is being done."""

    def advanced(step: str, done: int, total: int) -> None:
        status.update(f"{step} {done:,} of {total:,}")

    return advanced


if __name__ == "__main__":
    typer.run(main)
