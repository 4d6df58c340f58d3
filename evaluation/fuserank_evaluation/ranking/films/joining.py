"""Models that join the text tower's logit with retrieval's features: LambdaMART, and a bundle's ranker."""

from __future__ import annotations

from typing import Any

import numpy as np
from lightgbm import LGBMRanker
from numpy.typing import NDArray

from fuserank_ensemble.candidates.features import POSITION
from fuserank_ensemble.contract.options import HEADS
from fuserank_ensemble.spec import GraphSpec
from fuserank_evaluation.datasets.cases import SEED
from fuserank_evaluation.datasets.films import FilmShop
from fuserank_evaluation.ranking.films.queries import FilmQueries, QueryPart
from fuserank_evaluation.ranking.films.tower import SCORED_PARTS, TowerScores
from fuserank_evaluation.ranking.training import unlabelled_cases
from fuserank_export.training.cases.cases import Cases
from fuserank_export.training.fitting.fit import fit, predicted
from fuserank_export.training.fitting.settings import FitSettings

FloatArray = NDArray[np.float32]
RELEVANCE = HEADS.index("relevance")
# Chosen by five-fold cross-validation on the joining queries, none of which are held out.
TREES: dict[str, Any] = {
    "n_estimators": 200,
    "learning_rate": 0.03,
    "num_leaves": 15,
    "min_child_samples": 120,
    "subsample": 0.7,
    "subsample_freq": 1,
    "colsample_bytree": 0.4,
}
FORESTS = 3  # seeds whose scores are added: with so few queries a single draw is too noisy
CHANNEL_FEATURES = ("text_score", "text_rank", "lexical_score", "lexical_rank", "graph_score", "graph_rank")


def score_by_lambdamart(
    films: FilmShop, queries: FilmQueries, tower: TowerScores, with_tower: bool, with_numbers: bool
) -> FloatArray:
    """Scores of the held-out candidates by LambdaMART (Burges, 2010), float32 `[candidates]`.

    Args:
        films: The shop.
        queries: LambdaMART learns from the joining and the stopping queries.
        tower: The tower's logits.
        with_tower: Whether the tower's logits are features.
        with_numbers: Whether the catalogue's numbers are features.
    """
    columns = {
        name: join_features(films, getattr(queries, name), tower.by_part[name] if with_tower else None, with_numbers)
        for name in SCORED_PARTS
    }
    features = np.concatenate([columns["joining"], columns["stopping"]])
    training = [*queries.joining.ranked, *queries.stopping.ranked]
    labels = np.concatenate([query.labels for query in training])
    sizes = [len(query.rows) for query in training]
    scores: FloatArray = np.zeros(len(columns["held_out"]), np.float32)
    for number in range(FORESTS):
        model = LGBMRanker(random_state=SEED + number, n_jobs=1, verbosity=-1, **TREES)
        model.fit(features, labels, group=sizes)
        scores += np.asarray(model.predict(columns["held_out"]), np.float32)
    return scores


def score_by_ranker(
    films: FilmShop, queries: FilmQueries, tower: TowerScores, spec: GraphSpec, settings: FitSettings
) -> list[FloatArray]:
    """Relevance logits of the held-out candidates by a bundle's ranker, fitted to the joining queries, `[queries]`."""

    def labelled_cases(name: str) -> Cases:
        part: QueryPart = getattr(queries, name)
        cases = unlabelled_cases(part.candidates, spec)
        for i, (query, logits) in enumerate(zip(part.ranked, part.split(tower.by_part[name]), strict=True)):
            cases.reading[i, : len(logits)], cases.labels[i, : len(logits), RELEVANCE] = logits, query.labels
        return cases

    vectors = np.asarray(films.catalog.vectors)
    ranker, *_ = fit(labelled_cases("joining"), labelled_cases("stopping"), vectors, settings, SEED, lambda epoch: None)
    logits = predicted(ranker, labelled_cases("held_out"), vectors)[..., RELEVANCE]
    return [of_query[:size] for of_query, size in zip(logits, queries.held_out.sizes, strict=True)]


def join_features(films: FilmShop, part: QueryPart, logits: FloatArray | None, with_numbers: bool) -> FloatArray:
    """LambdaMART's features of every candidate, float32 `[candidates, features]`.

    Args:
        films: The shop.
        part: The queries.
        logits: The tower's logits `[candidates]`; None leaves them out.
        with_numbers: Whether the catalogue's numbers are features.
    """
    channel_columns = [POSITION[name] for name in CHANNEL_FEATURES]
    by_query = part.split(logits) if logits is not None else None
    rows: list[FloatArray] = []
    for i, one in enumerate(part.candidates):
        channels = one.features[:, channel_columns]
        fused_rank = np.arange(len(one.rows), dtype=np.float32)[:, None]
        columns = [channels, gap_to_best(channels), fused_rank]
        if with_numbers:
            columns.append(films.numbers[one.rows])
        if by_query is not None:
            columns.append(logit_features(by_query[i]))
        rows.append(np.concatenate(columns, 1))
    features: FloatArray = np.concatenate(rows)
    return features


def logit_features(logits: FloatArray) -> FloatArray:
    """Each logit, its rank, its distance from the first, third and tenth, and how many are above 0: `[logits, 6]`."""
    if not len(logits):
        return np.empty((0, 6), np.float32)
    ordered = np.sort(logits)[::-1]
    distances = [logits - ordered[min(place, len(logits) - 1)] for place in (0, 2, 9)]
    rank = np.argsort(np.argsort(-logits))
    columns = [logits, rank, *distances, np.full(len(logits), (logits > 0).sum())]
    features: FloatArray = np.stack(columns, 1).astype(np.float32)
    return features


def gap_to_best(values: FloatArray) -> FloatArray:
    """Each value minus the best of its column, NaN where the value is missing; same shape as `values`."""
    if not len(values):
        return values
    best = np.where(np.isnan(values), -np.inf, values).max(0)
    gap: FloatArray = values - np.where(np.isfinite(best), best, 0.0).astype(np.float32)
    return gap
