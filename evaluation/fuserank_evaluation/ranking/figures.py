"""Names and values of the report's figures, and its tables."""

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
# Prefixes of the figures by set of cases.
PREFIXES = {
    "search": "grocery_search",
    "search_new_user": "new_user",
    "search_user_only": "grocery_search_user_only",
    "recommendation": "grocery_rec",
    "recommendation_new": "grocery_rec_new",
    "new_item": "new_item",
}
# Figures at the head of the page with their meanings; all others stand in its tables.
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
    """Every measure of every method on every set; names of other methods than the ranker end in `_baseline_<name>`."""
    named: dict[str, float] = {}
    for name, rankings in results.rankings.items():
        named[f"{PREFIXES[name]}_cases"] = len(results.cases[name])
        for method, ranking in rankings.items():
            for measure in ranking.values:
                named[figure_name(name, measure, method)] = round(ranking.mean(measure), 4)
    return named


def figure_name(cases: str, measure: str, method: str) -> str:
    """The name of a method's figure on a set of cases."""
    ending = "" if method == RANKER else f"_baseline_{method}"
    return f"{PREFIXES[cases]}_{measure}{ending}"


def comparison_figures(name: str, comparison: Comparison) -> dict[str, float]:
    """A comparison's figures."""
    return {f"{name}_{key}": float(f"{value:.3g}") for key, value in asdict(comparison).items()}


def measure_tables(results: Results) -> dict[str, list[list[str]]]:
    """A table of the methods' means for each set, best first, nDCG with its confidence interval."""
    tables = {}
    for name, rankings in results.rankings.items():
        ordered = sorted(rankings.items(), key=lambda pair: -pair[1].mean(MAIN))
        rows = [["", *MEANINGS]]
        for method, ranking in ordered:
            means = [f"{ranking.mean(measure):.4f}" for measure in MEANINGS]
            means[0] += f" ± {half_width(ranking.values[MAIN]):.4f}"
            rows.append([method, *means])
        tables[f"{CAPTIONS[name]} ({len(results.cases[name]):,} cases)"] = rows
    return tables


def number_table(head: Sequence[str], rows: Mapping[str, Sequence[float]]) -> list[list[str]]:
    """A table of numbers with four significant digits."""
    return [["", *head], *([name, *(f"{value:.4g}" for value in values)] for name, values in rows.items())]


def significance(results: Results) -> dict[str, float]:
    """Compares the ranker with the best baseline of each set, and query and user together with either alone."""
    named: dict[str, float] = {}
    for name, rankings in results.rankings.items():
        best = results.best_baseline(name, RANKER)
        if RANKER in rankings and best is not None:
            comparison = compare(rankings[RANKER].values[MAIN], rankings[best].values[MAIN], SEED)
            named |= comparison_figures(f"{figure_name(name, MAIN, RANKER)}_over_{best}", comparison)
    both = results.rankings["search"].get(RANKER)
    main = figure_name("search", MAIN, RANKER)
    for ending, name in (("search_only", "search_new_user"), ("user_only", "search_user_only")):
        alone = results.rankings.get(name, {}).get(RANKER)
        if both is not None and alone is not None:
            named[f"{main}_{ending}"] = round(alone.mean(MAIN), 4)
            comparison = compare(both.values[MAIN], alone.values[MAIN], SEED)
            named |= comparison_figures(f"{main}_over_{ending}", comparison)
    return named


def beyond_accuracy(results: Results, name: str, past: PastLog, catalog: CatalogIndex) -> dict[str, list[float]]:
    """Coverage, novelty, diversity and miscalibration of each method's first ten."""
    items, seen = catalog.items, results.cases[name].seen
    return {
        method: [
            coverage(ranking.ranked, len(items)),
            float(np.nanmean(novelty(ranking.ranked, past.popularity))),
            float(np.nanmean(diversity(ranking.ranked, np.asarray(catalog.vectors), items.text))),
            float(np.nanmean(miscalibration(ranking.ranked, seen, items.category))),
        ]
        for method, ranking in results.rankings[name].items()
    }
