"""Judged searches asked by users drawn at random: what somebody likes must not spoil what was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fuserank_evaluation.datasets.judged import JudgedQueries
from fuserank_evaluation.progress import ProgressCallback, ignore_progress
from fuserank_evaluation.shoppers.answers import Product, Rows, measure_ndcg

MEASURES = {
    "ndcg_at_10_without_user": "nDCG@10 of judged searches, nobody known asks",
    "ndcg_at_10_with_user": "the same searches, asked by users drawn at random",
    "user_over_without": "the second over the first",
}


def personal_figures(
    product: Product,
    judged: JudgedQueries,
    users: Mapping[str, Sequence[str]],
    on_progress: ProgressCallback = ignore_progress,
) -> dict[str, float]:
    """Asks every query without a user and by each of its users, and returns `MEASURES`.

    Args:
        product: A shop with a log.
        judged: Queries and grades.
        users: Who asks, by query id, as many for each query.
        on_progress: Called with a step's name, what is done and the whole.
    """
    without, with_user = list[Rows](), list[list[Rows]]()
    for i, (query, text) in enumerate(judged.queries.items()):
        without.append(product.answer(text, k=10))
        with_user.append([product.answer(text, user, k=10) for user in users[query]])
        on_progress("judged searches with and without a user", i + 1, len(judged.queries))
    alone = float(measure_ndcg(product, judged, without).mean())
    asked = float(np.mean([measure_ndcg(product, judged, listed) for listed in zip(*with_user, strict=True)]))
    values = (round(alone, 4), round(asked, 4), round(asked / alone, 4) if alone else 0.0)
    return dict(zip(MEASURES, values, strict=True))
