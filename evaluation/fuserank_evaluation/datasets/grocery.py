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

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.retrieval.index import CatalogIndex, InteractionIndex
from fuserank_evaluation.datasets.cases import (
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
from fuserank_evaluation.datasets.past import PastLog
from fuserank_evaluation.ranking.entrant import DEPTH
from fuserank_evaluation.ranking.retrieved import Retrieved
from fuserank_export.index.shop import Shop
from fuserank_export.learning.interactions import learn
from fuserank_export.sources import read_interactions
from fuserank_export.sources.interactions import Interactions
from fuserank_export.training.cases.builder import CaseBuilder, Embed

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

    def learned(self, moment: float) -> InteractionIndex:
        """What the channels know by a moment. Kept for the next run: a bundle's id stands for what it is of."""
        kept = KEPT / f"{self.bundle.id}-{int(moment)}"
        if not kept.exists():
            KEPT.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=KEPT) as folder:
                made = Path(folder) / "learned"
                made.mkdir()
                learn(made, self.log, self.shop, moment, SEED)
                made.rename(kept)
        return InteractionIndex.open(kept, "cpu")

    def retrieved(self, learned: InteractionIndex, moment: float, advanced: Advanced) -> Retrieved:
        """Finds candidates for cases of a moment."""
        return Retrieved(self.builder(moment), learned, DEPTH, advanced)

    def _items_at(self, moment: float) -> Items:
        """The catalogue without the prices of items that nobody had bought yet.

        A price of this catalogue is what was paid over the whole year: that an item has one although nobody has bought
        it yet says that somebody will.
        """
        sold = np.bincount(self.log.item[self.log.timestamp < moment], minlength=len(self.bundle.items))
        return self.bundle.items.without_price(sold == 0)

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
