"""What is added to scores before the list is ordered: for conditions, meaning and novelty, and beyond the depth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.categories import LEAST_SHARE
from fuserank_ensemble.candidates.features import POSITION
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.retrieval.lexical.tiers import CODE_SCORE

FloatArray = NDArray[np.float32]
MISSED_LOGITS = 2.0  # what an item loses for each condition that it misses
# Priors of a ranker whose training queries were made up from the catalogue. Those name what they mean, people's own
# words do not, so it makes too little of meaning: logits for each unit of the logarithm of the category's share in what
# the query means, and of the cosine of query and text. Cosines of so much of the nearest text's count alike: among what
# is near, the rest of a text, such as a size, moves them more than meaning does.
CATEGORY_LOGITS, TEXT_LOGITS, NEAR_SHARE = 0.25, 8.0, 0.9
# What an item gets in a search that nobody has had yet. In the windows that a ranker learns from, the catalogue holds
# what came only later and could not be had: it learns that the new is not wanted.
NEW_LOGITS = 1.0
# An item of a department that has less of the query's meaning than this share of the likeliest one's loses so many
# logits, or keeps so much of its votes: whoever asks cannot bring it before what is meant, whatever their habits.
OUTSIDE_SHARE, OUTSIDE_LOGITS, OUTSIDE_WORTH = 0.2, 4.0, 0.25
# What an item loses, or keeps of its votes, that the user returned, disliked or rated far below their mean.
DISLIKED_LOGITS, DISLIKED_WORTH = 2.0, 0.25
ROUNDING = 1e-6  # of a score
CODE_LOG_SCORE = math.log1p(CODE_SCORE - 1.0)  # the feature of an item that the whole query names


@dataclass(frozen=True)
class Adjustments:
    """What is added to each candidate's score.

    Attributes:
        by_name: float32 `[candidates]` of each that applies: `fit` (what it loses for the conditions of the query that
            it misses), `new` (where nobody has had it yet), `text` (for how near its text is to the query), `category`
            (for how likely the query means its category and department), `disliked` (what it loses where the user
            returned or disliked it), `depth` (what sets the candidates beyond the
            graph's depth behind all others), `lexical` (what sets the items whose code the query is before all others).
    """

    by_name: Mapping[str, FloatArray]

    def add_to(self, scores: FloatArray) -> FloatArray:
        """Returns the scores with all of them, float32 `[candidates]`."""
        for added in self.by_name.values():
            scores = scores + added
        return scores

    def keeping_order(self, scores: FloatArray, depth: int) -> tuple[Adjustments, FloatArray]:
        """Returns these, and the scores with all that is added, where candidates beyond a depth keep their order.

        What a page holds then does not hang on how many further candidates there are.

        Args:
            scores: With all that is added, float32 `[candidates]`.
            depth: How many candidates are compared with each other.
        """
        if len(scores) <= depth + 1:
            return self, scores
        kept = np.append(scores[:depth], np.minimum.accumulate(scores[depth:]))
        added = self.by_name.get("depth", np.float32(0.0)) + (kept - scores)
        return Adjustments({**self.by_name, "depth": added}), kept


@dataclass(frozen=True)
class CandidatePlaces:
    """Where in the catalogue the candidates are.

    Attributes:
        category: Code of each candidate's category, -1 for none, int32 `[candidates]`.
        department: Code of its department, -1 for none, int32 `[candidates]`, see `Items.department`.
    """

    category: NDArray[np.int32]
    department: NDArray[np.int32]

    @classmethod
    def of(cls, items: Items, rows: NDArray[np.int32]) -> CandidatePlaces:
        """Looks up the places of items."""
        return cls(items.category[rows], items.department[rows])


def adjust(
    scores: FloatArray,
    features: FloatArray,
    places: CandidatePlaces,
    disliked: FloatArray,
    depth: int,
    ranked: bool,
    priors: bool,
) -> Adjustments:
    """Returns what is added to the scores of one request's candidates.

    Args:
        scores: The weighted heads, float32 `[candidates]`, best fused first.
        features: float32 `[candidates, features]`.
        places: Where the candidates are in the catalogue.
        disliked: How much the user dislikes each, 0 to 1, float32 `[candidates]`.
        depth: How many candidates are compared with each other; further ones follow them, so that the first items of a
            list are the same however many are asked for.
        ranked: Whether the scores are the ranker's; the votes of fusion are worth less already where conditions are
            missed or a category is hardly meant.
        priors: Whether the ranker learned from made-up queries, see `GraphSpec.made_up_queries`.
    """
    parts: dict[str, FloatArray] = {}
    if ranked:
        parts |= _missed_conditions(features) | _novelty(features)
        if priors:
            parts |= _text_prior(features, depth)
    parts |= _category(scores, features, places, depth, ranked=ranked, prior=ranked and priors)
    if disliked.any():
        parts["disliked"] = -disliked * (DISLIKED_LOGITS if ranked else (1.0 - DISLIKED_WORTH) * scores)
    for added in parts.values():
        scores = scores + added
    is_named = features[:, POSITION["lexical_score"]] >= CODE_LOG_SCORE
    if is_named.any() and not is_named.all():
        parts["lexical"] = _lift(scores, is_named)
        scores = scores + parts["lexical"]
    if len(scores) > depth:
        least, most = float(scores[:depth].min()), float(scores[depth:].max())
        # A little more than the difference, which float32 rounds.
        behind = least - most - ROUNDING * (abs(least) + abs(most)) if least < most else 0.0
        parts["depth"] = np.where(np.arange(len(scores)) < depth, 0.0, behind).astype(np.float32)
    return Adjustments(parts)


def _lift(scores: FloatArray, above: NDArray[np.bool_]) -> FloatArray:
    """Returns what sets some candidates above all others, as far as a standard deviation, float32 `[candidates]`."""
    behind = float(scores[~above].max()) - float(scores[above].min())
    return np.where(above, max(behind, 0.0) + max(float(scores.std()), ROUNDING), 0.0).astype(np.float32)


def _missed_conditions(features: FloatArray) -> dict[str, FloatArray]:
    """Returns `fit`, where a candidate misses a condition of the query."""
    missed = np.nan_to_num(features[:, POSITION["missed"]])
    return {"fit": -MISSED_LOGITS * missed} if missed.any() else {}


def _novelty(features: FloatArray) -> dict[str, FloatArray]:
    """Returns `new`, in a search that finds what nobody has had."""
    is_new = features[:, POSITION["reach"]] == 0
    is_search = (features[:, POSITION["has_query"]] > 0).all()
    return {"new": NEW_LOGITS * is_new.astype(np.float32)} if is_search and is_new.any() else {}


def _text_prior(features: FloatArray, depth: int) -> dict[str, FloatArray]:
    """Returns `text`, where the request has a query; the nearest text is that of the first `depth` candidates."""
    text = features[:, POSITION["text_score"]]
    if np.isnan(text).all():
        return {}
    cosines = np.nan_to_num(text)
    return {"text": TEXT_LOGITS * np.minimum(cosines, NEAR_SHARE * max(cosines[:depth].max(), 0.0))}


def _category(
    scores: FloatArray, features: FloatArray, places: CandidatePlaces, depth: int, *, ranked: bool, prior: bool
) -> dict[str, FloatArray]:
    """Returns `category`, where it is known which categories the query means; see `adjust`."""
    meant = features[:, POSITION["category_of_query"]]
    known = meant[:depth][~np.isnan(meant[:depth])]
    if not len(known):
        return {}
    added = np.zeros(len(scores), np.float32)
    outside = _is_outside(meant, places, depth)
    if outside.any():
        added += (-np.float32(OUTSIDE_LOGITS) if ranked else (OUTSIDE_WORTH - 1.0) * scores) * outside
    if prior:
        # An item without a category is taken for the mean one.
        added += CATEGORY_LOGITS * np.nan_to_num(meant, nan=float(known.mean()))
    return {"category": added} if prior or outside.any() else {}


def _is_outside(meant: FloatArray, places: CandidatePlaces, depth: int) -> NDArray[np.bool_]:
    """Returns which candidates are of departments that the query hardly means, by the first `depth` of them."""
    categories, first = np.unique(places.category[:depth], return_index=True)
    shares = np.exp(meant[first[categories >= 0]]) - LEAST_SHARE
    departments = places.department[first[categories >= 0]]
    if not len(departments) or departments.max() < 0:
        return np.zeros(len(meant), np.bool_)
    sums = np.bincount(departments + 1, shares, minlength=int(places.department.max()) + 2)
    sums[0] = sums.max()  # of items without a department nothing is known
    outside: NDArray[np.bool_] = sums[places.department + 1] < OUTSIDE_SHARE * sums.max()
    return outside
