"""Training queries from a time window of the log: what its users asked for and recommendations that they would get.

A query knows the log as it stood before the window. Nothing of the window itself reaches a feature.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fuserank_ensemble.interactions.events import CODES, POSITIVE
from fuserank_ensemble.interactions.history import History, HistorySnapshot
from fuserank_ensemble.interactions.popularity import DEVICE
from fuserank_ensemble.interactions.segments import UserSegments
from fuserank_ensemble.retrieval.channel import EventsRead
from fuserank_export.sources.interactions import Interactions
from fuserank_export.training.cases.synthetic import SyntheticQueries
from fuserank_export.training.cases.training_query import Kind, TrainingQuery

PURCHASE, RETURN = CODES["purchase"], CODES["return"]
# What the ranker's heads learn from a log; `relevance` is learned from all that anybody took for a query.
HEADS_READ = {
    "click": EventsRead(POSITIVE, "right answers: any event; shown lists: clicks and what is stronger, ratings aside"),
    "purchase": EventsRead(("purchase", "return"), "right answers: what was bought, and not returned in its window"),
}
MOST_EVENTS = 200_000  # of a window that queries are drawn from
PLAIN_SEARCH_EVERY = 3  # searches with a user for one without


def window_queries(
    log: Interactions, synthetic: SyntheticQueries, start: float, end: float, *, count: int, seed: int
) -> list[TrainingQuery]:
    """Draws the queries of one time window: searches with a user, a third as many without, and recommendations.

    Args:
        log: The whole log; the queries see only what lies before `start`.
        synthetic: Queries where the log has none.
        start: First moment of the window, epoch seconds.
        end: First moment after it.
        count: How many (user, query) pairs to draw at most; their users each ask twice for a recommendation, once
            for anything and once for what is new to them.
        seed: Of the draw.
    """
    events = _window_events(log, synthetic, start, end, seed)
    pairs = events[["user", "query"]].drop_duplicates()
    pairs = pairs.sample(min(count, len(pairs)), random_state=seed)
    window = _Window(
        snapshot_before(log, start),
        start,
        _by_user(events[events["user"].isin(pairs["user"])]),
        bool((log.event == PURCHASE).any()),
        log.segments,
        {kind: names for kind, (_, names) in log.places.items() if kind.startswith(DEVICE)},
    )
    by_query = _taken(log, set(events["query"]), start, end)
    return [*_searches(window, pairs, by_query, synthetic), *_recommendations(window, pairs)]


def snapshot_before(log: Interactions, moment: float) -> HistorySnapshot:
    """Returns every user's history as it was before a moment, epoch seconds."""
    before = log.before(moment)
    user_ids = np.asarray([user.encode() for user in log.user_ids], "S")
    places = {kind: (codes[before], names) for kind, (codes, names) in log.places.items()}
    return HistorySnapshot.from_log(
        user_ids,
        log.user[before],
        log.item[before],
        log.timestamp[before],
        places,
        weights=log.weights[before],
        negatives=log.negatives.before(moment),
    )


@dataclass(frozen=True)
class _Events:
    """Events of one user, in the order of the log: arrays, since a column of a table takes long to ask for.

    Attributes:
        item: Item row of each, int32 `[events]`.
        bought: Whether it was bought, and kept, bool `[events]`.
        query: What it was had under, str `[events]`.
        logged: Whether the log says so, bool `[events]`; else the query was made up.
        devices: Codes of the devices by kind, -1 where unknown, int `[events]` each.
    """

    item: NDArray[np.int32]
    bought: NDArray[np.bool_]
    query: NDArray[np.object_]
    logged: NDArray[np.bool_]
    devices: Mapping[str, NDArray[Any]]

    def part(self, selected: slice | NDArray[np.bool_]) -> _Events:
        """Returns some of them."""
        devices = {kind: codes[selected] for kind, codes in self.devices.items()}
        return _Events(self.item[selected], self.bought[selected], self.query[selected], self.logged[selected], devices)


@dataclass(frozen=True)
class _Window:
    """A time window as its queries see it.

    Attributes:
        past: Histories before it.
        start: Its first moment, epoch seconds.
        events: What happened in it, by user.
        has_purchases: Whether the log has any: without, nothing is known of what was bought.
        segments: What the shop says of its users.
        devices: Names of the devices, by kind: `device` and its shadow.
    """

    past: HistorySnapshot
    start: float
    events: dict[int, _Events]
    has_purchases: bool
    segments: UserSegments
    devices: Mapping[str, Sequence[str]]

    def query(
        self, kind: Kind, text: str, user: int, relevant: NDArray[np.int32] | None, answers: _Events
    ) -> TrainingQuery:
        """Returns one query, whose user then had the answers."""
        clicked = answers.item
        purchased = clicked[answers.bought] if self.has_purchases else None
        with_user = kind != "query"
        device = self._device(self.events[user], text)
        if not with_user:
            return TrainingQuery(kind, text, History.empty(), self.start, relevant, clicked, purchased, device)
        seen, places = self.past.at(user).copied(), self.past.places(user) | device
        segments = self.segments.values(self.past.users[user].decode(), self.start)
        return TrainingQuery(kind, text, seen, self.start, relevant, clicked, purchased, places, segments=segments)

    def _device(self, events: _Events, text: str) -> dict[str, str]:
        """The device of most of a user's events, of those under the query where it was logged.

        What a request is made on is known with the request. Which items were answers has no say in it.
        """
        if not self.devices:
            return {}
        of_query = events.logged & (events.query == text)
        devices = {}
        for kind, names in self.devices.items():
            codes = events.devices[kind][of_query] if of_query.any() else events.devices[kind]
            if (codes >= 0).any():
                devices[kind] = names[int(np.bincount(codes[codes >= 0]).argmax())]
        return devices


def _window_events(log: Interactions, synthetic: SyntheticQueries, start: float, end: float, seed: int) -> pd.DataFrame:
    """The window's events: `user`, `item`, `bought`, `query`, and whether that was `logged` or made up.

    Of a window with more than `MOST_EVENTS` those of some users, drawn at random.
    """
    inside: slice | NDArray[np.int64] = slice(log.before(start).stop, log.before(end).stop)
    users, counts = np.unique(log.user[inside], return_counts=True)
    if counts.sum() > MOST_EVENTS:
        order = np.random.default_rng(seed).permutation(len(users))
        drawn = users[order[np.cumsum(counts[order]) <= MOST_EVENTS]]
        inside = np.flatnonzero(np.isin(log.user[inside], drawn)) + log.before(start).stop
    codes = log.query[inside]
    logged = codes >= 0
    events = pd.DataFrame(
        {
            "user": log.user[inside],
            "item": log.item[inside],
            "bought": (log.event[inside] == PURCHASE) & ~_returned(log, inside, start, end),
            "query": synthetic.draw(log.item[inside], np.random.default_rng(seed)),
            "logged": logged,
            **{kind: devices[inside] for kind, (devices, _) in log.places.items() if kind.startswith(DEVICE)},
        }
    )
    events.loc[logged, "query"] = np.asarray([*log.queries, ""], object)[codes[logged]]
    return events


def _by_user(events: pd.DataFrame) -> dict[int, _Events]:
    """The events of each user of a window's table."""
    users = events["user"].to_numpy()
    order = np.argsort(users, kind="stable")
    columns = {str(name): values.to_numpy()[order] for name, values in events.items() if name != "user"}
    item, bought, query, logged = (columns.pop(name) for name in ("item", "bought", "query", "logged"))
    ordered = _Events(item.astype(np.int32), bought, query, logged, columns)
    names, starts = np.unique(users[order], return_index=True)
    ends = [*starts[1:].tolist(), len(order)]
    return {
        int(user): ordered.part(slice(start, end))
        for user, start, end in zip(names, starts.tolist(), ends, strict=True)
    }


def _returned(log: Interactions, inside: slice | NDArray[np.int64], start: float, end: float) -> NDArray[np.bool_]:
    """Which of a window's events are of what the user returned in it, bool `[events of the window]`."""
    negatives = log.negatives
    in_window = (negatives.event == RETURN) & (negatives.timestamp >= start) & (negatives.timestamp < end)
    if not in_window.any():
        return np.zeros(len(log.user[inside]), np.bool_)
    items = max(int(log.item.max(initial=0)), int(negatives.item.max(initial=0))) + 1
    returned = negatives.user[in_window].astype(np.int64) * items + negatives.item[in_window]
    return np.isin(log.user[inside].astype(np.int64) * items + log.item[inside], returned)


def _taken(log: Interactions, queries: set[str], start: float, end: float) -> dict[str, NDArray[np.int32]]:
    """The items that anybody took in a window under each of some logged queries, by query."""
    inside = slice(log.before(start).stop, log.before(end).stop)
    wanted = np.asarray([query in queries for query in log.queries] + [False])
    rows = np.flatnonzero(wanted[log.query[inside]]) + inside.start
    names = np.asarray(log.queries, object)[log.query[rows]]
    taken = pd.DataFrame({"query": names, "item": log.item[rows]}).groupby("query")["item"].unique()
    return {str(query): np.asarray(items, np.int32) for query, items in taken.items()}


def _searches(
    window: _Window, pairs: pd.DataFrame, by_query: Mapping[str, NDArray[np.int32]], synthetic: SyntheticQueries
) -> Iterator[TrainingQuery]:
    """Searches of the drawn (user, query) pairs; `by_query` has the items that anybody took under a logged query."""
    for number, (user, text) in enumerate(pairs.itertuples(index=False)):
        if not text:
            continue
        events, taken = window.events[user], by_query.get(text)
        if taken is None:
            # The query was made up: all that the user then had of what it means answers it.
            relevant = synthetic.relevant(text)
            answers = events.part(np.isin(events.item, relevant))
        else:
            relevant, answers = taken, events.part(events.query == text)
        yield window.query("both", text, int(user), relevant, answers)
        if number % PLAIN_SEARCH_EVERY == 0:
            yield window.query("query", text, int(user), relevant, answers)


def _recommendations(window: _Window, pairs: pd.DataFrame) -> Iterator[TrainingQuery]:
    """Two recommendations for each user of the pairs: of anything, and of what is new to the user."""
    for user in pairs["user"].unique():
        events = window.events[user]
        yield window.query("user", "", int(user), None, events)
        new = events.part(~np.isin(events.item, window.past.at(int(user)).rows))
        yield window.query("discover", "", int(user), None, new)
