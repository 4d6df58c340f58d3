"""What is added to scores before the list is ordered: for stated conditions, and beyond the graph's depth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.features import POSITION

FloatArray = NDArray[np.float32]
MISSED_LOGITS = 2.0  # what an item loses for each condition that it misses
# Logits for each unit of the logarithm of its category's share in what the query means. The ranker has that share as a
# feature too, and makes too little of it: made-up queries name their category, people's own words do not.
CATEGORY_LOGITS = 0.25
ROUNDING = 1e-6  # of a score


@dataclass(frozen=True)
class Adjustments:
    """What is added to each candidate's score.

    Attributes:
        by_name: float32 `[candidates]` of each that applies: `fit` (what it loses for the conditions of the query that
            it misses), `category` (for how likely the query means its category), `depth` (what sets the candidates
            beyond the graph's depth behind all others).
    """

    by_name: Mapping[str, FloatArray]

    def add_to(self, scores: FloatArray) -> FloatArray:
        """Returns the scores with all of them, float32 `[candidates]`."""
        for added in self.by_name.values():
            scores = scores + added
        return scores


def adjust(scores: FloatArray, features: FloatArray, depth: int, ranked: bool) -> Adjustments:
    """Returns what is added to the scores of one request's candidates.

    Args:
        scores: The weighted heads, float32 `[candidates]`, best fused first.
        features: float32 `[candidates, features]`.
        depth: How many candidates are compared with each other; further ones follow them, so that the first items of a
            list are the same however many are asked for.
        ranked: Whether the scores are the ranker's; the votes of fusion are worth less already where conditions are
            missed or a category is hardly meant.
    """
    parts: dict[str, FloatArray] = {}
    missed = np.nan_to_num(features[:, POSITION["missed"]])
    if ranked and missed.any():
        parts["fit"] = -MISSED_LOGITS * missed
        scores = scores + parts["fit"]
    meant = features[:, POSITION["category_of_query"]]
    known = meant[:depth][~np.isnan(meant[:depth])]
    if ranked and len(known):
        # An item without a category is taken for the mean one.
        parts["category"] = CATEGORY_LOGITS * np.nan_to_num(meant, nan=float(known.mean()))
        scores = scores + parts["category"]
    if len(scores) > depth:
        least, most = float(scores[:depth].min()), float(scores[depth:].max())
        # A little more than the difference, which float32 rounds.
        behind = least - most - ROUNDING * (abs(least) + abs(most)) if least < most else 0.0
        parts["depth"] = np.where(np.arange(len(scores)) < depth, 0.0, behind).astype(np.float32)
    return Adjustments(parts)
