"""Training cases from the log: what a request at the start of a time window saw, and what its user then did.

A case's candidates and features come from the same retriever that serves, on the log as it stood before the
window. Nothing of the window itself reaches a feature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fuserank_ensemble.candidates.features import FEATURES
from fuserank_ensemble.candidates.retriever import Candidates, Retriever
from fuserank_ensemble.catalog.filters import CATEGORY_SEPARATOR, Mask
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.catalog.text import normalise
from fuserank_ensemble.contract.options import HEADS
from fuserank_ensemble.interactions.history import History, HistorySnapshot
from fuserank_ensemble.interactions.sequence import MOMENT
from fuserank_ensemble.retrieval.channel import ChannelQuery
from fuserank_ensemble.retrieval.index import CatalogIndex, InteractionIndex
from fuserank_ensemble.spec import GraphSpec
from fuserank_export.sources.interactions import EVENTS, Interactions

# `discover` is a recommendation of what the user has not had before.
Kind = Literal["query", "user", "both", "discover"]
KINDS: tuple[Kind, ...] = ("query", "user", "both", "discover")
Read = Callable[[Sequence[str], Sequence[NDArray[np.int32]]], list[NDArray[np.float32]]]  # queries, texts of each
Embed = Callable[[Sequence[str]], NDArray[np.float32]]
PURCHASE = EVENTS.index("purchase")


@dataclass(frozen=True)
class Cases:
    """Requests with their candidates.

    Attributes:
        kinds: What each request held, `[cases]`.
        rows: The candidates, -1 where there are fewer, int32 `[cases, K]`.
        features: float32 `[cases, K, F]`, NaN where missing.
        texts: Rows of the candidates' text vectors, -1 where there are fewer, int32 `[cases, K]`.
        events: Rows of the text vectors of the user's latest items, -1 where there are fewer, int32 `[cases, N]`.
        moments: See `fuserank_ensemble.interactions.sequence.moments`, float32 `[cases, N, 3]`.
        reading: The text tower's logits, NaN for candidates that it has not read, float32 `[cases, K]`.
        labels: 1, 0, or NaN where a head has no label, float32 `[cases, K, H]`.
        positions: Where each candidate was shown, from 1; 0 where unknown, int32 `[cases, K]`.
    """

    kinds: NDArray[np.str_]
    rows: NDArray[np.int32]
    features: NDArray[np.float32]
    texts: NDArray[np.int32]
    events: NDArray[np.int32]
    moments: NDArray[np.float32]
    reading: NDArray[np.float32]
    labels: NDArray[np.float32]
    positions: NDArray[np.int32]

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which candidates are real, bool `[cases, K]`."""
        return self.rows >= 0

    @classmethod
    def blank(cls, kinds: Sequence[str], candidates: int, events: int) -> Cases:
        """Cases to be filled in: no candidates, nothing known."""
        count = len(kinds)
        return cls(
            np.asarray(kinds, np.str_),
            np.full((count, candidates), -1, np.int32),
            np.full((count, candidates, len(FEATURES)), np.nan, np.float32),
            np.full((count, candidates), -1, np.int32),
            np.full((count, events), -1, np.int32),
            np.zeros((count, events, MOMENT), np.float32),
            np.full((count, candidates), np.nan, np.float32),
            np.full((count, candidates, len(HEADS)), np.nan, np.float32),
            np.zeros((count, candidates), np.int32),
        )

    def part(self, which: slice | NDArray[np.bool_]) -> Cases:
        """Some of the cases."""
        return Cases(*(getattr(self, each.name)[which] for each in fields(self)))

    def __len__(self) -> int:
        return len(self.kinds)

    @classmethod
    def joined(cls, parts: Sequence[Cases]) -> Cases:
        """Puts several sets of cases together."""
        return cls(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(cls)))


@dataclass(frozen=True)
class Shown:
    """A list that a user was shown.

    Attributes:
        rows: Item rows without repeats, int32 `[shown]`.
        positions: Where each was, from 1; 0 where unknown, int32 `[shown]`.
    """

    rows: NDArray[np.int32]
    positions: NDArray[np.int32]


@dataclass(frozen=True)
class TrainingQuery:
    """A request to learn from, and the right answers.

    Attributes:
        kind: What it holds.
        query: Text, empty for `user`.
        seen: The history at that time.
        now: The time, epoch seconds.
        relevant: Item rows relevant to the query; None where unknown.
        clicked: Item rows the user then touched; None where unknown.
        purchased: Item rows the user then bought; None where unknown.
        places: Where the user usually was before, by kind of place.
        shown: The candidates, where the log has what was shown; None where they are to be retrieved.
    """

    kind: Kind
    query: str
    seen: History
    now: float
    relevant: NDArray[np.int32] | None
    clicked: NDArray[np.int32] | None
    purchased: NDArray[np.int32] | None
    places: Mapping[str, str] = field(default_factory=dict)
    shown: Shown | None = None


class Relevance:
    """Queries for logs that have none, and what is relevant to them.

    A query is the name of an item's category or some words of its title, each for half of the items. Relevant to
    a category's name is the category; to a title's words, the items of that title.
    """

    def __init__(self, items: Items, titles: Sequence[str], seed: int) -> None:
        words = items.columns.by_name["category"].words if items.categories else []
        leaves = np.asarray([word.rsplit(CATEGORY_SEPARATOR, 1)[-1].lower() for word in words] or [""], object)
        self._leaf = np.where(items.category >= 0, leaves[items.category], "")
        draw = np.random.default_rng(seed)
        self._words = np.asarray([_some_words(title, draw) for title in titles], object)
        rows = np.arange(len(items), dtype=np.int32)
        self._by_leaf = pd.Series(rows).groupby(self._leaf).indices
        by_title = pd.Series(rows).groupby(np.asarray(titles, object)).indices
        self._by_words = {words: by_title[title] for words, title in zip(self._words, titles, strict=True)}

    def queries(self, rows: NDArray[np.int32], draw: np.random.Generator) -> NDArray[np.object_]:
        """A query for each of the item rows."""
        use_leaf = (self._leaf[rows] != "") & (draw.random(len(rows)) < 0.5)
        return np.where(use_leaf, self._leaf[rows], self._words[rows])

    def of(self, query: str) -> NDArray[np.int32]:
        """Item rows relevant to one of its queries."""
        found = self._by_leaf.get(query) if query in self._by_leaf else self._by_words.get(query, ())
        return np.asarray(found, np.int32)


def _some_words(title: str, draw: np.random.Generator) -> str:
    """Some of a title's words, in their order; of a title without spaces (Chinese) a run of characters."""
    joint = " " if " " in title else ""
    words = title.lower().split() if joint else list(title.lower())
    count = int(draw.integers(1, len(words) + 1))
    if not joint:
        start = int(draw.integers(0, len(words) - count + 1))
        return "".join(words[start : start + count])[:100]
    kept = np.sort(draw.permutation(len(words))[:count])
    return joint.join(words[i] for i in kept)[:100]


@dataclass(frozen=True)
class CaseBuilder:
    """Turns asks into cases, with one retriever for all asks of one moment."""

    catalog: CatalogIndex
    spec: GraphSpec
    embed: Embed
    read: Read | None = None  # the text tower

    def build(
        self,
        asks: Sequence[TrainingQuery],
        learned: InteractionIndex,
        advanced: Callable[[int], None] = lambda count: None,
    ) -> Cases:
        """Retrieves and featurises; `advanced` is called with the number of asks done."""
        retriever = self._retriever(learned)
        everything = self.questions(asks)
        cases = Cases.blank([ask.kind for ask in asks], self.spec.candidates, self.spec.events)
        for start in range(0, len(asks), 64):
            part = everything[start : start + 64]
            everyone = self._found(retriever, part, asks[start : start + 64])
            for i, found in enumerate(everyone, start):
                self._fill(cases, i, found, asks[i])
            if self.read is not None and self.spec.text_candidates:
                asking = [i for i, question in enumerate(part) if question.query]
                texts = [everyone[i].texts[: self.spec.text_candidates] for i in asking]
                for i, logits in zip(asking, self.read([part[i].query for i in asking], texts), strict=True):
                    cases.reading[start + i, : len(logits)] = logits
            advanced(len(part))
        return cases

    @staticmethod
    def _fill(cases: Cases, i: int, found: Candidates, ask: TrainingQuery) -> None:
        count = len(found.rows)
        cases.rows[i, :count], cases.features[i, :count], cases.texts[i, :count] = (
            *(found.rows, found.features),
            found.texts,
        )
        cases.events[i, : len(found.events)], cases.moments[i] = found.events, found.moments
        for head, right in enumerate((ask.relevant, ask.clicked, ask.purchased)):
            if right is not None:
                cases.labels[i, :count, head] = np.isin(found.rows, right)
        if ask.shown is not None:
            place = dict(zip(ask.shown.rows.tolist(), ask.shown.positions.tolist(), strict=True))
            cases.positions[i, :count] = [place[row] for row in found.rows.tolist()]

    def _retriever(self, learned: InteractionIndex) -> Retriever:
        # What the catalogue says of an item today it may not have said before anybody had it: a price, if it comes
        # from sales, would tell which items are going to be sold.
        unsold = learned.popularity.counts == 0
        items = self.catalog.items.without_price(unsold) if unsold.any() and not unsold.all() else self.catalog.items
        return Retriever(replace(self.catalog, items=items), learned, self.spec)

    def _found(
        self, retriever: Retriever, questions: Sequence[ChannelQuery], asks: Sequence[TrainingQuery]
    ) -> list[Candidates]:
        """Candidates of each ask: what was shown where that is known, else what is retrieved."""
        shown = {i: ask.shown.rows[: self.spec.candidates] for i, ask in enumerate(asks) if ask.shown is not None}
        others = [i for i in range(len(asks)) if i not in shown]
        described = retriever.describe([questions[i] for i in shown], list(shown.values())) if shown else []
        retrieved = retriever.retrieve([questions[i] for i in others], [self.spec.candidates] * len(others))
        found = dict(zip([*shown, *others], [*described, *retrieved], strict=True))
        return [found[i] for i in range(len(asks))]

    def questions(self, asks: Sequence[TrainingQuery]) -> list[ChannelQuery]:
        """The asks as channels see them."""
        queries = sorted({ask.query for ask in asks if ask.query})
        vector = dict(zip(queries, self.embed(queries), strict=True)) if queries else {}
        nothing = np.zeros(self.spec.embedding_dim, np.float32)
        return [
            ChannelQuery(
                normalise(a.query),
                vector.get(a.query, nothing),
                a.seen,
                a.now,
                allowed=self._not_seen(a.seen) if a.kind == "discover" else None,
                context=a.places,
            )
            for a in asks
        ]

    def _not_seen(self, seen: History) -> Mask:
        allowed = np.ones(len(self.catalog.items), np.bool_)
        allowed[seen.rows] = False
        return allowed


def window_asks(
    log: Interactions, relevance: Relevance, start: float, end: float, count: int, seed: int
) -> list[TrainingQuery]:
    """Asks of one time window: searches with a user, a third as many without, and recommendations.

    Args:
        log: The whole log; only what lies before `start` is seen by the asks.
        relevance: What counts as relevant where the log has no queries.
        start: First moment of the window, epoch seconds.
        end: First moment after it.
        count: How many (user, query) pairs to draw at most; their users each ask twice for a recommendation, once
            for anything and once for what is new to them.
        seed: Of the draw.

    Returns:
        The asks.
    """
    past, inside = snapshot_before(log, start), (log.timestamp >= start) & (log.timestamp < end)
    done = pd.DataFrame(
        {
            "user": log.user[inside],
            "item": log.item[inside],
            "bought": log.event[inside] == PURCHASE,
            "query": relevance.queries(log.item[inside], np.random.default_rng(seed)),
            "logged": log.query[inside] >= 0,
        }
    )
    logged = log.query[inside]
    done.loc[logged >= 0, "query"] = np.asarray([*log.queries, ""], object)[logged[logged >= 0]]
    under_query = done[done["logged"]].groupby("query")["item"].unique()
    has_purchases = bool((log.event == PURCHASE).any())
    pairs = done[["user", "query"]].drop_duplicates()
    pairs = pairs.sample(min(count, len(pairs)), random_state=seed)
    of_user = dict(iter(done[done["user"].isin(pairs["user"])].groupby("user")))

    def ask(kind: Kind, query: str, user: int, relevant: NDArray[np.int32] | None, had: pd.DataFrame) -> TrainingQuery:
        clicked = had["item"].to_numpy(np.int32)
        purchased = had["item"][had["bought"]].to_numpy(np.int32) if has_purchases else None
        known = kind != "query"
        seen, places = (past.at(user), past.places(user)) if known else (History.empty(), {})
        return TrainingQuery(kind, query, seen, start, relevant, clicked, purchased, places)

    def searches() -> Iterator[TrainingQuery]:
        for number, (user, query) in enumerate(pairs.itertuples(index=False)):
            if not query:
                continue
            mine, taken = of_user[user], under_query.get(query)
            if taken is None:
                # The query was made up: all that the user then had of what it means answers it.
                relevant = relevance.of(query)
                here = mine[mine["item"].isin(relevant)]
            else:
                relevant, here = np.asarray(taken, np.int32), mine[mine["query"] == query]
            yield ask("both", query, int(user), relevant, here)
            if number % 3 == 0:
                yield ask("query", query, int(user), relevant, here)

    def recommendations() -> Iterator[TrainingQuery]:
        for user in pairs["user"].unique():
            yield ask("user", "", int(user), None, of_user[user])
            fresh = of_user[user][~of_user[user]["item"].isin(past.at(int(user)).rows)]
            yield ask("discover", "", int(user), None, fresh)

    return [*searches(), *recommendations()]


def snapshot_before(log: Interactions, moment: float) -> HistorySnapshot:
    """Every user's history as it was before a moment, epoch seconds."""
    before = log.timestamp < moment
    user_ids = np.asarray([user.encode() for user in log.user_ids], "S")
    places = {kind: (codes[before], names) for kind, (codes, names) in log.places.items()}
    return HistorySnapshot.of_log(user_ids, log.user[before], log.item[before], log.timestamp[before], places)


def catalog_asks(items: Items, relevance: Relevance, count: int, seed: int) -> list[TrainingQuery]:
    """Asks for a shop without a log: relevance alone is there to be learned."""
    draw = np.random.default_rng(seed)
    rows = draw.permutation(len(items))[:count].astype(np.int32)
    queries = [str(query) for query in relevance.queries(rows, draw)]
    return [TrainingQuery("query", q, History.empty(), 0.0, relevance.of(q), None, None) for q in queries if q]
