"""Complete Journey's groceries: the cases of its last 28 days, and what may be learned from the time before."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.retrieval.index import CatalogIndex, InteractionIndex
from fuserank_evaluation.datasets.cases import (
    NEW_ITEM_CASES,
    SEARCH_CASES,
    SEED,
    RankingCases,
    last_window,
    new_item_cases,
    recommendation_cases,
    search_cases,
)
from fuserank_evaluation.datasets.past import PastLog
from fuserank_export.index.shop import Shop, bundle_records
from fuserank_export.learning.interactions import learn
from fuserank_export.sources import read_interactions
from fuserank_export.sources.interactions import Interactions
from fuserank_export.training.cases.builder import CaseBuilder, Embed

INDEX_CACHE = Path("build/eval/interactions")


@dataclass(frozen=True)
class CaseSets:
    """The sets of cases of one window.

    Attributes:
        search: (household, product type) pairs, answered by what the household bought of the type.
        new_user: The same without the household's history: the query alone.
        user_only: The same without the query.
        recommendation: Every household that came again, answered by all that it bought.
        recommendation_new: The same, answered by products of which the household had never bought any package.
        new_item: Searches answered by items that nobody had bought before.
    """

    search: RankingCases
    new_user: RankingCases
    user_only: RankingCases
    recommendation: RankingCases
    recommendation_new: RankingCases
    new_item: RankingCases


@dataclass(frozen=True)
class Grocery:
    """The shop, its log, and the moment that separates training from evaluation.

    Attributes:
        bundle: Catalogue, encoder and spec.
        log: The whole log.
        cut: Start of the evaluated window, epoch seconds.
        embed: Embeds queries.
    """

    bundle: Bundle
    log: Interactions
    cut: float
    embed: Embed

    @classmethod
    def open(cls, bundle: Bundle, shop: Path, embed: Embed) -> Grocery:
        """Reads the log; the evaluated window is its last one."""
        log = read_interactions(shop / "interactions.parquet", [id_.decode() for id_ in bundle.items.ids])
        return cls(bundle, log, last_window(log), embed)

    @cached_property
    def known_log(self) -> Interactions:
        """The events before the cut, which are all that training may see."""
        return self.log.as_of(self.cut)

    @cached_property
    def past(self) -> PastLog:
        """The events before the cut, as baselines learn from them."""
        return PastLog.before(self.log, self.cut, len(self.bundle.items))

    @cached_property
    def shop(self) -> Shop:
        """The part of the catalogue that training needs."""
        size = len(self.bundle.items)
        return Shop(self._items_at(self.cut), [record["title"] for record in self._records], np.full(size, np.nan))

    @cached_property
    def case_sets(self) -> CaseSets:
        """All sets of cases."""
        search = search_cases(self.log, self.product_types, self.cut, SEARCH_CASES, SEED)
        recommendation = recommendation_cases(self.log, self.cut)
        return CaseSets(
            search,
            search.without_history(),
            search.without_query(),
            recommendation,
            recommendation.new_to_user(self.bundle.items),
            new_item_cases(self.log, self.product_types, self.cut, NEW_ITEM_CASES, SEED),
        )

    @cached_property
    def product_types(self) -> NDArray[np.object_]:
        """Each item's product type, None where unknown, `[items]`."""
        return np.asarray([record.get("product_type") for record in self._records], object)

    def case_builder(self, moment: float) -> CaseBuilder:
        """Builds cases as of a moment, epoch seconds."""
        catalog = self.bundle.catalog("cpu")
        items = self._items_at(moment)
        return CaseBuilder(
            CatalogIndex(items, catalog.vectors, catalog.texts, catalog.lexical),
            self.bundle.spec,
            self.embed,
            self.bundle.query_parser.parse,
        )

    def interaction_index(self, moment: float) -> InteractionIndex:
        """What the channels learn from the events before a moment; kept for the next run under the bundle's id."""
        kept = INDEX_CACHE / f"{self.bundle.id}-{int(moment)}"
        if not kept.exists():
            INDEX_CACHE.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=INDEX_CACHE) as folder:
                index = Path(folder) / "index"
                index.mkdir()
                learn(index, self.log, self.shop, moment, SEED)
                index.rename(kept)
        return InteractionIndex.open(kept, "cpu")

    def _items_at(self, moment: float) -> Items:
        """The catalogue without the prices of items that nobody had bought yet.

        A price of this catalogue is what was paid over the whole year: an item that has one although nobody has
        bought it yet is an item that will be bought.
        """
        sold = np.bincount(self.log.item[self.log.timestamp < moment], minlength=len(self.bundle.items))
        return self.bundle.items.without_values(["price"], sold == 0)

    @cached_property
    def _records(self) -> list[dict[str, Any]]:
        return list(bundle_records(self.bundle))
