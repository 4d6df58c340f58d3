"""nDCG@10 of the films' held-out queries under every order of their candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ir_measures import nDCG
from numpy.typing import NDArray

from fuserank_evaluation.datasets.bundle_encoder import BundleEncoder
from fuserank_evaluation.datasets.films import FilmShop, unlike_training
from fuserank_evaluation.datasets.judged import JudgedQueries
from fuserank_evaluation.metrics.measures import Values, measure_judged
from fuserank_evaluation.progress import ProgressCallback
from fuserank_evaluation.ranking.films.joining import score_by_lambdamart, score_by_ranker
from fuserank_evaluation.ranking.films.queries import RERANKED, FilmQueries, FilmSettings, split_queries
from fuserank_evaluation.ranking.films.tower import TowerScores, score_by_tower

FIGURE = "movies_ndcg_at_10"
JOINED = "tower and features"  # the order whose figure has no suffix
SUFFIXES = {
    JOINED: "",
    "tower and channels": "_without_numbers",
    "ranker": "_ranker",
    "tower": "_tower_only",
    "rrf": "_baseline_rrf",
    "lightgbm": "_baseline_lightgbm",
}
MEANINGS = {
    "movies_held_out_queries": "a fifth of the queries, by seed; nothing was learned or tuned on them",
    FIGURE: f"nDCG@10 there, the best {RERANKED} of fusion ordered by text tower and features; unjudged is wrong",
    f"{FIGURE}_unlike_training": "the same where no training query shares more than half of the words",
    "movies_unlike_training": "how many queries those are",
    f"{FIGURE}_without_numbers": "the same without the catalogue's votes, popularity, rating and year",
    f"{FIGURE}_ranker": "the same ordered by a bundle's ranker, which reads no catalogue numbers of films",
    f"{FIGURE}_tower_only": "ordered by the text tower's logit alone",
    f"{FIGURE}_baseline_rrf": "fusion's own order",
    f"{FIGURE}_baseline_lightgbm": "LambdaMART on the same features without the text tower",
    "movies_tower_pairs": "pairs that the tower learned from",
    "movies_tower_seconds": "seconds of its training, evaluations left out",
    "movies_tower_pairs_per_second": "pairs a second of its training",
    "movies_scored_pairs_per_second": "pairs a second that the tower scores here",
}


@dataclass(frozen=True)
class FilmOrders:
    """What each order of the candidates is worth.

    Attributes:
        queries: Held-out query ids.
        values: nDCG@10 of every query by the order's name, float64 `[queries]`.
        figures: The figures of `MEANINGS`.
    """

    queries: list[str]
    values: Mapping[str, Values]
    figures: Mapping[str, float]


def evaluate_orders(
    films: FilmShop, encoder: BundleEncoder, settings: FilmSettings, cache: Path, on_progress: ProgressCallback
) -> FilmOrders:
    """Trains on the training queries, and measures on the held-out ones.

    Args:
        films: The shop.
        encoder: The bundle's encoder and spec.
        settings: How many queries are learned from, and how.
        cache: Where a trained tower is kept.
        on_progress: Called as steps go on.
    """
    queries = split_queries(films, encoder, settings, on_progress)
    tower = score_by_tower(films, queries, settings.tower, cache, on_progress)
    held_out = queries.held_out
    orders: dict[str, Sequence[NDArray[np.float32]]] = {
        "rrf": [-np.arange(size, dtype=np.float32) for size in held_out.sizes],
        "tower": held_out.split(tower.by_part["held_out"]),
        "ranker": score_by_ranker(films, queries, tower, encoder.spec, settings.ranker),
    }
    for name, with_tower, with_numbers in (
        ("lightgbm", False, True),
        ("tower and channels", True, False),
        (JOINED, True, True),
    ):
        orders[name] = held_out.split(score_by_lambdamart(films, queries, tower, with_tower, with_numbers))
    values = {name: measure_order(films, queries, scores) for name, scores in orders.items()}
    return FilmOrders(held_out.ids, values, order_figures(films, queries, values, tower))


def measure_order(films: FilmShop, queries: FilmQueries, scores: Sequence[NDArray[np.float32]]) -> Values:
    """nDCG@10 of every held-out query whose candidates are ordered by scores, float64 `[queries]`."""
    held_out = queries.held_out
    judged = JudgedQueries(
        {query: films.judged.queries[query] for query in held_out.ids},
        {query: films.judged.grades[query] for query in held_out.ids},
    )
    item_ids = [
        [films.ids[query.rows[i]] for i in np.argsort(-of_query, kind="stable")]
        for query, of_query in zip(held_out.ranked, scores, strict=True)
    ]
    return measure_judged(judged, item_ids, {FIGURE: nDCG @ 10})[FIGURE]


def order_figures(
    films: FilmShop, queries: FilmQueries, values: Mapping[str, Values], tower: TowerScores
) -> dict[str, float]:
    """The figures of `MEANINGS`."""
    held_out = [films.judged.queries[query] for query in queries.held_out.ids]
    unlike = unlike_training(held_out, queries.training_texts)
    figures: dict[str, float] = {f"{FIGURE}{suffix}": values[name].mean() for name, suffix in SUFFIXES.items()}
    figures |= {
        "movies_held_out_queries": len(held_out),
        f"{FIGURE}_unlike_training": values[JOINED][unlike].mean(),
        "movies_unlike_training": int(unlike.sum()),
        "movies_tower_pairs": tower.pairs,
        "movies_tower_seconds": tower.training_seconds,
        "movies_tower_pairs_per_second": tower.training_pairs_per_second,
        "movies_scored_pairs_per_second": tower.pairs_per_second,
    }
    return {name: round(float(figures[name]), 4) for name in MEANINGS}
