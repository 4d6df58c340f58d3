"""A retriever over channels by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_ensemble.candidates.retriever import Retriever
from fuserank_ensemble.catalog.filters import Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.retrieval.index import CatalogIndex, InteractionIndex
from fuserank_ensemble.retrieval.lexical.index import LexicalIndex
from fuserank_ensemble.spec import GraphSpec
from support.fake_channel import DIM, ITEMS


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """The words of the items: their rows."""
    folder = tmp_path_factory.mktemp("words") / "lexical"
    LexicalIndex.write(folder, [{"title": f"item {row}"} for row in range(ITEMS)], {"title": 1.0}, {})
    return LexicalIndex.open(folder)


@pytest.fixture
def made(monkeypatch, words):
    """A retriever over channels by hand."""

    def make(*channels, weights=None, **settings):
        monkeypatch.setattr("fuserank_ensemble.candidates.retriever.open_channels", lambda *_: list(channels))
        every = dict.fromkeys((channel.declaration.name for channel in channels), 1.0) if weights is None else weights
        spec = GraphSpec(
            embedding_dim=DIM, channel_weights=dict.fromkeys(("query", "both", "user", "similar"), every), **settings
        )
        ids = np.asarray([b"%02d" % row for row in range(ITEMS)])
        items = Items(ids, np.arange(ITEMS, dtype=np.int32), Columns(ITEMS, {}))
        vectors = np.zeros((ITEMS, DIM), np.float16)
        vectors[:, 0] = np.linspace(0, 1, ITEMS)
        return Retriever(CatalogIndex(items, vectors, None, words), InteractionIndex(Popularity.empty(ITEMS)), spec)

    return make
