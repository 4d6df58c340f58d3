"""The ranker's features of a (request, candidate) pair. One implementation, for training and for serving.

A missing value is NaN, never 0: the ranker learns what missing means. Counts, ranks, prices and days enter as
log(1 + x), since their effect is one of proportion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.interactions.profile import UserProfile, days_since

FloatArray = NDArray[np.float32]


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
    Feature("lately", "popularity", "log of the same, halved for every 7 days of age"),
    Feature("reach", "popularity", "log of the users who had it"),
    Feature("repeats", "popularity", "log of events a user who had it"),
    Feature("idle", "popularity", "log of days since anybody had it; missing where nobody did"),
    Feature("trend_share", "popularity", "log share of the item in its category's trend"),
    Feature("lately_share", "popularity", "log share of the item in its category's events of late"),
    Feature("reach_share", "popularity", "log share of the item in its category's reach"),
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
    Feature("personal_recent", "personal", "log of those events, halved for every 56 days of age"),
    Feature("personal_share", "personal", "the item's share in all the user's events"),
    Feature("personal_rank", "personal", "log position among the user's own items"),
    Feature("due", "personal", "log of the days since the last over the item's usual cycle"),
    Feature("share_in_category", "personal", "the item's share in the user's events in its category"),
    Feature("recent_in_category", "personal", "the same, late events counting more"),
    Feature("latest_in_category", "personal", "1 for what the user had last in its category, 0 for all else there"),
    Feature("collaborative_score", "collaborative", "dot product of the item's factors and the user's"),
    Feature("collaborative_rank", "collaborative", "log position by that score"),
    Feature("content_score", "content", "cosine of the item's text and what the user had lately"),
    Feature("content_rank", "content", "log position by that cosine"),
    Feature("graph_score", "graph", "nearness to the user and the query's entities in the knowledge graph"),
    Feature("graph_rank", "graph", "log position by that nearness"),
    Feature("category_share", "taste", "share of the user's events in the item's category"),
    Feature("category_events", "taste", "log of those events"),
    Feature("category_recency", "taste", "log of days since the last of them; missing where there are none"),
    Feature("brand_share", "taste", "share of the user's events with the item's brand"),
    Feature("brand_in_category", "taste", "share of the user's events in the item's category that have its brand"),
    Feature("text_in_category", "taste", "the same of its text, such as a size of a kind"),
    Feature("price", "price", "log of the price; missing where unknown"),
    Feature("price_gap", "price", "log price minus the mean log price of what the user had"),
    Feature("price_gap_in_category", "price", "the same of what the user had in its category"),
    Feature("has_query", "request", "1 for a search"),
    Feature("has_history", "request", "1 for a user with events"),
)
# Signals that have features, then those that have a tower of their own: the text tower's reading of query and item
# together, and what follows from the sequence of the user's items.
SIGNALS: tuple[str, ...] = (*dict.fromkeys(feature.signal for feature in FEATURES), "reading", "sequence")
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


class Featuriser:
    """Computes features of candidates; what does not depend on the request is computed once."""

    def __init__(self, items: Items, popularity: Popularity) -> None:
        """Takes the catalogue, and all users' events by item."""
        self._items, self._popularity = items, popularity
        still = {
            "popularity": np.log1p(popularity.counts),
            "trend": np.log1p(popularity.trend),
            "lately": np.log1p(popularity.lately),
            "reach": np.log1p(popularity.reach),
            "repeats": np.log1p(popularity.counts / np.maximum(popularity.reach, 1.0)),
            "trend_share": self._share_in_category(popularity.trend),
            "lately_share": self._share_in_category(popularity.lately),
            "reach_share": self._share_in_category(popularity.reach),
            "price": items.log_price,
        }
        self._still = np.stack(list(still.values()), 1).astype(np.float32)  # [items, still features]
        self._still_columns = [POSITION[name] for name in still]

    def __call__(self, evidence: Evidence, taste: UserProfile, now: float, has_query: bool) -> FloatArray:
        """Computes the features of one request's candidates.

        Args:
            evidence: The candidates and what the channels said of them.
            taste: The user's history, summed up.
            now: The request's time, epoch seconds.
            has_query: Whether there is a query.

        Returns:
            float32 `[candidates, features]`, in the order of `FEATURES`.
        """
        rows, popularity, column = evidence.rows, self._popularity, POSITION
        out = np.full((len(rows), len(FEATURES)), np.nan, np.float32)
        for channel, name in _RANKS.items():
            if channel in evidence.ranks:
                out[:, column[name]] = np.log1p(evidence.ranks[channel])
        for channel, (name, damped) in _SCORES.items():
            if channel in evidence.scores:
                scores = evidence.scores[channel]
                out[:, column[name]] = np.log1p(np.maximum(scores, 0.0)) if damped else scores
        out[:, self._still_columns] = self._still[rows]
        out[:, column["age"]] = np.log1p(days_since(popularity.arrived[rows], now))
        out[:, column["idle"]] = np.log1p(days_since(popularity.latest[rows], now))
        out[:, column["has_query"]] = has_query
        out[:, column["has_history"]] = taste.total > 0
        if taste.total and len(rows):
            self._personal(out, rows, taste, now)
            self._tastes(out, rows, taste, now)
        return out

    def _personal(self, out: FloatArray, rows: NDArray[np.int32], taste: UserProfile, now: float) -> None:
        """What the user did with the candidates themselves; in place."""
        column, seen = POSITION, taste.seen
        mine, at = taste.own(rows)
        had = rows[mine]
        days = days_since(seen.last[at], now)
        out[mine, column["personal_frequency"]] = np.log1p(seen.counts[at])
        out[mine, column["personal_recency"]] = np.log1p(days)
        out[mine, column["personal_recent"]] = np.log1p(taste.weights[at])
        out[mine, column["personal_share"]] = seen.counts[at] / taste.total
        out[mine, column["due"]] = np.log1p(days / np.maximum(self._popularity.cycle[had], 1.0))
        category = self._items.category[had]
        placed = category >= 0
        mine, at, category = mine[placed], at[placed], category[placed]
        known = self._items.category[rows] >= 0
        # Of a category that the user never had anything of, nothing is known; of others, 0 is.
        of_rows = np.where(known, taste.category[self._items.category[rows]], 0.0)
        out[of_rows > 0, column["share_in_category"]] = 0.0
        out[of_rows > 0, column["recent_in_category"]] = 0.0
        out[of_rows > 0, column["latest_in_category"]] = 0.0
        out[mine, column["share_in_category"]] = seen.counts[at] / taste.category[category]
        out[mine, column["recent_in_category"]] = taste.weights[at] / np.maximum(taste.category_weight[category], 1e-12)
        out[mine, column["latest_in_category"]] = seen.last[at] == taste.category_last[category]

    def _tastes(self, out: FloatArray, rows: NDArray[np.int32], taste: UserProfile, now: float) -> None:
        """What the user did with items like the candidates; in place."""
        column, items, seen = POSITION, self._items, taste.seen
        category, brand = items.category[rows], items.brand[rows]
        events = _looked_up(taste.category, category)
        out[:, column["category_share"]] = events / taste.total
        out[:, column["category_events"]] = np.log1p(events)
        out[:, column["category_recency"]] = np.log1p(days_since(_looked_up(taste.category_last, category), now))
        out[:, column["brand_share"]] = _looked_up(taste.brand, brand) / taste.total
        had = np.flatnonzero(events > 0)
        for name, codes in (("brand_in_category", items.brand), ("text_in_category", items.text)):
            known = had[codes[rows[had]] >= 0]
            if len(known):
                alike = taste.events_alike(codes[seen.rows], codes[rows[known]], items, rows[known])
                out[known, column[name]] = alike / events[known]
        out[:, column["price_gap"]] = out[:, column["price"]] - taste.log_price
        usual = _looked_up(taste.category_log_price, category)
        out[:, column["price_gap_in_category"]] = out[:, column["price"]] - usual

    def _share_in_category(self, values: FloatArray) -> FloatArray:
        """log(0.001 + share) of each item in its category's sum; NaN without a category or a sum, `[items]`."""
        category = self._items.category
        sums = np.bincount(category + 1, weights=values, minlength=self._items.categories + 2)
        total = np.where(category >= 0, sums[category + 1], 0.0)
        share = np.where(total > 0, values / np.maximum(total, 1e-12), np.nan)
        logs: FloatArray = np.log(0.001 + share).astype(np.float32)
        return logs


def _looked_up(values: NDArray[Any], codes: NDArray[np.int32]) -> NDArray[Any]:
    """Each code's value, NaN where the code is missing."""
    return np.where(codes >= 0, values[codes], np.nan)
