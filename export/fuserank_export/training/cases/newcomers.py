"""Hides from some candidates what a log says of them, so that the ranker learns to judge items that nobody has had yet.

After Volkovs, Yu, Poutanen: DropoutNet, Addressing cold start in recommender systems, NeurIPS 2017.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fuserank_ensemble.candidates.features import FEATURES, POSITION
from fuserank_export.training.cases.cases import Cases

SHARE = 0.05  # of the candidates
# What an item has that nobody has had: no events, the least share in its category, and no place in these lists.
_ZERO = ("popularity", "trend", "lately", "reach", "repeats")
_LEAST_SHARE = ("trend_share", "lately_share", "reach_share")
_ABSENT = (
    "idle",
    *("trending_score", "trending_rank"),
    *(feature.name for feature in FEATURES if feature.signal == "collaborative"),
    *("history_frequency", "history_recency", "history_recent", "history_share", "history_rank", "due"),
)


def hide_behaviour(cases: Cases, seed: int, share: float = SHARE) -> Cases:
    """Returns the cases, with a share of their candidates as if nobody had ever had them.

    Args:
        cases: The cases; they are not changed.
        seed: Of the draw.
        share: Of the candidates.
    """
    drawn = np.random.default_rng(seed).random(cases.rows.shape) < share
    hidden = np.nonzero(drawn & cases.present)
    features = cases.features.copy()
    known = features[hidden]
    for name in _ZERO:
        known[:, POSITION[name]] = 0.0
    for name in _LEAST_SHARE:
        column = known[:, POSITION[name]]
        column[~np.isnan(column)] = np.log(0.001)
    for name in _ABSENT:
        if name in POSITION:
            known[:, POSITION[name]] = np.nan
    features[hidden] = known
    return replace(cases, features=features)
