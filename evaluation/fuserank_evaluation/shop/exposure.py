"""How much of the catalogue the first ten places show, and how popular what they show is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fuserank_evaluation.datasets.cases import Rows
from fuserank_evaluation.metrics.measures import CUT, coverage
from fuserank_evaluation.shop.methods import TAKEN
from fuserank_evaluation.shop.requests import RequestSet

POPULAR_SHARE = 0.1  # of the items, that are called popular


@dataclass(frozen=True)
class Exposure:
    """What one method's first ten show.

    Attributes:
        requests: The set's name.
        method: The method; `TAKEN` is what people took.
        coverage: Share of the catalogue in anybody's first ten; None for what people took.
        popular: Share of the places that show one of the most popular tenth of the items.
    """

    requests: str
    method: str
    coverage: float | None
    popular: float


def exposures(requests: RequestSet, popularity: NDArray[np.float32]) -> list[Exposure]:
    """Every method's exposure on a set, and that of what people took.

    Args:
        requests: The set.
        popularity: Events by item before the latest window `[items]`.
    """
    popular = np.zeros(len(popularity), np.bool_)
    popular[np.argsort(-popularity, kind="stable")[: math.ceil(POPULAR_SHARE * len(popularity))]] = True
    popular &= popularity > 0
    shown = [
        Exposure(requests.name, method, coverage(ranked, len(popularity)), _share(ranked, popular))
        for method, ranked in requests.ranked.items()
    ]
    return [*shown, Exposure(requests.name, TAKEN, None, _share(requests.relevant, popular, cut=None))]


def _share(lists: Sequence[Rows], popular: NDArray[np.bool_], cut: int | None = CUT) -> float:
    rows = np.concatenate([one[:cut] for one in lists]) if lists else np.empty(0, np.int32)
    return float(popular[rows].mean()) if len(rows) else 0.0
