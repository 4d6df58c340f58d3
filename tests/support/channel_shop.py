"""A shop made by code for the channels' tests: twenty kinds of items, regulars with tastes, and items nobody had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.filters import Column, Columns, Mask
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY, History
from fuserank_ensemble.retrieval.channel import Channel, ChannelQuery, LocalChannel
from fuserank_ensemble.retrieval.channels.dense import DenseChannel
from fuserank_ensemble.retrieval.channels.registry import CHANNEL_CLASSES
from fuserank_ensemble.retrieval.index import CatalogIndex, InteractionIndex, RetrievalIndex
from fuserank_ensemble.retrieval.vectors.build import build_index
from fuserank_ensemble.retrieval.vectors.gpu import TorchSearch
from fuserank_ensemble.retrieval.vectors.items import ItemVectorSearch

NOW = 1_700_000_000
DIM = 16
KINDS = (
    "milk", "cheese", "yogurt", "butter", "cream", "bread", "baguette", "cookies", "coffee", "juice",
    "绿茶", "红茶", "soap", "towels", "candle", "pasta", "rice", "honey", "salad", "café crème",
)  # fmt: skip
STYLES = (
    "whole", "fresh", "organic", "golden", "salted", "smoked", "sweet", "little", "northern", "有机",
    "family", "dark", "plain", "spicy", "frozen", "crunchy", "mild", "rustic", "vintage", "🥛 farm",
)  # fmt: skip
BRANDS = ("Acme", "Zenith", "北山", "Old Mill")
USERS, EVENTS_EACH = 60, 40
NEWEST = 17  # an item that came three days ago and that nobody had


@dataclass(frozen=True)
class Shop:
    """A catalogue and what was learned from its log, indexed as an export does it.

    Attributes:
        catalog: What is searched.
        interactions: What was learned from the log.
        folder: Where the indexes lie.
        kind: Position in `KINDS` of each item, `[items]`.
    """

    catalog: CatalogIndex
    interactions: InteractionIndex
    folder: Path
    kind: NDArray[np.int64]

    @property
    def items(self) -> Items:
        return self.catalog.items

    @cached_property
    def centres(self) -> NDArray[np.float32]:
        """The mean text vector of each kind, L2-normalised: what a query for the kind is embedded as."""
        vectors = self.catalog.vectors[self.items.text].astype(np.float32)
        means = np.stack([vectors[self.kind == kind].mean(0) for kind in np.unique(self.kind)])
        return means / np.linalg.norm(means, axis=1, keepdims=True)

    @property
    def index(self) -> RetrievalIndex:
        return RetrievalIndex(self.catalog, self.interactions, len(self.catalog.vectors))

    def dense(self) -> DenseChannel:
        return DenseChannel.open(self.index)

    def channel_query(
        self,
        query: str = "",
        seen: History | None = None,
        allowed: Mask | None = None,
        condition: dict[str, Any] | None = None,
        pool_size: int = 400,
    ) -> ChannelQuery:
        """A request as the retriever hands it to channels: with a query, candidate channels have a pool."""
        embedding = np.zeros(DIM, np.float32)
        if query:
            named = [kind for kind, name in enumerate(KINDS) if name in query and kind < len(self.centres)]
            embedding = self.centres[named[-1] if named else 0]
        request = ChannelQuery(
            query, embedding, History.empty() if seen is None else seen, float(NOW), allowed, condition, {"store": "s1"}
        )
        if not query:
            return request
        pool = self.dense().search([replace(request, allowed=None)], pool_size)[0].rows
        return replace(request, pool=pool if allowed is None else pool[allowed[pool]])

    def of_kind(self, name: str) -> NDArray[np.int64]:
        return np.flatnonzero(self.kind == KINDS.index(name))


def history(rows: Any, ages: Any = 1, counts: Any = 1) -> History:
    """Events with items, `ages` seconds before `NOW`; read-only, as a request's message and a mapped file are."""
    rows, ages, counts = np.broadcast_arrays(np.asarray(rows, np.int32), ages, counts)
    order = np.argsort(rows)
    events = counts[order].astype(np.float32)
    arrays = rows[order].astype(np.int32), events, (NOW - ages[order]).astype(np.int64), events.copy()
    for array in arrays:
        array.flags.writeable = False
    return History(*arrays)


def make_shop(folder: Path, items: int = 1_000, texts: int = 400, seed: int = 3) -> Shop:
    """Builds a shop in a folder; a tenth of its items came in the last three months and had no event."""
    from fuserank_ensemble.retrieval.lexical.index import LexicalIndex
    from fuserank_export.index.shop import Shop as LearnedShop
    from fuserank_export.index.units import unit_table
    from fuserank_export.learning.interactions import learn

    draw = np.random.default_rng(seed)
    text = np.concatenate([np.arange(texts), draw.integers(0, texts, items - texts)])
    text = draw.permutation(text).astype(np.int32)
    kind = text % len(KINDS)
    titles = [f"{STYLES[row // len(KINDS) % len(STYLES)]} {KINDS[row % len(KINDS)]}" for row in text]
    brand = draw.integers(-1, len(BRANDS), items).astype(np.int32)
    paths = sorted(f"All > {name}" for name in KINDS)
    category = np.asarray([paths.index(f"All > {name}") for name in KINDS], np.int32)[kind]
    columns = {
        "category": Column("category", category, paths),
        "brand": Column("keyword", brand, sorted(BRANDS)),
        "half": Column("number", (np.arange(items) % 2).astype(np.float64)),
    }
    created = np.full(items, np.nan)
    new = np.arange(7, items, 10)
    created[new] = NOW - SECONDS_PER_DAY * draw.integers(4, 130, len(new))
    if items > NEWEST:
        created[NEWEST] = NOW - 3 * SECONDS_PER_DAY
    ids = np.asarray([b"i%04d" % number for number in range(items)])
    catalogue = Items(ids, text, Columns(items, columns))

    centres = draw.normal(size=(len(KINDS), DIM))
    vectors = centres[np.arange(texts) % len(KINDS)] + 0.5 * draw.normal(size=(texts, DIM))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    np.save(folder / "vectors.npy", vectors)
    build_index(vectors, folder / "vectors.faiss")
    records = [
        {"item_id": ids[row].decode(), "title": titles[row], "brand": sorted(BRANDS)[brand[row]]}
        if brand[row] >= 0
        else {"item_id": ids[row].decode(), "title": titles[row]}
        for row in range(items)
    ]
    LexicalIndex.write(folder / "lexical", records, {"title": 3.0, "brand": 1.5}, unit_table())
    log = _log(draw, kind, np.flatnonzero(np.isnan(created)))
    interactions, _ = learn(folder, log, LearnedShop(catalogue, titles, created), NOW, seed)
    return Shop(CatalogIndex.open(folder, catalogue, "cpu"), interactions, folder, kind)


def _log(draw: np.random.Generator, kind: NDArray[Any], had: NDArray[np.int64]) -> Any:
    """Users who stay with three kinds each, for half a year."""
    from fuserank_export.sources.interactions import Interactions

    user, item = [], []
    for number in range(USERS if len(had) else 0):
        kinds = draw.choice(len(KINDS), 3, replace=False)
        own = had[np.isin(kind[had], kinds)]
        own = draw.choice(own, min(12, len(own)), replace=False) if len(own) else had
        user += [number] * EVENTS_EACH
        item += draw.choice(own, EVENTS_EACH).tolist()
    timestamp = np.sort(NOW - draw.integers(1, 180 * SECONDS_PER_DAY, len(user)))
    order = draw.permutation(len(user))
    return replace(
        Interactions.empty(),
        user=np.asarray(user, np.int32)[order],
        item=np.asarray(item, np.int32)[order],
        event=np.zeros(len(user), np.uint8),
        timestamp=timestamp.astype(np.int64),
        value=np.full(len(user), np.nan, np.float32),
        query=np.full(len(user), -1, np.int32),
        user_ids=[f"u{number:02}" for number in range(USERS)],
        places={"store": (draw.integers(-1, 3, len(user)).astype(np.int32), ["s0", "s1", "s2"])},
    )


def _torch(shop: Shop) -> DenseChannel:
    search = TorchSearch(shop.catalog.vectors, "cpu")
    return DenseChannel(ItemVectorSearch(search, shop.items, shop.interactions.popularity, len(shop.catalog.vectors)))


def _milvus(shop: Shop) -> Channel:
    import pytest

    pytest.importorskip("pymilvus", reason="pymilvus is an optional extra")
    pytest.importorskip("milvus_lite", reason="milvus-lite is for tests")
    from fuserank_ensemble.retrieval.milvus.dense import MilvusDenseChannel
    from fuserank_export.milvus.collection import fill_collection

    uri = str(shop.folder / "milvus.db")
    if not Path(uri).exists():
        # The embedded Milvus searches only a part of any other index, and then a filter comes short.
        fill_collection(uri, "", "shop", shop.items, shop.catalog.vectors, index="FLAT")
    return MilvusDenseChannel(uri, "", "shop", shop.items.columns.kinds, timeout_s=30.0, connect_timeout_s=30.0)


def _open(channel: type[LocalChannel]) -> Callable[[Shop], Channel]:
    def opened(shop: Shop) -> Channel:
        opened = channel.open(shop.index)
        assert opened is not None
        return opened

    return opened


# Every registered channel, and the other engines of the dense one.
CHANNELS: dict[str, Callable[[Shop], Channel]] = {
    **{channel.declaration.name: _open(channel) for channel in CHANNEL_CLASSES},
    "dense-torch": _torch,
    "dense-milvus": _milvus,
}
