"""The ranker's features of a (request, candidate) pair. One implementation, for training and for serving.

A missing value is NaN, never 0: the ranker learns what missing means. Counts, ranks, prices and days enter as
log(1 + x), since their effect is one of proportion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble.history import History
from ensemble.retrieval.items import Items
from ensemble.retrieval.popularity import Popularity

FloatArray = NDArray[np.float32]
DAY = 86_400.0


@dataclass(frozen=True)
class Feature:
    """One column of the ranker's input, and the signal it counts towards in an explanation."""

    name: str
    signal: str
    meaning: str


FEATURES: tuple[Feature, ...] = (
    Feature("text_score", "text", "cosine of query and item text; missing without a query"),
    Feature("text_rank", "text", "log position by text score"),
    Feature("lexical_score", "lexical", "log BM25 with its boosts; missing where no word matches"),
    Feature("lexical_rank", "lexical", "log position by that score"),
    Feature("popularity", "popularity", "log of all users' events with the item"),
    Feature("trend", "popularity", "log of the same, halved for every 28 days of age"),
    Feature("trending_score", "popularity", "log of the trend, multiplied where place, hour and weekday have it more"),
    Feature("trending_rank", "popularity", "log position by that score among what matches the query"),
    Feature("age", "new", "log of days since the item came; missing where unknown"),
    Feature("new_rank", "new", "log position among new items"),
    Feature(
        "personal_frequency",
        "personal",
        "log of the user's events with the item; missing where there are none",
    ),
    Feature("personal_recency", "personal", "log of days since the last of them"),
    Feature("personal_share", "personal", "the item's share in all the user's events"),
    Feature("personal_rank", "personal", "log position among the user's own items"),
    Feature("collaborative_score", "collaborative", "dot product of the item's factors and the user's"),
    Feature("collaborative_rank", "collaborative", "log position by that score"),
    Feature("content_score", "content", "cosine of the item's text and what the user had lately"),
    Feature("content_rank", "content", "log position by that cosine"),
    Feature("graph_score", "graph", "nearness to the user and the query's entities in the knowledge graph"),
    Feature("graph_rank", "graph", "log position by that nearness"),
    Feature("category_share", "taste", "share of the user's events in the item's category"),
    Feature("brand_share", "taste", "share of the user's events with the item's brand"),
    Feature("price", "price", "log of the price; missing where unknown"),
    Feature("price_gap", "price", "log price minus the mean log price of what the user had"),
    Feature("has_query", "request", "1 for a search"),
    Feature("has_history", "request", "1 for a user with events"),
)
SIGNALS: tuple[str, ...] = tuple(dict.fromkeys(feature.signal for feature in FEATURES))
POSITION = {feature.name: i for i, feature in enumerate(FEATURES)}
_RANKS = {
    "dense": "text_rank",
    "lexical": "lexical_rank",
    "trending": "trending_rank",
    "new": "new_rank",
    "history": "personal_rank",
    "collaborative": "collaborative_rank",
    "content": "content_rank",
    "graph": "graph_rank",
}
# Whether a channel's score enters as log(1 + x).
_SCORES = {
    "dense": ("text_score", False),
    "lexical": ("lexical_score", True),
    "trending": ("trending_score", True),
    "collaborative": ("collaborative_score", False),
    "content": ("content_score", False),
    "graph": ("graph_score", False),
}


@dataclass(frozen=True)
class Evidence:
    """What the channels said about the candidates; NaN where a channel did not name one.

    Attributes:
        rows: Item rows, int32 `[candidates]`.
        scores: The score in each channel's list, by channel name, float32 `[candidates]`.
        ranks: Position from 0 in each channel's list, by channel name, float32 `[candidates]`.
    """

    rows: NDArray[np.int32]
    scores: dict[str, FloatArray]
    ranks: dict[str, FloatArray]


@dataclass(frozen=True)
class Taste:
    """What a history says about categories, brands and prices: computed once a request.

    Attributes:
        seen: The history.
        total: Events in all.
        category: Share of events by category code, float32 `[categories]`.
        brand: Share of events by brand code, float32 `[brands]`.
        log_price: Mean log price of the items, NaN where no price is known.
    """

    seen: History
    total: float
    category: FloatArray
    brand: FloatArray
    log_price: float

    @classmethod
    def of(cls, seen: History, items: Items) -> Taste:
        """Sums a history up."""
        total = float(seen.counts.sum())
        prices = items.log_price[seen.rows]
        known = prices[~np.isnan(prices)]
        return cls(
            seen,
            total,
            _shares(items.category[seen.rows], seen.counts, items.categories, total),
            _shares(items.brand[seen.rows], seen.counts, items.brands, total),
            float(known.mean()) if len(known) else float("nan"),
        )


def featurise(
    evidence: Evidence, taste: Taste, items: Items, popularity: Popularity, now: float, has_query: bool
) -> FloatArray:
    """Computes the features of one request's candidates.

    Args:
        evidence: The candidates and what the channels said of them.
        taste: The user's history, summed up.
        items: The catalogue.
        popularity: All users' events by item.
        now: The request's time, epoch seconds.
        has_query: Whether there is a query.

    Returns:
        float32 `[candidates, features]`, in the order of `FEATURES`.
    """
    rows, seen = evidence.rows, taste.seen
    out = np.full((len(rows), len(FEATURES)), np.nan, np.float32)
    column = POSITION
    for channel, name in _RANKS.items():
        if channel in evidence.ranks:
            out[:, column[name]] = np.log1p(evidence.ranks[channel])
    for channel, (name, damped) in _SCORES.items():
        if channel in evidence.scores:
            scores = evidence.scores[channel]
            out[:, column[name]] = np.log1p(np.maximum(scores, 0.0)) if damped else scores
    out[:, column["popularity"]] = np.log1p(popularity.counts[rows])
    out[:, column["trend"]] = np.log1p(popularity.trend[rows])
    out[:, column["age"]] = np.log1p(np.maximum(now - popularity.arrived[rows], 0) / DAY)
    if taste.total:
        position = np.minimum(np.searchsorted(seen.rows, rows), len(seen.rows) - 1)
        own = np.flatnonzero(seen.rows[position] == rows)
        position = position[own]
        out[own, column["personal_frequency"]] = np.log1p(seen.counts[position])
        days = np.maximum(now - seen.last[position], 0) / DAY
        out[own, column["personal_recency"]] = np.log1p(days)
        out[own, column["personal_share"]] = seen.counts[position] / taste.total
        out[:, column["category_share"]] = _looked_up(taste.category, items.category[rows])
        out[:, column["brand_share"]] = _looked_up(taste.brand, items.brand[rows])
        out[:, column["price_gap"]] = items.log_price[rows] - taste.log_price
    out[:, column["price"]] = items.log_price[rows]
    out[:, column["has_query"]] = has_query
    out[:, column["has_history"]] = taste.total > 0
    return out


def _shares(codes: NDArray[np.int32], counts: FloatArray, size: int, total: float) -> FloatArray:
    # Missing codes are -1: they fall into the place before the first, which is cut off.
    sums = np.bincount(codes + 1, weights=counts, minlength=max(size, 1) + 1)[1:]
    return (sums / max(total, 1.0)).astype(np.float32)


def _looked_up(shares: FloatArray, codes: NDArray[np.int32]) -> FloatArray:
    return np.where(codes >= 0, shares[codes], np.float32(np.nan))
