"""Training cases from the log: what a request at the start of a time window saw, and what its user then did.

A case's candidates and features come from the same retriever that serves, on the log as it stood before the
window. Nothing of the window itself reaches a feature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ensemble.contract import HEADS
from ensemble.features import FEATURES
from ensemble.filters import CATEGORY_SEPARATOR
from ensemble.history import History, HistorySnapshot
from ensemble.retrieval.channel import Question
from ensemble.retrieval.index import CatalogIndex, Learned
from ensemble.retrieval.items import Items
from ensemble.retrieval.retriever import Retriever
from ensemble.spec import GraphSpec
from ensemble.text import normalise
from export.sources.interactions import EVENTS, Interactions

Kind = Literal["query", "user", "both"]
Embed = Callable[[Sequence[str]], NDArray[np.float32]]
PURCHASE = EVENTS.index("purchase")


@dataclass(frozen=True)
class Cases:
    """Requests with their candidates.

    Attributes:
        kinds: What each request held, `[cases]`.
        features: float32 `[cases, K, F]`, NaN where missing.
        labels: 1, 0, or NaN where a head has no label, float32 `[cases, K, H]`.
        present: Which candidates are real, bool `[cases, K]`.
    """

    kinds: NDArray[np.str_]
    features: NDArray[np.float32]
    labels: NDArray[np.float32]
    present: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.kinds)

    @classmethod
    def joined(cls, parts: Sequence[Cases]) -> Cases:
        """Puts several sets of cases together."""
        return cls(
            np.concatenate([p.kinds for p in parts]),
            np.concatenate([p.features for p in parts]),
            np.concatenate([p.labels for p in parts]),
            np.concatenate([p.present for p in parts]),
        )


@dataclass(frozen=True)
class Ask:
    """A request to learn from, and the right answers.

    Attributes:
        kind: What it holds.
        query: Text, empty for `user`.
        seen: The history at that time.
        now: The time, epoch seconds.
        relevant: Item rows relevant to the query; None where unknown.
        clicked: Item rows the user then touched; None where unknown.
        purchased: Item rows the user then bought; None where unknown.
    """

    kind: Kind
    query: str
    seen: History
    now: float
    relevant: NDArray[np.int32] | None
    clicked: NDArray[np.int32] | None
    purchased: NDArray[np.int32] | None


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

    def build(
        self, asks: Sequence[Ask], learned: Learned, advanced: Callable[[int], None] = lambda count: None
    ) -> Cases:
        """Retrieves and featurises; `advanced` is called with the number of asks done."""
        retriever = Retriever(self.catalog, learned, self.spec)
        everything = self.questions(asks)
        size = self.spec.candidates
        features = np.full((len(asks), size, len(FEATURES)), np.nan, np.float32)
        labels = np.full((len(asks), size, len(HEADS)), np.nan, np.float32)
        present = np.zeros((len(asks), size), np.bool_)
        for start in range(0, len(asks), 64):
            part = asks[start : start + 64]
            found_of_part = retriever.retrieve(everything[start : start + 64], [size] * len(part))
            for i, found in enumerate(found_of_part, start):
                count = len(found.rows)
                features[i, :count], present[i, :count] = found.features, True
                ask = asks[i]
                for head, right in enumerate((ask.relevant, ask.clicked, ask.purchased)):
                    if right is not None:
                        labels[i, :count, head] = np.isin(found.rows, right)
            advanced(len(part))
        return Cases(np.asarray([a.kind for a in asks]), features, labels, present)

    def questions(self, asks: Sequence[Ask]) -> list[Question]:
        """The asks as channels see them."""
        queries = sorted({ask.query for ask in asks if ask.query})
        vector = dict(zip(queries, self.embed(queries), strict=True)) if queries else {}
        nothing = np.zeros(self.spec.embedding_dim, np.float32)
        return [Question(normalise(a.query), vector.get(a.query, nothing), a.seen, a.now) for a in asks]


def window_asks(log: Interactions, relevance: Relevance, start: float, end: float, count: int, seed: int) -> list[Ask]:
    """Asks of one time window, each as a search with a user, a search without, and a recommendation.

    Args:
        log: The whole log; only what lies before `start` is seen by the asks.
        relevance: What counts as relevant where the log has no queries.
        start: First moment of the window, epoch seconds.
        end: First moment after it.
        count: How many (user, query) pairs to draw at most.
        seed: Of the draw.

    Returns:
        The asks.
    """
    before, inside = log.timestamp < start, (log.timestamp >= start) & (log.timestamp < end)
    user_ids = np.asarray([user.encode() for user in log.user_ids], "S")
    past = HistorySnapshot.of_log(user_ids, log.user[before], log.item[before], log.timestamp[before])
    done = pd.DataFrame(
        {
            "user": log.user[inside],
            "item": log.item[inside],
            "bought": log.event[inside] == PURCHASE,
            "query": relevance.queries(log.item[inside], np.random.default_rng(seed)),
        }
    )
    logged = log.query[inside]
    done.loc[logged >= 0, "query"] = np.asarray([*log.queries, ""], object)[logged[logged >= 0]]
    under_query = done[logged >= 0].groupby("query")["item"].unique()
    has_purchases = bool((log.event == PURCHASE).any())
    pairs = done[["user", "query"]].drop_duplicates()
    pairs = pairs.sample(min(count, len(pairs)), random_state=seed)
    of_user = dict(iter(done.merge(pairs[["user"]].drop_duplicates(), on="user").groupby("user")))

    def asks() -> Iterator[Ask]:
        for user, query in pairs.itertuples(index=False):
            mine = of_user[user]
            seen = past.at(int(user))
            here = mine[mine["query"] == query]
            yield _ask("user", "", seen, start, None, mine, has_purchases)
            if query:
                taken = under_query.get(query)
                relevant = relevance.of(query) if taken is None else np.asarray(taken, np.int32)
                yield _ask("both", query, seen, start, relevant, here, has_purchases)
                yield _ask("query", query, History.empty(), start, relevant, here, has_purchases)

    return list(asks())


def _ask(
    kind: Kind,
    query: str,
    seen: History,
    now: float,
    relevant: NDArray[np.int32] | None,
    done: pd.DataFrame,
    has_purchases: bool,
) -> Ask:
    clicked = done["item"].to_numpy(np.int32)
    purchased = done["item"][done["bought"]].to_numpy(np.int32) if has_purchases else None
    return Ask(kind, query, seen, now, relevant, clicked, purchased)


def catalog_asks(items: Items, relevance: Relevance, count: int, seed: int) -> list[Ask]:
    """Asks for a shop without a log: relevance alone is there to be learned."""
    draw = np.random.default_rng(seed)
    rows = draw.permutation(len(items))[:count].astype(np.int32)
    queries = [str(query) for query in relevance.queries(rows, draw)]
    return [Ask("query", q, History.empty(), 0.0, relevance.of(q), None, None) for q in queries if q]
