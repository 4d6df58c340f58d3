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
from ensemble.retrieval.dense import TextSearch
from ensemble.retrieval.items import Items, Popularity
from ensemble.retrieval.retriever import Retriever
from ensemble.spec import GraphSpec
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
    """What counts as relevant to a query: what users took under it or, without queries, the category it names."""

    def __init__(self, items: Items) -> None:
        words = items.columns.by_name["category"].words if items.categories else []
        leaves = np.asarray([word.rsplit(CATEGORY_SEPARATOR, 1)[-1].lower() for word in words] or [""], object)
        self.leaf = np.where(items.category >= 0, leaves[items.category], "")
        self._rows_of = pd.Series(np.arange(len(items), dtype=np.int32)).groupby(self.leaf).indices

    def of_leaf(self, leaf: str) -> NDArray[np.int32]:
        """Items of a category leaf."""
        return np.asarray(self._rows_of.get(leaf, ()), np.int32)


class CaseBuilder:
    """Turns asks into cases, with one retriever for all asks of one moment."""

    def __init__(self, items: Items, texts: TextSearch, spec: GraphSpec, embed: Embed) -> None:
        self._items, self._texts, self._spec, self._embed = items, texts, spec, embed

    def build(
        self, asks: Sequence[Ask], popularity: Popularity, advanced: Callable[[int], None] = lambda count: None
    ) -> Cases:
        """Retrieves and featurises; `advanced` is called with the number of asks done."""
        retriever = Retriever(self._items, popularity, self._texts, self._spec)
        queries = sorted({ask.query for ask in asks if ask.query})
        vector = dict(zip(queries, self._embed(queries), strict=True)) if queries else {}
        nothing = np.zeros(self._spec.embedding_dim, np.float32)
        size = self._spec.candidates
        features = np.full((len(asks), size, len(FEATURES)), np.nan, np.float32)
        labels = np.full((len(asks), size, len(HEADS)), np.nan, np.float32)
        present = np.zeros((len(asks), size), np.bool_)
        for start in range(0, len(asks), 64):
            part = asks[start : start + 64]
            questions = [Question(bool(a.query), vector.get(a.query, nothing), a.seen, a.now) for a in part]
            for i, found in enumerate(retriever.retrieve(questions, [size] * len(part)), start):
                count = len(found.rows)
                features[i, :count], present[i, :count] = found.features, True
                ask = asks[i]
                for head, right in enumerate((ask.relevant, ask.clicked, ask.purchased)):
                    if right is not None:
                        labels[i, :count, head] = np.isin(found.rows, right)
            advanced(len(part))
        return Cases(np.asarray([a.kind for a in asks]), features, labels, present)


def window_asks(
    log: Interactions, items: Items, relevance: Relevance, start: float, end: float, count: int, seed: int
) -> tuple[list[Ask], Popularity]:
    """Asks of one time window, each as a search with a user, a search without, and a recommendation.

    Args:
        log: The whole log; only what lies before `start` is seen by the asks.
        items: The catalogue.
        relevance: What counts as relevant where the log has no queries.
        start: First moment of the window, epoch seconds.
        end: First moment after it.
        count: How many (user, query) pairs to draw at most.
        seed: Of the draw.

    Returns:
        The asks, and the popularity as of `start`.
    """
    before, inside = log.timestamp < start, (log.timestamp >= start) & (log.timestamp < end)
    user_ids = np.asarray([user.encode() for user in log.user_ids], "S")
    past = HistorySnapshot.of_log(user_ids, log.user[before], log.item[before], log.timestamp[before])
    popularity = Popularity.of_log(log.item[before], log.timestamp[before], len(items), start)
    done = pd.DataFrame(
        {
            "user": log.user[inside],
            "item": log.item[inside],
            "bought": log.event[inside] == PURCHASE,
            "logged": log.query[inside],
            "leaf": relevance.leaf[log.item[inside]],
        }
    )
    queries = np.asarray([*log.queries, ""], object)
    done["query"] = np.where(done["logged"] >= 0, queries[done["logged"]], done["leaf"])
    under_query = done[done["logged"] >= 0].groupby("query")["item"].unique()
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
                relevant = under_query.get(query)
                relevant = relevance.of_leaf(query) if relevant is None else np.asarray(relevant, np.int32)
                yield _ask("both", query, seen, start, relevant, here, has_purchases)
                yield _ask("query", query, History.empty(), start, relevant, here, has_purchases)

    return list(asks()), popularity


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


def catalog_asks(items: Items, titles: Sequence[str], relevance: Relevance, count: int, seed: int) -> list[Ask]:
    """Asks for a shop without a log: the words of titles, and the names of categories."""
    draw = np.random.default_rng(seed)
    rows = draw.permutation(len(items))[:count]
    by_title = pd.Series(np.arange(len(items), dtype=np.int32)).groupby(np.asarray(titles, object)).indices
    asks = []
    for row in rows:
        leaf = str(relevance.leaf[row])
        if leaf and draw.random() < 0.5:
            query, relevant = leaf, relevance.of_leaf(leaf)
        else:
            # Some words of a title, in its order; a title without spaces (Chinese) gives a run of characters.
            words = titles[row].split() if " " in titles[row] else list(titles[row])
            kept = words[: max(1, int(draw.integers(1, len(words) + 1)))]
            query = (" " if " " in titles[row] else "").join(kept).lower()[:100]
            relevant = np.asarray(by_title[titles[row]], np.int32)
        asks.append(Ask("query", query, History.empty(), 0.0, relevant, None, None))
    return asks
