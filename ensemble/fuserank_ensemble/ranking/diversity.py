"""Maximal marginal relevance: variety in a ranked list, by the items' texts and by their categories."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

# Two items of one category are at least this much alike where their texts have nothing in common (cosine 0).
CATEGORY_LIKENESS = 0.5


def mmr(
    scores: FloatArray,
    vectors: FloatArray,
    categories: NDArray[np.int32],
    k: int,
    diversity: float,
    given: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Picks items one by one, each weighing its score against its likeness to those picked before.

    Source: Carbonell and Goldstein, The use of MMR, SIGIR 1998, with lambda = 1 - diversity. Scores are scaled
    to 0..1 first, so that they compare with a likeness. That categories count beside texts follows Ziegler et al.,
    Improving recommendation lists through topic diversification, WWW 2005.

    Args:
        scores: float32 `[candidates]`.
        vectors: L2-normalised item vectors, float32 `[candidates, dim]`.
        categories: Code of each item's category, int32 `[candidates]`; -1 for none, which is like no other.
        k: How many to pick.
        diversity: 0 keeps the order, 1 looks at variety alone.
        given: Positions that stand in the list already and are not picked again, int64 `[given]`.

    Returns:
        Positions of the picked items, in the order picked, int64 `[min(k, candidates - given)]`.
    """
    free = np.ones(len(scores), np.bool_)
    likeness = np.zeros(len(scores), np.float32)
    for position in () if given is None else given:
        free[position] = False
        likeness = np.maximum(likeness, similarity_to(vectors, categories, int(position)))
    if not free.any():
        return np.empty(0, np.int64)
    least, most = float(scores[free].min()), float(scores[free].max())
    worth = np.where(free, (1 - diversity) * (scores - least) / ((most - least) or 1.0), -np.inf)
    picked: list[int] = []
    for _ in range(min(k, int(free.sum()))):
        value = worth - diversity * likeness
        best = int(value.argmax())
        picked.append(best)
        worth[best] = -np.inf
        np.maximum(likeness, similarity_to(vectors, categories, best), out=likeness)
    return np.asarray(picked, np.int64)


def similarity_to(vectors: FloatArray, categories: NDArray[np.int32], position: int) -> FloatArray:
    """Returns how similar the candidates are to one of them, float32 `[candidates]`, 1 at most.

    The cosine of the texts; where the category is the same, what is missing to 1 shrinks by `CATEGORY_LIKENESS`.
    """
    likeness: FloatArray = vectors @ vectors[position]
    if categories[position] >= 0:
        same = categories == categories[position]
        likeness[same] += CATEGORY_LIKENESS * (1.0 - likeness[same])
    return likeness
