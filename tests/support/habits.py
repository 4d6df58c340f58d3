"""A log of habits to train and tune on: thirty users who come back for three items each, of ninety."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from fuserank_ensemble.catalog.filters import Column, Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.events import EVENTS
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY
from fuserank_ensemble.retrieval.index import CatalogIndex, InteractionIndex
from fuserank_ensemble.retrieval.lexical.index import LexicalIndex
from fuserank_ensemble.retrieval.vectors.cpu import FaissSearch
from fuserank_ensemble.spec import GraphSpec
from fuserank_ensemble.understanding.query import UnderstoodQuery
from fuserank_export.index.shop import Shop
from fuserank_export.learning.interactions import popularity_before
from fuserank_export.sources.interactions import Interactions
from fuserank_export.training.cases.builder import CaseBuilder
from fuserank_export.training.cases.cases import Cases
from fuserank_export.training.cases.synthetic import SyntheticQueries
from fuserank_export.training.cases.window import window_queries

COUNT, USERS, DIM, DAYS = 90, 30, 16, 300
LEAVES = ["Milk", "Tea", "Soap"]
QUERIES = ["milk", "tea", "soap"]
VIEW, PURCHASE = EVENTS.index("view"), EVENTS.index("purchase")
START = 1_600_000_000
SPEC = GraphSpec(embedding_dim=DIM, candidate_buckets=(32, 64), candidates=32)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


DRAW = np.random.default_rng(4)
CENTRES = unit(DRAW.normal(size=(len(LEAVES), DIM)))
LEAF = np.arange(COUNT) % len(LEAVES)
VECTORS = unit(CENTRES[LEAF] + 0.2 * DRAW.normal(size=(COUNT, DIM))).astype(np.float16)
TITLES = [f"{LEAVES[leaf]} number {i}" for i, leaf in enumerate(LEAF)]
ITEMS = Items(
    np.asarray([b"%02d" % i for i in range(COUNT)]),
    np.arange(COUNT, dtype=np.int32),
    Columns(
        COUNT,
        {
            "price": Column("number", np.where(np.arange(COUNT) % 9, DRAW.uniform(1, 9, COUNT), np.nan)),
            "category": Column("category", LEAF.astype(np.int32), [f"All > {leaf}" for leaf in LEAVES]),
        },
    ),
)


def embed(queries):
    """A text lies where the words of its categories lie."""
    named = [[leaf for leaf, query in enumerate(QUERIES) if query in text] for text in queries]
    return unit(np.stack([CENTRES[leaves].sum(0) if leaves else np.ones(DIM) for leaves in named])).astype(np.float32)


SHOP = Shop(ITEMS, TITLES, np.full(COUNT, np.nan))


def case_builder(folder):
    """Makes cases; the index of words is written into the folder."""
    LexicalIndex.write(folder, [{"title": title} for title in TITLES], {"title": 1.0}, {})
    catalog = CatalogIndex(ITEMS, VECTORS, FaissSearch(VECTORS), LexicalIndex.open(folder))
    return CaseBuilder(catalog, SPEC, embed, UnderstoodQuery.plain)


def knowing(log):
    """What the channels know by a moment; here what counting alone teaches."""
    return lambda moment: InteractionIndex(popularity_before(log, SHOP, moment))


def log_of(columns):
    order = np.argsort(columns["timestamp"], kind="stable")
    return replace(
        Interactions.empty(),
        user=np.asarray(columns["user"], np.int32)[order],
        item=np.asarray(columns["item"], np.int32)[order],
        event=np.asarray(columns["event"], np.uint8)[order],
        timestamp=np.asarray(columns["timestamp"], np.int64)[order],
        value=np.full(len(order), np.nan, np.float32),
        query=np.asarray(columns["query"], np.int32)[order],
        user_ids=[f"u{u:02}" for u in range(USERS)],
        queries=QUERIES,
    )


def habits():
    """Every four days each user buys one of three own items, and everybody looks at some best-sellers."""
    draw = np.random.default_rng(8)
    own = np.stack([draw.choice(COUNT, 3, replace=False) for _ in range(USERS)])
    events = []
    for day in range(0, DAYS, 4):
        for user in range(USERS):
            item = int(own[user, draw.integers(3)])
            at = START + day * SECONDS_PER_DAY + draw.integers(0, SECONDS_PER_DAY)
            events.append((user, item, PURCHASE, at, int(LEAF[item])))
            events.append((user, int(draw.integers(0, 8)), VIEW, at + 60, -1))
            events.append((user, int(draw.integers(0, COUNT)), VIEW, at + 120, -1))
    return log_of(dict(zip(("user", "item", "event", "timestamp", "query"), zip(*events, strict=True), strict=True)))


LOG = habits()
WINDOW = 28 * SECONDS_PER_DAY
FROM = float(LOG.timestamp[-1]) + 1 - 2 * WINDOW


def altered(log, which, seed=0):
    """The same users, queries and moments, but other items."""
    draw = np.random.default_rng(seed)
    item = log.item.copy()
    item[which] = draw.integers(0, COUNT, int(which.sum()))
    return replace(log, item=item)


def all_logged(log):
    return replace(log, query=np.where(log.query < 0, 0, log.query).astype(np.int32))


def few(count):
    return replace(
        LOG,
        **{n: getattr(LOG, n)[-count:] for n in ("user", "item", "event", "timestamp", "value", "query")},
    )


SYNTHETIC = SyntheticQueries(ITEMS, TITLES, 1)


def window_cases(log, builder):
    """Training queries of the window from `FROM` on, and their cases.

    A query that was not logged is the category of the item, and so changes with it: only logged ones compare.
    """
    queries = [
        query
        for query in window_queries(log, SYNTHETIC, FROM, FROM + WINDOW, count=40, seed=1)
        if not query.query or query.query in QUERIES
    ]
    return queries, builder.build(queries, knowing(log)(FROM))


def assert_same(cases, others, but=()):
    """Every array of the two sets of cases is equal."""
    for field in fields(Cases):
        if field.name not in but:
            np.testing.assert_array_equal(getattr(cases, field.name), getattr(others, field.name), err_msg=field.name)
