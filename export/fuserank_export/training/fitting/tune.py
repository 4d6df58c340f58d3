"""Tunes the weights of fusion on the log's own requests."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.retriever import Retriever
from fuserank_export.index.shop import Shop
from fuserank_export.learning.fusion import recall_objective, tune_weights
from fuserank_export.sources.interactions import Interactions
from fuserank_export.training.cases.builder import CaseBuilder
from fuserank_export.training.cases.span import LogSpan
from fuserank_export.training.cases.split import MIN_CASES, IndexBefore, StepProgress, window_bounds
from fuserank_export.training.cases.synthetic import SyntheticQueries
from fuserank_export.training.cases.training_query import TrainingQuery
from fuserank_export.training.cases.window import window_queries
from fuserank_export.training.fitting.at_once import fit_at_once


def tuned_weights(
    log: Interactions,
    shop: Shop,
    builder: CaseBuilder,
    index_before: IndexBefore,
    *,
    seed: int,
    advanced: StepProgress,
    cases: int = 400,
) -> tuple[dict[str, dict[str, float]], dict[str, Any]]:
    """Tunes the weights of fusion on the first of the log's last windows, for requests with a user.

    Args:
        log: The log; may be empty.
        shop: The catalogue.
        builder: Its index finds the candidates.
        index_before: What the channels know by a moment.
        seed: Of the draws.
        advanced: Called with a step's name, what is done and the whole.
        cases: How many (user, query) pairs to draw.

    Returns:
        Weights by kind of request, and for each the objective before and after; none where the log is too short.
    """
    span = LogSpan.of(log.timestamp)
    bounds = window_bounds(log.timestamp, span)
    if not bounds:
        return {}, {}
    start, end = bounds[:2]
    interactions = index_before(start)  # first, as learning takes most memory
    synthetic = SyntheticQueries(shop.items, shop.titles, seed)
    queries = window_queries(log, synthetic, start, end, count=cases, seed=seed)
    retriever = Retriever(builder.catalog, interactions, builder.spec)
    of_kind = {
        kind: [query for query in queries if query.kind == kind and len(query.seen)] for kind in ("both", "user")
    }
    tuned = {kind: asked for kind, asked in of_kind.items() if len(asked) >= MIN_CASES}

    def tuning(kind: str, asked: list[TrainingQuery]) -> Callable[[], tuple[dict[str, float], float, float]]:
        channel_queries = builder.channel_queries(asked)  # here, as a forked process cannot embed
        return lambda: tune_weights(
            retriever,
            channel_queries,
            kind,
            builder.spec.channel_weights[kind],
            recall_objective([_distinct_answers(query) for query in asked]),
            seed=seed,
            advanced=partial(advanced, f"tuning the fusion of {kind}"),
        )

    results = fit_at_once([tuning(kind, asked) for kind, asked in tuned.items()])
    weights = {kind: found for kind, (found, _, _) in zip(tuned, results, strict=True)}
    report = {
        kind: {"cases": len(asked), "before": round(before, 4), "after": round(after, 4)}
        for (kind, asked), (_, before, after) in zip(tuned.items(), results, strict=True)
    }
    return weights, report


def _distinct_answers(query: TrainingQuery) -> NDArray[np.int32]:
    """What the user then had, each item once."""
    rows = query.clicked if query.purchased is None else query.purchased
    return np.empty(0, np.int32) if rows is None else np.unique(rows)
