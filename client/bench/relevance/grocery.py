"""Complete Journey as a test of ranking: its last 28 days, and what every entrant may know of the time before."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.bundle import Bundle
from ensemble.retrieval.index import CatalogIndex, Learned
from ensemble.retrieval.items import Items
from export.learning import Shop, learn, popularity_before
from export.sources import read_interactions
from export.sources.interactions import Interactions
from export.training.cases import CaseBuilder, Embed
from relevance.baselines.lightgbm import Lists, kind_of_cases
from relevance.cases import (
    DAY,
    NEW_ITEM_CASES,
    SEARCH_CASES,
    SEED,
    WINDOW_DAYS,
    RankingCases,
    last_window,
    new_item_cases,
    recommendation_cases,
    search_cases,
)
from relevance.entrant import DEPTH
from relevance.past import PastLog
from relevance.retrieved import Retrieved

WINDOW = float(WINDOW_DAYS * DAY)
KEPT = Path("build/eval/learned")
Advanced = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Sets:
    """The sets of cases of one window.

    Attributes:
        search: (household, product type) pairs; right is what the household bought of the type.
        new_user: The same without the household's history: the query alone.
        user_only: The same without the query.
        recommendation: Every household that came again; right is all that it bought.
        recommendation_new: What of that it had never bought before.
        new_item: Searches whose right answers nobody had bought before.
    """

    search: RankingCases
    new_user: RankingCases
    user_only: RankingCases
    recommendation: RankingCases
    recommendation_new: RankingCases
    new_item: RankingCases


@dataclass(frozen=True)
class Grocery:
    """The shop, its log, and the moment that parts what is known from what is asked.

    Attributes:
        bundle: Catalogue, encoder and spec.
        log: The whole log.
        cut: Where its last 28 days begin, epoch seconds.
        embed: Embeds queries.
    """

    bundle: Bundle
    log: Interactions
    cut: float
    embed: Embed

    @classmethod
    def open(cls, bundle: Bundle, shop: Path, embed: Embed) -> Grocery:
        """Reads the log."""
        log = read_interactions(shop / "interactions.parquet", [id_.decode() for id_ in bundle.items.ids])
        return cls(bundle, log, last_window(log), embed)

    @cached_property
    def known_log(self) -> Interactions:
        """What of the log lies before the cut: all that training may see."""
        return before(self.log, self.cut)

    @cached_property
    def past(self) -> PastLog:
        """The same for baselines."""
        return PastLog.before(self.log, self.cut, len(self.bundle.items))

    @cached_property
    def shop(self) -> Shop:
        """The part of the catalogue that learning needs."""
        size = len(self.bundle.items)
        return Shop(self._items_at(self.cut), [record["title"] for record in self._records], np.full(size, np.nan))

    @cached_property
    def sets(self) -> Sets:
        """All sets of cases."""
        search = search_cases(self.log, self.types, self.cut, SEARCH_CASES, SEED)
        recommendation = recommendation_cases(self.log, self.cut)
        return Sets(
            search,
            search.without_history(),
            search.without_query(),
            recommendation,
            recommendation.new_to_user(),
            new_item_cases(self.log, self.types, self.cut, NEW_ITEM_CASES, SEED),
        )

    @cached_property
    def types(self) -> NDArray[np.object_]:
        """Each item's product type, None where unknown, `[items]`."""
        return np.asarray([record.get("product_type") for record in self._records], object)

    def builder(self, moment: float) -> CaseBuilder:
        """Makes cases of a moment."""
        catalog = self.bundle.catalog("cpu")
        items = self._items_at(moment)
        return CaseBuilder(
            CatalogIndex(items, catalog.vectors, catalog.texts, catalog.lexical), self.bundle.spec, self.embed
        )

    def learned(self, moment: float) -> Learned:
        """What the channels know by a moment. Kept for the next run: a bundle's id stands for what it is of."""
        kept = KEPT / f"{self.bundle.id}-{int(moment)}"
        if not kept.exists():
            KEPT.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=KEPT) as folder:
                made = Path(folder) / "learned"
                made.mkdir()
                learn(made, self.log, self.shop, moment, SEED)
                made.rename(kept)
        return Learned.open(kept, "cpu")

    def retrieved(self, learned: Learned, moment: float, advanced: Advanced) -> Retrieved:
        """Finds candidates for cases of a moment."""
        return Retrieved(self.builder(moment), learned, DEPTH, advanced)

    def training(self, windows: int, cases: int, candidates: int, advanced: Advanced) -> dict[str, Lists]:
        """Candidates to learn from by kind of request, from the windows that end where the test's begins.

        Args:
            windows: How many windows of 28 days.
            cases: Searches to draw from each at most, as the test's are drawn.
            candidates: How many of each case are learned from.
            advanced: See `Retrieved`.
        """
        parts: dict[str, list[Lists]] = {}
        first = self.cut - windows * WINDOW
        # Vectors are learned once, before the first window, as the export does it; counts are each window's own.
        known = self.learned(first)
        for i in range(windows):
            start = first + i * WINDOW
            seen = before(self.log, start + WINDOW)
            learned = replace(known, popularity=popularity_before(self.log, self.shop, start))
            retrieved = Retrieved(self.builder(start), learned, candidates, advanced)
            search = search_cases(seen, self.types, start, cases, SEED + 1 + i)
            everybody = recommendation_cases(seen, start)
            for each in (search, search.without_history(), everybody, everybody.new_to_user()):
                lists = Lists.of(retrieved.of(each).candidates, each.relevant)
                parts.setdefault(kind_of_cases(each), []).append(lists)
        return {kind: Lists.joined(lists) for kind, lists in parts.items()}

    def _items_at(self, moment: float) -> Items:
        known = np.bincount(self.log.item[self.log.timestamp < moment], minlength=len(self.bundle.items)) > 0
        return priced(self.bundle.items, known)

    @cached_property
    def _records(self) -> list[dict[str, Any]]:
        return [json.loads(self.bundle.records.raw(row)) for row in range(len(self.bundle.items))]


def before(log: Interactions, moment: float) -> Interactions:
    """The events before a moment; users, queries and places keep their rows."""
    kept = log.timestamp < moment
    return replace(
        log,
        **{name: getattr(log, name)[kept] for name in ("user", "item", "event", "timestamp", "value", "query")},
        places={name: (codes[kept], names) for name, (codes, names) in log.places.items()},
    )


def priced(items: Items, known: NDArray[np.bool_]) -> Items:
    """The catalogue with the prices of known items alone, bool `[items]`.

    A price of this catalogue is what was paid over the whole year: that an item has one although nobody has bought it
    yet says that somebody will.
    """
    column = items.columns.by_name.get("price")
    if column is None:
        return items
    prices = replace(column, values=np.where(known, column.values, np.nan).astype(column.values.dtype))
    columns = replace(items.columns, by_name={**items.columns.by_name, "price": prices})
    return Items(items.ids, items.text, columns)
