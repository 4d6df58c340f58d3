"""Of a large graph a part is trained; the other items lie where their trained neighbours say."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_ensemble.catalog.filters import Column, Columns
from fuserank_ensemble.catalog.items import Items

pytest.importorskip("torch")

from fuserank_export.learning.graph import core
from fuserank_export.learning.graph.core import core_of
from fuserank_export.learning.graph.knowledge import knowledge_graph
from fuserank_export.learning.graph.train import train_graph

pytestmark = pytest.mark.usefixtures("one_thread")

CLUBS, PER_CLUB, BUYERS, DAY, NOW = 4, 60, 40, 86_400, 1_700_000_000
COUNT = CLUBS * PER_CLUB
CLUB = np.arange(COUNT) // PER_CLUB
MAKERS = 8  # of each club; the last is of one item that nobody buys


@pytest.fixture(scope="module")
def graph():
    """Clubs whose members buy within their club, some items far more than others; makers are of one club each."""
    draw = np.random.default_rng(4)
    user = np.repeat(np.arange(CLUBS * BUYERS, dtype=np.int32), 16)
    place = np.minimum((PER_CLUB - 1) * draw.random(len(user)) ** 2, PER_CLUB - 2).astype(np.int32)
    item = (user % CLUBS * PER_CLUB + place).astype(np.int32)
    of_club = np.where(np.arange(COUNT) % PER_CLUB == PER_CLUB - 1, MAKERS - 1, np.arange(COUNT) % (MAKERS - 1))
    names = [f"maker {club} {maker}" for club in range(CLUBS) for maker in range(MAKERS)]
    column = Column("keyword", (CLUB * MAKERS + of_club).astype(np.int32), names)
    items = Items(
        np.asarray([f"i{row:03d}".encode() for row in range(COUNT)]),
        np.arange(COUNT, dtype=np.int32),
        Columns(COUNT, {"maker": column}),
    )
    when = np.full(len(user), NOW - DAY, np.int64)
    return knowledge_graph(items, [""] * COUNT, user, item, when, CLUBS * BUYERS, float(NOW))


@pytest.fixture
def small_core(monkeypatch):
    monkeypatch.setattr(core, "CORE_NODES", CLUBS * MAKERS + 160)


def test_a_small_graph_is_trained_as_a_whole(graph):
    assert core_of(graph).graph is graph
    assert train_graph(graph, dim=16).report.trained == COUNT + CLUBS * BUYERS + CLUBS * MAKERS


def test_of_a_large_one_what_was_had_most_is(graph, small_core):
    part = core_of(graph)
    assert (len(part.items), len(part.users), len(part.graph.entities)) == (120, 40, CLUBS * MAKERS)
    bought = np.bincount(core.interactions_of(graph).targets, minlength=COUNT)
    assert bought[part.items].mean() > 2 * bought[np.setdiff1d(np.arange(COUNT), part.items)].mean()
    for relation in part.graph.relations:
        sizes = {"item": len(part.items), "user": len(part.users), "entity": CLUBS * MAKERS}
        assert relation.sources.max(initial=0) < sizes[relation.source]
        assert relation.targets.max(initial=0) < sizes[relation.target]


def test_items_that_were_not_trained_lie_by_their_club(graph, small_core):
    trained = train_graph(graph, dim=16, seed=1)
    others = np.setdiff1d(np.arange(COUNT), core_of(graph).items)
    assert trained.report.trained == CLUBS * MAKERS + 160
    unit = trained.items / np.linalg.norm(trained.items, axis=1, keepdims=True)
    similar = unit[others] @ unit.T
    similar[np.arange(len(others)), others] = -np.inf
    nearest = np.argsort(-similar, 1)[:, :10]
    right = (CLUB[nearest] == CLUB[others][:, None]).mean()
    print(f"of the nearest ten of an untrained item {right:.2f} are of its club, by chance {1 / CLUBS:.2f}")
    assert right > 0.8


def test_the_trained_items_have_the_vectors_that_were_trained(graph, small_core):
    whole, part = train_graph(graph, dim=16, seed=1), core_of(graph)
    alone = train_graph(part.graph, dim=16, seed=1)
    assert np.array_equal(whole.items[part.items], alone.items)


def test_a_maker_of_no_trained_item_is_where_its_items_are(graph, small_core):
    trained = train_graph(graph, dim=16, seed=1)
    for club in range(CLUBS):
        entity = graph.entities.names.index(f"maker {club} {MAKERS - 1}")
        item = club * PER_CLUB + PER_CLUB - 1
        assert np.allclose(trained.entities[entity], trained.items[item], atol=1e-6)
