"""Shops made by code with any of the columns and any size of log, whose items are of kinds that nothing names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fuserank_ensemble.candidates.retriever import Retriever
from fuserank_ensemble.catalog.filters import Column, Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY, History
from fuserank_ensemble.retrieval.channel import ChannelQuery
from fuserank_ensemble.retrieval.index import CatalogIndex
from fuserank_ensemble.retrieval.lexical.index import LexicalIndex
from fuserank_ensemble.retrieval.vectors.build import build_index
from fuserank_ensemble.spec import GraphSpec

NOW = 1_700_000_000
DIM = 12
KINDS = ("kettle", "ladder", "pillow", "rucksack", "violin")  # sorted, as a column's words are
BRANDS = ("Kisu", "Orla", "Vento")
LOYALTY = 0.8  # of a user's events that are with one kind


@dataclass(frozen=True)
class ShopPlan:
    """What a made shop has.

    Attributes:
        kinds: How many kinds of items.
        of_kind: How many items of each.
        brand_share: Share of the items that have a brand, which says nothing of their kind; 0 for no such column.
        category_share: Share of the items that have a category, which is their kind; 0 for no such column.
        dated: Whether it is known when items came.
        events: How many events the log has.
        grouped: Whether items of a kind stand together in the catalogue.
        seed: Of all that is drawn.
    """

    kinds: int = 4
    of_kind: int = 6
    brand_share: float = 0.0
    category_share: float = 0.0
    dated: bool = False
    events: int = 0
    grouped: bool = True
    seed: int = 0


@dataclass(frozen=True)
class MadeShop:
    """A made shop, and what retrieves from it.

    Attributes:
        retriever: Over its catalogue and log.
        kind: Position in `KINDS` of each item, int64 `[items]`.
        vectors: Each item's text vector, float32 `[items, dim]`.
        centres: Each kind's, float32 `[kinds, dim]`.
        brand: Each item's brand, -1 for none, int32 `[items]`.
        category: Each item's category, -1 for none, int32 `[items]`.
        users: Each event's user, int32 `[events]`.
        had: Each event's item row, int32 `[events]`.
    """

    retriever: Retriever
    kind: NDArray[np.int64]
    vectors: NDArray[np.float32]
    centres: NDArray[np.float32]
    brand: NDArray[np.int32]
    category: NDArray[np.int32]
    users: NDArray[np.int32]
    had: NDArray[np.int32]

    def anchored(self, row: int) -> ChannelQuery:
        """A request with one item as the history, which is not to be returned."""
        allowed = np.ones(len(self.kind), np.bool_)
        allowed[row] = False
        return ChannelQuery("", np.zeros(DIM, np.float32), History.from_rows([row], NOW), float(NOW), allowed)

    def search(self, kind: int) -> ChannelQuery:
        """A search for a kind by its name."""
        return ChannelQuery(KINDS[kind], self.centres[kind], History.empty(), float(NOW))

    def are_related(self, first: int, second: int) -> bool:
        """Whether two items have a brand, a category or users in common, by way of two other items at most."""
        if any(codes[first] == codes[second] >= 0 for codes in (self.brand, self.category)):
            return True
        if self.kind[first] == self.kind[second] and (self.category >= 0).any():
            return True  # a title names a category that other items have
        return bool(np.isin(self._had_with(self._had_with([first])), self._had_with([second])).any())

    def _had_with(self, items: ArrayLike) -> NDArray[np.int32]:
        """What users had who had any of some items, these among it."""
        had: NDArray[np.int32] = self.had[np.isin(self.users, self.users[np.isin(self.had, items)])]
        return had


def make_shop(plan: ShopPlan, folder: Path) -> MadeShop:
    """Builds a shop in an empty folder, as an export does but without a ranker."""
    from fuserank_export.index.shop import Shop
    from fuserank_export.index.units import unit_table
    from fuserank_export.learning.interactions import learn

    draw = np.random.default_rng(plan.seed)
    count = plan.kinds * plan.of_kind
    kind = np.repeat(np.arange(plan.kinds), plan.of_kind)
    if not plan.grouped:
        kind = draw.permutation(kind)
    centres = np.linalg.qr(draw.normal(size=(DIM, DIM)))[0][: plan.kinds]
    vectors = centres[kind] + 0.12 * draw.normal(size=(count, DIM))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    np.save(folder / "vectors.npy", vectors)
    build_index(vectors, folder / "vectors.faiss")
    titles = [f"{KINDS[kind[row]]} model {row}" for row in range(count)]
    brand = np.where(draw.random(count) < plan.brand_share, draw.integers(0, len(BRANDS), count), -1).astype(np.int32)
    category = np.where(draw.random(count) < plan.category_share, kind, -1).astype(np.int32)
    columns = {}
    if (brand >= 0).any():
        columns["brand"] = Column("keyword", brand, list(BRANDS))
    if (category >= 0).any():
        columns["category"] = Column("category", category, [f"Ware > {name}" for name in KINDS[: plan.kinds]])
    items = Items(
        np.asarray([b"i%03d" % row for row in range(count)]),
        np.arange(count, dtype=np.int32),
        Columns(count, columns),
    )
    LexicalIndex.write(folder / "lexical", [{"title": title} for title in titles], {"title": 3.0}, unit_table())
    created = np.full(count, np.nan)
    if plan.dated:
        created = NOW - SECONDS_PER_DAY * draw.uniform(1, 80, count)
    users, had, log = _log(plan, kind, draw)
    interactions, _ = learn(folder, log, Shop(items, titles, created), NOW, plan.seed)
    spec = GraphSpec(embedding_dim=DIM)
    retriever = Retriever(CatalogIndex.open(folder, items, "cpu"), interactions, spec)
    return MadeShop(
        retriever, kind, vectors.astype(np.float32), centres.astype(np.float32), brand, category, users, had
    )


def _log(plan, kind, draw):
    """Events of users who stay with one kind most of the time, twelve each."""
    from fuserank_export.sources.interactions import Interactions

    users = np.arange(plan.events, dtype=np.int32) // 12
    favourite = draw.integers(0, plan.kinds, int(users.max(initial=0)) + 1)
    loyal = draw.random(plan.events) < LOYALTY
    had = np.asarray(
        [
            draw.choice(np.flatnonzero(kind == favourite[user]) if stays else len(kind))
            for user, stays in zip(users, loyal, strict=True)
        ],
        np.int32,
    )
    timestamp = np.sort(NOW - draw.integers(1, 90 * SECONDS_PER_DAY, plan.events)).astype(np.int64)
    log = replace(
        Interactions.empty(),
        user=users,
        item=had,
        event=np.zeros(plan.events, np.uint8),
        timestamp=timestamp,
        value=np.full(plan.events, np.nan, np.float32),
        query=np.full(plan.events, -1, np.int32),
        user_ids=[f"u{user:03}" for user in range(len(favourite) if plan.events else 0)],
    )
    return users, had, log
