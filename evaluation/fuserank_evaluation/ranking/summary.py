"""The figures of the report by their names, and its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from fuserank_ensemble.retrieval.index import CatalogIndex
from fuserank_evaluation.datasets.cases import SEED
from fuserank_evaluation.datasets.past import PastLog
from fuserank_evaluation.metrics.measures import MEANINGS, coverage, diversity, miscalibration, novelty
from fuserank_evaluation.metrics.significance import Comparison, compare, half_width
from fuserank_evaluation.ranking.results import MAIN, Results

RANKER = "ranker"
# What the sets of cases are called in figures.
PREFIXES = {
    "search": "grocery_search",
    "search_new_user": "new_user",
    "search_user_only": "grocery_search_user_only",
    "recommendation": "grocery_rec",
    "recommendation_new": "grocery_rec_new",
    "new_item": "new_item",
}
# The figures that stand at the head of the page; all the others stand in its tables.
HEADLINES = {
    "grocery_search_ndcg_at_10": "nDCG@10 of searches by a known household, 3,000 later purchases",
    "grocery_search_hit_at_10": "share of them with a right item among the first 10",
    "grocery_search_ndcg_at_10_lightgbm": "LambdaMART on the same features",
    "grocery_search_ndcg_at_10_search_only": "the ranker with the query alone",
    "grocery_search_ndcg_at_10_user_only": "the ranker with the household alone",
    "grocery_rec_ndcg_at_10": "nDCG@10 of recommendations, every household that came again",
    "grocery_rec_new_ndcg_at_10": "the same of what is new to the household",
    "new_user_ndcg_at_10": "nDCG@10 of the searches with the household's history removed",
    "new_item_recall_at_10": "recall@10 of items that nobody had bought before, in searches for their type",
    "click_ece": "expected calibration error of the click head, candidates of searches",
    "purchase_ece": "the same of the purchase head",
}
CAPTIONS = {
    "search": "Search: a household asks for a product type of which it then buys",
    "search_new_user": "The same searches from somebody new: the query alone",
    "search_user_only": "The same searches without their query: the household alone",
    "recommendation": "Recommendation: all that a household buys in the next 28 days",
    "recommendation_new": "Recommendation of what the household never bought before",
    "new_item": "Searches whose right answers nobody had bought before",
}


def figures(results: Results) -> dict[str, float]:
    """Every measure of every entrant on every set, flat: the ranker's bare, the others' with `_baseline_<name>`."""
    out: dict[str, float] = {}
    for name, rankings in results.rankings.items():
        out[f"{PREFIXES[name]}_cases"] = len(results.cases[name])
        for entrant, ranking in rankings.items():
            for measured in ranking.values:
                out[figure_name(name, measured, entrant)] = round(ranking.mean(measured), 4)
    return out


def figure_name(cases: str, measured: str, entrant: str) -> str:
    """What the figure of an entrant on a set is called."""
    ending = "" if entrant == RANKER else f"_baseline_{entrant}"
    return f"{PREFIXES[cases]}_{measured}{ending}"


def compared(name: str, comparison: Comparison) -> dict[str, float]:
    """A comparison's figures."""
    return {f"{name}_{key}": float(f"{value:.3g}") for key, value in asdict(comparison).items()}


def measure_tables(results: Results) -> dict[str, list[list[str]]]:
    """For each set the entrants' means, best first, nDCG with its confidence interval."""
    tables = {}
    for name, rankings in results.rankings.items():
        ordered = sorted(rankings.items(), key=lambda pair: -pair[1].mean(MAIN))
        rows = [["", *MEANINGS]]
        for entrant, ranking in ordered:
            means = [f"{ranking.mean(measured):.4f}" for measured in MEANINGS]
            means[0] += f" ± {half_width(ranking.values[MAIN]):.4f}"
            rows.append([entrant, *means])
        tables[f"{CAPTIONS[name]} ({len(results.cases[name]):,} cases)"] = rows
    return tables


def plain_table(head: Sequence[str], rows: Mapping[str, Sequence[float]]) -> list[list[str]]:
    """A table of numbers."""
    return [["", *head], *([name, *(f"{value:.4g}" for value in values)] for name, values in rows.items())]


def significance(results: Results) -> dict[str, float]:
    """The ranker against the best baseline of each set, and query and user together against either alone."""
    out: dict[str, float] = {}
    for name, rankings in results.rankings.items():
        best = results.best_baseline(name, RANKER)
        if RANKER in rankings and best is not None:
            comparison = compare(rankings[RANKER].values[MAIN], rankings[best].values[MAIN], SEED)
            out |= compared(f"{figure_name(name, MAIN, RANKER)}_over_{best}", comparison)
    both = results.rankings["search"].get(RANKER)
    main = figure_name("search", MAIN, RANKER)
    for ending, name in (("search_only", "search_new_user"), ("user_only", "search_user_only")):
        alone = results.rankings.get(name, {}).get(RANKER)
        if both is not None and alone is not None:
            out[f"{main}_{ending}"] = round(alone.mean(MAIN), 4)
            out |= compared(f"{main}_over_{ending}", compare(both.values[MAIN], alone.values[MAIN], SEED))
    return out


def beyond_accuracy(results: Results, name: str, past: PastLog, catalog: CatalogIndex) -> dict[str, list[float]]:
    """Coverage, novelty, diversity and miscalibration of each entrant's first ten."""
    items, seen = catalog.items, results.cases[name].seen
    return {
        entrant: [
            coverage(ranking.ranked, len(items)),
            float(np.nanmean(novelty(ranking.ranked, past.popularity))),
            float(np.nanmean(diversity(ranking.ranked, catalog.vectors, items.text))),
            float(np.nanmean(miscalibration(ranking.ranked, seen, items.category))),
        ]
        for entrant, ranking in results.rankings[name].items()
    }
