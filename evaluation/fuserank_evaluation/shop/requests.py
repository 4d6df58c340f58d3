"""The requests that methods are asked, and their answers over all windows of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.filters import CATEGORY_SEPARATOR
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.history import History
from fuserank_evaluation.datasets.cases import (
    NOBODY,
    SEED,
    RankingCases,
    Rows,
    logged_searches,
    recommendation_cases,
    search_cases,
)
from fuserank_evaluation.datasets.judged import JudgedQueries
from fuserank_evaluation.metrics.measures import MEASURES, Values, measure, measure_judged
from fuserank_evaluation.metrics.significance import Comparison, compare
from fuserank_evaluation.ranking.method import RankingMethod
from fuserank_evaluation.ranking.results import MAIN
from fuserank_evaluation.shop.inputs import relevant_rows
from fuserank_evaluation.shop.methods import PRODUCT
from fuserank_export.sources.interactions import Interactions
from fuserank_export.training.cases.synthetic import SyntheticQueries, catalog_queries

SHOWN_MEASURES = ("ndcg_at_10", "hit_at_10", "recall_at_100", "mrr")
HEAD_SHARE = 0.5  # of the events, that the head of the catalogue has
MADE_UP_SEED = SEED + 1  # other queries than those that a ranker of such a shop was trained on


@dataclass(frozen=True)
class SetName:
    """What a set of requests is called on the page.

    Attributes:
        name: In sentences, tables and plots.
        asked: What is asked, and what answers it.
    """

    name: str
    asked: str


SETS: Mapping[str, SetName] = {
    "judged": SetName("judged searches", "queries of which people judged the answers"),
    "search": SetName("searches", "answered by what the user then took under the same query"),
    "category_search": SetName(
        "searches for categories",
        "made up, since the log has no queries: the name of a category, answered by what the user then took of it",
    ),
    "made_up": SetName(
        "made-up searches", "words of titles and categories: they show that search works, not that people like it"
    ),
    "recommendation": SetName("recommendations", "answered by all that the user took in the window"),
    "discovery": SetName("recommendations of what is new", "answered by what the user took and had never had"),
}


@dataclass
class RequestSet:
    """Requests of one kind from all windows with every method's answers; each list has an entry a request.

    Attributes:
        name: A key of `SETS`.
        queries: Texts, empty for a recommendation.
        known: Whether the user had events before.
        relevant: Item rows of right answers.
        head: Which items had most of the events before, bool `[items]`.
        windows: The window's number, 0 the latest.
        retrieved: What retrieval found, best fused first.
        ranked: The answers by method; of methods that answered all requests alone.
        values: Measures by method.
    """

    name: str
    queries: list[str] = field(default_factory=list)
    known: list[bool] = field(default_factory=list)
    relevant: list[Rows] = field(default_factory=list)
    head: list[NDArray[np.bool_]] = field(default_factory=list)
    windows: list[int] = field(default_factory=list)
    retrieved: list[Rows] = field(default_factory=list)
    ranked: dict[str, list[Rows]] = field(default_factory=dict)
    values: dict[str, dict[str, Values]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.queries)

    @property
    def is_search(self) -> bool:
        """Whether the requests have queries."""
        return any(self.queries)

    def add(
        self,
        cases: RankingCases,
        methods: Sequence[RankingMethod],
        retrieved: Sequence[Rows],
        *,
        window: int,
        head: NDArray[np.bool_],
        judged: JudgedQueries | None = None,
    ) -> None:
        """Asks the methods one window's requests; one that cannot answer them is left out of the whole set.

        Args:
            cases: The requests.
            methods: The methods.
            retrieved: See the attribute.
            window: The window's number.
            head: See the attribute, of this window.
            judged: Grades of the cases' queries in their order; None where what is relevant is equally so.
        """
        answers = {method.name: ranked for method in methods if (ranked := method.rank(cases)) is not None}
        kept = answers if not len(self) else {name: answers[name] for name in self.ranked if name in answers}
        wanted = {name: MEASURES[name] for name in SHOWN_MEASURES}
        before = {name: self.values[name] for name in kept if name in self.values}
        self.ranked = {name: [*self.ranked.get(name, []), *kept[name]] for name in kept}
        self.values = {}
        for name, ranked in kept.items():
            if judged is None:
                own = measure(ranked, cases.relevant, wanted)
            else:
                own = measure_judged(judged, [[str(row) for row in rows] for rows in ranked], wanted)
            past = before.get(name, {})
            self.values[name] = {key: np.concatenate([past.get(key, np.empty(0)), own[key]]) for key in own}
        count = len(cases)
        self.queries += cases.queries
        self.known += [len(history) > 0 for history in cases.seen]
        self.relevant += cases.relevant
        self.retrieved += list(retrieved)
        self.head += [head] * count
        self.windows += [window] * count

    def mean(self, method: str, measure_name: str = MAIN) -> float:
        """A measure's mean over the requests."""
        return float(self.values[method][measure_name].mean())

    @property
    def best_baseline(self) -> str | None:
        """The best method beside the product, by nDCG@10; None where there is no other."""
        others = [method for method in self.values if method != PRODUCT]
        return max(others, key=self.mean) if others else None

    def against(self, method: str, kept: NDArray[np.bool_] | None = None) -> Comparison | None:
        """Compares the product's nDCG@10 with a method's, on some of the requests; None for fewer than two."""
        where = np.ones(len(self), np.bool_) if kept is None else kept
        ours, theirs = self.values[PRODUCT][MAIN][where], self.values[method][MAIN][where]
        return compare(ours, theirs, SEED) if len(ours) > 1 else None


def log_cases(log: Interactions, items: Items, cut: float, count: int) -> list[RankingCases]:
    """The requests of one window.

    Args:
        log: The log up to the window's end.
        items: The catalogue.
        cut: Start of the window, epoch seconds.
        count: How many requests of each set at most.
    """
    if log.has_queries:
        search = logged_searches(log, cut, count, SEED)
    else:
        search = search_cases(log, category_names(items), cut, count, SEED)
        search = replace(search, name="category_search")
    recommendation = _drawn(recommendation_cases(log, cut, known_only=False), count)
    known = [i for i, seen in enumerate(recommendation.seen) if len(seen)]
    discovery = replace(recommendation.part(known).new_to_user(items), name="discovery")
    return [cases for cases in (search, recommendation, discovery) if len(cases)]


def judged_cases(judged: JudgedQueries) -> RankingCases:
    """The judged queries, asked by nobody in particular."""
    return _anonymous("judged", list(judged.queries.values()), relevant_rows(judged))


def made_up_cases(items: Items, titles: Sequence[str], count: int) -> RankingCases:
    """Queries made from the catalogue, for a shop where nobody asked any."""
    synthetic = SyntheticQueries(items, titles, MADE_UP_SEED)
    drawn = catalog_queries(items, synthetic, count, MADE_UP_SEED)
    kept = {query.query: query.relevant for query in drawn if query.relevant is not None and len(query.relevant)}
    return _anonymous("made_up", list(kept), list(kept.values()))


def category_names(items: Items) -> NDArray[np.object_]:
    """The name of each item's lowest category in lower case, None where it has none, `[items]`."""
    paths = items.columns.by_name["category"].words if items.categories else []
    names = np.asarray([path.rsplit(CATEGORY_SEPARATOR, 1)[-1].lower() for path in paths] + [None], object)
    chosen: NDArray[np.object_] = names[items.category]
    return chosen


def popular_head(popularity: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which items are the most popular ones that together have half of the events, bool `[items]`."""
    order = np.argsort(-popularity, kind="stable")
    before = np.cumsum(popularity[order]) - popularity[order]
    head = np.zeros(len(popularity), np.bool_)
    head[order[(before < HEAD_SHARE * popularity.sum()) & (popularity[order] > 0)]] = True
    return head


def _anonymous(name: str, queries: list[str], relevant: list[Rows]) -> RankingCases:
    count = len(queries)
    users = np.full(count, NOBODY, np.int32)
    nothing: list[dict[str, Any]] = [{}] * count
    return RankingCases(name, users, queries, [History.empty()] * count, nothing, nothing, relevant, 0.0)


def _drawn(cases: RankingCases, count: int) -> RankingCases:
    """At most `count` of the cases, drawn by the seed."""
    drawn = np.random.default_rng(SEED).permutation(len(cases))[:count]
    return cases.part(sorted(drawn.tolist()))
