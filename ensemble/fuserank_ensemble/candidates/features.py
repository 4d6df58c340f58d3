"""The ranker's features of a (request, candidate) pair. One implementation, for training and for serving.

A missing value is NaN, never 0: the ranker learns what missing means. Counts, ranks, prices and days enter as
log(1 + x), since their effect is one of proportion. The channels' ranks and scores are declared beside the channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.group_lifts import GroupLifts
from fuserank_ensemble.candidates.own_features import OwnItemFeatures
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.interactions.profile import UserProfiles, days_since
from fuserank_ensemble.retrieval.channel import ChannelDeclaration, Feature
from fuserank_ensemble.retrieval.channels.registry import DECLARATIONS
from fuserank_ensemble.retrieval.evidence import Evidence
from fuserank_ensemble.retrieval.own_features import OwnFeature

FloatArray = NDArray[np.float32]

_TEXT_SCORE = Feature("text_score", "text", "cosine of query and item text; missing without a query")
_POPULARITY = (
    Feature("popularity", "popularity", "log of all users' events with the item"),
    Feature("trend", "popularity", "log of those events, halved for every 28 days of age"),
    Feature("lately", "popularity", "log of those events, halved for every 7 days of age"),
    Feature("reach", "popularity", "log of the users who had it"),
    Feature("repeats", "popularity", "log of events a user who had it"),
    Feature("idle", "popularity", "log of days since anybody had it; missing where nobody did"),
    Feature("trend_share", "popularity", "log share of the item in its category's trend"),
    Feature("lately_share", "popularity", "log share of the item in its category's events of late"),
    Feature("reach_share", "popularity", "log share of the item in its category's reach"),
)
_AGE = Feature("age", "new", "log of days since the item came; missing where unknown")
_OWN_ITEM = (
    Feature("history_frequency", "history", "log of the user's events with the item; missing where there are none"),
    Feature("history_recency", "history", "log of days since the last of them"),
    Feature("history_recent", "history", "log of those events, halved for every 56 days of age"),
    Feature("history_share", "history", "the item's share in all the user's events"),
)
_OWN_ITEM_RELATIVE = (
    Feature("due", "history", "log of the days since the last over the item's usual cycle"),
    Feature("share_in_category", "history", "the item's share in the user's events in its category"),
    Feature("recent_in_category", "history", "that share with late events counting more"),
    Feature("latest_in_category", "history", "1 for what the user had last in its category, 0 for all else there"),
)
_TASTE = (
    Feature("category_share", "taste", "share of the user's events in the item's category"),
    Feature("category_events", "taste", "log of those events"),
    Feature("category_recency", "taste", "log of days since the last of them; missing where there are none"),
    Feature("brand_share", "taste", "share of the user's events with the item's brand"),
    Feature("brand_in_category", "taste", "share of the user's events in the item's category that have its brand"),
    Feature("text_in_category", "taste", "share of them that have its text, such as a size of a kind"),
)
_PRICE = (
    Feature("price", "price", "log of the price; missing where unknown"),
    Feature("price_gap", "price", "log price minus the mean log price of what the user had"),
    Feature("price_gap_in_category", "price", "log price minus the mean log price of the user's items of its category"),
)
_INTENT = Feature(
    "category_of_query",
    "text",
    "log share of the item's category in the demand for what matches the query; missing without a query or a category",
)
_FIT = (Feature("missed", "fit", "conditions that the query states and the item misses; missing where it states none"),)
_FUSION = (Feature("votes", "fusion", "sum of the channels' votes, in first places of a channel of weight 1"),)
_REQUEST = (
    Feature("has_query", "request", "1 for a search"),
    Feature("has_history", "request", "1 for a user with events"),
)


def compose_features(channels: Iterable[ChannelDeclaration]) -> tuple[Feature, ...]:
    """Returns the columns of the ranker's input: those of the items and the user, and those that channels declare.

    A channel's columns stand at the end of those of their signal. A signal that only channels have stands before those
    of the user's taste, in the order of registration.
    """
    declared: dict[str, list[Feature]] = {}
    for channel in channels:
        for feature in channel.features:
            declared.setdefault(feature.signal, []).append(feature)

    def take(signal: str) -> list[Feature]:
        return declared.pop(signal, [])

    return (
        *(_TEXT_SCORE, *take("text"), _INTENT, *take("lexical")),
        *(*_POPULARITY, *take("popularity")),
        *(_AGE, *take("new")),
        *(*_OWN_ITEM, *take("history"), *_OWN_ITEM_RELATIVE),
        *take("collaborative"),
        *(feature for signal in list(declared) for feature in take(signal)),
        *(*_TASTE, *_PRICE, *_FIT, *_FUSION, *_REQUEST),
    )


FEATURES = compose_features(DECLARATIONS.values())  # of every shop
POSITION = {feature.name: i for i, feature in enumerate(FEATURES)}
_RANKS = [POSITION[channel.rank.name] for channel in DECLARATIONS.values()]
_LOG_SCORES = [
    POSITION[channel.score.name] for channel in DECLARATIONS.values() if channel.score is not None and channel.score.log
]
_NO_ROWS = np.empty(0, np.int32)
READING, SEQUENCE = "reading", "sequence"


@dataclass(frozen=True)
class FeatureLayout:
    """The columns of a ranker's input, and its signals.

    Attributes:
        own: The columns that only this shop has; they stand behind `FEATURES`, by signal.
    """

    own: tuple[OwnFeature, ...] = ()

    @cached_property
    def features(self) -> tuple[Feature, ...]:
        """All columns."""
        return (*FEATURES, *self.own)

    @cached_property
    def signals(self) -> tuple[str, ...]:
        """The signals that have columns, in their order, then those that have a tower of their own.

        These are the text tower's reading of query and item together, and what follows from the sequence of the user's
        items.
        """
        return (*dict.fromkeys(feature.signal for feature in self.features), READING, SEQUENCE)

    @cached_property
    def own_signals(self) -> tuple[str, ...]:
        """The signals that only this shop has."""
        return tuple(dict.fromkeys(feature.signal for feature in self.own))

    def columns(self, signal: str) -> list[int]:
        """Returns a signal's columns; the text tower's reading stands behind all, the sequence has none."""
        if signal == READING:
            return [len(self.features)]
        return [i for i, feature in enumerate(self.features) if feature.signal == signal]

    def positions(self, part: FeatureLayout) -> list[int]:
        """Returns where the columns of a layout stand that has some of this one's own signals."""
        return [i for i, feature in enumerate(self.features) if i < len(FEATURES) or feature in part.own]

    def of_signal(self, signal: str) -> tuple[OwnFeature, ...]:
        """Returns the columns of one of the shop's own signals."""
        return tuple(feature for feature in self.own if feature.signal == signal)


SIGNALS = FeatureLayout().signals  # of every shop


@dataclass(frozen=True)
class RequestEvidence:
    """What is known of one request's candidates before their features are computed.

    Attributes:
        evidence: The candidates with their ranks and scores in the channels.
        seen: The user's history.
        now: The request's time, epoch seconds.
        text_scores: Cosine of the query and each candidate's text, float32 `[candidates]`; None without a query.
        missed: Conditions of the query that each candidate misses, float32 `[candidates]`; None where it states none.
        category_of_query: See `CategoryShares.log`, float32 `[candidates]`; None where no category is meant.
        groups: The groups that the user is in, by kind, see `GroupLifts`.
    """

    evidence: Evidence
    seen: History
    now: float
    text_scores: FloatArray | None = None
    missed: FloatArray | None = None
    category_of_query: FloatArray | None = None
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def fill(self, out: FloatArray) -> None:
        """Fills in what was found out of the candidates, ranks and scores as they are, `[candidates, features]`."""
        column, evidence = POSITION, self.evidence
        ranks, scores, scored = _columns_of(evidence.channels)
        out[:, ranks] = evidence.rank_table.T
        out[:, scores] = evidence.score_table[scored].T
        known = {
            "text_score": self.text_scores,
            "category_of_query": self.category_of_query,
            "votes": evidence.votes,
            "missed": self.missed,
        }
        for name, values in known.items():
            if values is not None:
                out[:, column[name]] = values
        out[:, column["has_query"]] = self.text_scores is not None


class Featuriser:
    """Computes features of candidates; what does not depend on the request is computed once."""

    def __init__(self, items: Items, popularity: Popularity, own: tuple[OwnFeature, ...] = ()) -> None:
        """Takes the catalogue, all users' events by item, and the columns that only this shop has."""
        self._items, self._popularity, self._own_features = items, popularity, own
        self._own, self._lifts = OwnItemFeatures(items, own), GroupLifts(items, popularity, own)
        by_item = {
            "reach": np.log1p(popularity.reach),
            "repeats": np.log1p(popularity.counts / np.maximum(popularity.reach, 1.0)),
            "reach_share": _log_share(popularity.reach, self._category_sums(popularity.reach)[items.category]),
        }
        self._by_item = np.stack(list(by_item.values()), 1).astype(np.float32)  # [items, columns by item]
        self._by_item_columns = [POSITION[name] for name in by_item]
        self._sum_trends(popularity)

    def over(self, items: Items, popularity: Popularity) -> Featuriser:
        """Returns the same over a catalogue with other values or more items; what these do not change is shared."""
        if popularity is not self._popularity:
            return Featuriser(items, popularity, self._own_features)
        before = self._items.columns.by_name
        changed = {name for name, column in items.columns.by_name.items() if column is not before.get(name)}
        if "category" in changed:  # what is summed up by category
            return Featuriser(items, self._popularity, self._own_features)
        other = copy(self)
        other._items = items
        if any(feature.source in changed for feature in self._own_features):
            other._own = OwnItemFeatures(items, self._own_features)
        return other

    def with_popularity(self, popularity: Popularity) -> Featuriser:
        """Returns the same where all users' events by item are others; what tells of users and groups stays."""
        other = copy(self)
        other._popularity = popularity
        other._sum_trends(popularity)
        return other

    def _sum_trends(self, popularity: Popularity) -> None:
        """Sums up by category what each event changes."""
        self._trend_of_category = self._category_sums(popularity.trend)
        self._lately_of_category = self._category_sums(popularity.lately)

    def __call__(self, requests: Sequence[RequestEvidence], profiles: UserProfiles | None) -> list[FloatArray]:
        """Computes the features of the candidates of a batch of requests.

        Args:
            requests: The requests.
            profiles: The histories of their users, summed up; None where all are empty.

        Returns:
            For each request float32 `[candidates, features]`, in the order of `FeatureLayout.features`.
        """
        evidence = [request.evidence for request in requests]
        rows = np.concatenate([_NO_ROWS, *(each.rows for each in evidence)])
        request_of = np.repeat(np.arange(len(requests)), [len(each.rows) for each in evidence])
        now = np.asarray([request.now for request in requests])[request_of]
        out = np.full((len(rows), len(FEATURES) + len(self._own)), np.nan, np.float32)
        ends = accumulate(len(each.rows) for each in evidence)
        parts = [out[end - len(each.rows) : end] for end, each in zip(ends, evidence, strict=True)]
        for part, request in zip(parts, requests, strict=True):
            request.fill(part)
        _take_logs(out)
        self._add_popularity(out, rows, now)
        for part, request in zip(parts, requests, strict=True) if len(self._own) else ():
            own = part[:, len(FEATURES) :]
            own[...] = self._own(request.evidence.rows, request.seen)
            self._lifts.fill(own, request.evidence.rows, request.groups)
        out[:, POSITION["has_history"]] = 0.0
        if profiles is None:
            return parts
        of_known = np.flatnonzero((profiles.total > 0)[request_of])
        if len(of_known):
            users, now = request_of[of_known], now[of_known]
            described = out if len(of_known) == len(out) else out[of_known]
            self._add_history(described, rows[of_known], users, profiles, now)
            described[:, POSITION["has_history"]] = 1.0
            if described is not out:
                out[of_known] = described
        return parts

    def _add_popularity(self, out: FloatArray, rows: NDArray[np.int32], now: NDArray[np.float64]) -> None:
        """Fills in what the items are to everybody.

        What each event changes is computed of the candidates alone, since it would be computed anew all the time.
        """
        popularity, column, category = self._popularity, POSITION, self._items.category[rows]
        trend, lately = popularity.trend[rows], popularity.lately[rows]
        out[:, self._by_item_columns] = self._by_item[rows]
        out[:, column["popularity"]] = np.log1p(popularity.counts[rows])
        out[:, column["trend"]] = np.log1p(trend)
        out[:, column["lately"]] = np.log1p(lately)
        out[:, column["trend_share"]] = _log_share(trend, self._trend_of_category[category])
        out[:, column["lately_share"]] = _log_share(lately, self._lately_of_category[category])
        out[:, column["price"]] = self._items.log_price[rows]
        out[:, column["age"]] = np.log1p(days_since(popularity.arrived[rows], now))
        out[:, column["idle"]] = np.log1p(days_since(popularity.latest[rows], now))

    def _add_history(
        self,
        out: FloatArray,
        rows: NDArray[np.int32],
        users: NDArray[np.int64],
        profiles: UserProfiles,
        now: NDArray[np.float64],
    ) -> None:
        """Fills in what their users did with the candidates and with what is like them, `[candidates]` each."""
        column, items = POSITION, self._items
        category = items.category[rows]
        groups = profiles.categories.find(users, category)
        has_category = category >= 0
        events = np.where(has_category, profiles.category[groups], np.nan)
        self._add_own_items(out, rows, users, profiles, now, groups, events)
        total = profiles.total[users]
        out[:, column["category_share"]] = events / total
        out[:, column["category_events"]] = np.log1p(events)
        last = np.where(has_category, profiles.category_last[groups], np.nan)
        out[:, column["category_recency"]] = np.log1p(days_since(last, now))
        brand = items.brand[rows]
        of_brand = np.where(brand >= 0, profiles.brand[profiles.brands.find(users, brand)], np.nan)
        out[:, column["brand_share"]] = of_brand / total
        had = (events > 0).nonzero()[0]
        for name, codes in (("brand_in_category", items.brand), ("text_in_category", items.text)):
            known = had[codes[rows[had]] >= 0]
            similar = profiles.similar_events(codes, groups[known], rows[known])
            out[known, column[name]] = similar / events[known]
        price = out[:, column["price"]]
        out[:, column["price_gap"]] = price - profiles.log_price[users]
        usual = np.where(has_category, profiles.category_log_price[groups], np.nan)
        out[:, column["price_gap_in_category"]] = price - usual

    def _add_own_items(
        self,
        out: FloatArray,
        rows: NDArray[np.int32],
        users: NDArray[np.int64],
        profiles: UserProfiles,
        now: NDArray[np.float64],
        groups: NDArray[np.int64],
        events: FloatArray,
    ) -> None:
        """Fills in what their users did with the candidates themselves; for `groups` and `events` see the caller."""
        column = POSITION
        own, position = profiles.own_items(users, rows)  # of the candidates that were had, in `rows` and in histories
        counts, weights, last = profiles.counts[position], profiles.weights[position], profiles.last[position]
        days = days_since(last, now[own])
        out[own, column["history_frequency"]] = np.log1p(counts)
        out[own, column["history_recency"]] = np.log1p(days)
        out[own, column["history_recent"]] = np.log1p(weights)
        out[own, column["history_share"]] = counts / profiles.total[users[own]]
        out[own, column["due"]] = np.log1p(days / np.maximum(self._popularity.cycle[rows[own]], 1.0))
        # Of a category that the user never had anything of, nothing is known; of others, 0 is.
        relative = [column[name] for name in ("share_in_category", "recent_in_category", "latest_in_category")]
        out[(events > 0).nonzero()[0][:, None], relative] = 0.0
        placed = self._items.category[rows[own]] >= 0
        own, counts, weights, last = own[placed], counts[placed], weights[placed], last[placed]
        group = groups[own]
        out[own, column["share_in_category"]] = counts / profiles.category[group]
        out[own, column["recent_in_category"]] = weights / np.maximum(profiles.category_weight[group], 1e-12)
        out[own, column["latest_in_category"]] = last == profiles.category_last[group]

    def _category_sums(self, values: FloatArray) -> NDArray[np.float64]:
        """Sums of items' values by category, and at the end 0 for those without one, float64 `[categories + 2]`."""
        sums = np.bincount(self._items.category + 1, weights=values, minlength=self._items.categories + 2)
        by_category: NDArray[np.float64] = np.append(sums[1:], 0.0)  # which -1, for none, picks
        return by_category


@lru_cache(maxsize=64)
def _columns_of(channels: tuple[str, ...]) -> tuple[list[int], list[int], list[int]]:
    """Returns the columns of channels' ranks, those of their scores, and which of the channels have these."""
    declared = [DECLARATIONS[name] for name in channels]
    scored = [i for i, channel in enumerate(declared) if channel.score is not None]
    scores = [channel.score.name for channel in declared if channel.score is not None]
    return [POSITION[channel.rank.name] for channel in declared], [POSITION[name] for name in scores], scored


def _take_logs(out: FloatArray) -> None:
    """Takes the logarithm of the channels' ranks, and of the scores that are declared so."""
    out[:, _RANKS] = np.log1p(out[:, _RANKS])
    out[:, _LOG_SCORES] = np.log1p(np.maximum(out[:, _LOG_SCORES], 0.0))


def _log_share(values: FloatArray, totals: NDArray[np.float64]) -> FloatArray:
    """log(0.001 + share) of each value in its category's sum; NaN where there is none, `[rows]`."""
    share = np.where(totals > 0, values / np.maximum(totals, 1e-12), np.nan)
    logs: FloatArray = np.log(0.001 + share).astype(np.float32)
    return logs
