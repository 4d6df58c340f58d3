"""The knowledge graph holds what catalogue and log say, and its vectors recover who is bought with whom."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_ensemble.catalog.filters import Column, Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY, History
from fuserank_ensemble.retrieval.channel import ChannelQuery
from fuserank_ensemble.retrieval.channels.graph import GraphChannel
from fuserank_ensemble.retrieval.graph.index import GraphIndex
from fuserank_ensemble.retrieval.vectors.cpu import FaissSearch
from fuserank_export.learning.graph import train
from fuserank_export.learning.graph.knowledge import knowledge_graph
from fuserank_export.learning.graph.train import train_graph

pytestmark = pytest.mark.usefixtures("one_thread")

DAY = int(SECONDS_PER_DAY)
NOW = 1_000 * DAY
NOBODY = (np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int64), 0, float(NOW))


def codes(values):
    words = sorted({value for value in values if value is not None})
    return np.asarray([-1 if v is None else words.index(v) for v in values], np.int32), words


def catalogue(count, **fields):
    columns = {}
    for name, values in fields.items():
        if name == "tags":
            owners = np.repeat(np.arange(count, dtype=np.int32), [len(v) for v in values])
            columns[name] = Column("keywords", *codes([tag for v in values for tag in v]), owners)
        else:
            columns[name] = Column("category" if name == "category" else "keyword", *codes(values))
    columns["price"] = Column("number", np.ones(count))
    ids = np.asarray([b"%05d" % i for i in range(count)], "S")
    return Items(ids, np.arange(count, dtype=np.int32), Columns(count, columns))


SHELF = catalogue(
    4,
    brand=["Acme", "Acme", None, "北山"],
    category=["Food > Dairy", "Food > Dairy > Milk", None, "Food"],
    tags=[["new", "new"], [], ["vegan", "new"], ["vegan"]],
    article=["a", "b", "c", "d"],
)
TITLES = ["Acme milk", "Milk", "Acme北山 drink", "🍎"]
LOG = (
    np.asarray([0, 0, 0, 1], np.int32),
    np.asarray([1, 1, 2, 2], np.int32),
    NOW - np.asarray([0, 9, 900, -5]) * DAY,
)


@pytest.fixture(scope="module")
def shelf():
    return knowledge_graph(SHELF, TITLES, *LOG, 3, float(NOW))


def edges(graph, name):
    relation = next(r for r in graph.relations if r.name == name)

    def label(kind, position):
        return graph.entities.names[position] if kind == "entity" else int(position)

    pairs = zip(relation.sources, relation.targets, strict=True)
    return sorted((label(relation.source, s), label(relation.target, t)) for s, t in pairs)


def test_every_relation_of_the_catalogue_is_there_once(shelf):
    assert edges(shelf, "has_brand") == [(0, "Acme"), (1, "Acme"), (3, "北山")]
    assert edges(shelf, "in_category") == [(0, "Food > Dairy"), (1, "Food > Dairy > Milk"), (3, "Food")]
    assert edges(shelf, "is_part_of") == [("Food > Dairy", "Food"), ("Food > Dairy > Milk", "Food > Dairy")]
    assert edges(shelf, "has_tags") == [(0, "new"), (2, "new"), (2, "vegan"), (3, "vegan")]
    assert sum(shelf.edge_counts().values()) == sum(len(r) for r in shelf.relations)


def test_titles_mention_what_the_fields_leave_out(shelf):
    assert edges(shelf, "mentions") == [(0, "Food > Dairy > Milk"), (2, "Acme"), (2, "北山")]


def test_a_field_with_a_value_of_its_own_for_every_item_makes_no_entities(shelf):
    assert "article" not in shelf.entities.kinds
    assert "has_article" not in shelf.edge_counts()


def test_events_become_one_weighted_edge_a_pair(shelf):
    relation = next(r for r in shelf.relations if r.name == "interacted")
    assert list(zip(relation.sources, relation.targets, strict=True)) == [(0, 1), (0, 2), (1, 2)]
    twice_lately, once_long_ago, once_in_the_future = relation.weights
    assert twice_lately > once_in_the_future > once_long_ago > 0


def test_only_so_many_pairs_take_part_and_the_weightiest_do(monkeypatch):
    monkeypatch.setattr("fuserank_export.learning.graph.knowledge.MAX_PAIRS", 2)
    graph = knowledge_graph(SHELF, TITLES, *LOG, 3, float(NOW))
    assert edges(graph, "interacted") == [(0, 1), (1, 2)]


CLUBS, PER_CLUB, BUYERS = 6, 30, 20


@pytest.fixture(scope="module")
def world():
    """Six clubs whose members buy within their club, a catalogue that does not tell, two items that nobody buys."""
    draw = np.random.default_rng(4)
    count = CLUBS * PER_CLUB + 2
    user = np.repeat(np.arange(CLUBS * BUYERS, dtype=np.int32), 12)
    item = (user % CLUBS * PER_CLUB + draw.integers(0, PER_CLUB, len(user))).astype(np.int32)
    when = NOW - draw.integers(0, 100, len(user)) * DAY
    shape = [f"shape {i % 5}" for i in range(count - 2)]
    # The last but one has an entity and no buyer, the last has neither.
    items = catalogue(count, shape=[*shape, "shape 1", None])
    return knowledge_graph(items, [""] * count, user, item, when, CLUBS * BUYERS, float(NOW))


@pytest.fixture(scope="module")
def trained(world):
    return train_graph(world, dim=32, seed=1)


def test_items_bought_together_end_up_nearer_than_others(trained):
    bought = trained.items[: CLUBS * PER_CLUB].astype(np.float32)
    bought = bought / np.linalg.norm(bought, axis=1, keepdims=True)
    club = np.arange(len(bought)) // PER_CLUB
    similar, same = bought @ bought.T, club[:, None] == club[None]
    other = ~np.eye(len(bought), dtype=bool)
    assert similar[same & other].mean() > similar[~same].mean() + 0.2
    nearest = np.argsort(-np.where(other, similar, -np.inf), 1)[:, :10]
    assert (club[nearest] == club[:, None]).mean() > 0.8


def test_a_user_new_since_training_gets_items_of_their_club_at_once(trained):
    channel = GraphChannel(trained.index, FaissSearch(trained.items), 1_000)
    for club in range(CLUBS):
        seen = History.from_rows([club * PER_CLUB], NOW - 1)
        (ranked,) = channel.search([ChannelQuery("", np.zeros(4, np.float32), seen, float(NOW))], 10)
        assert (ranked.rows // PER_CLUB == club).mean() >= 0.8


def test_a_node_without_edges_has_zeros_and_all_are_finite(trained):
    assert not trained.items[-1].any()
    assert trained.items[-2].any()
    for vectors in (trained.items, trained.entities, trained.index.centroids):
        assert np.isfinite(vectors.astype(np.float32)).all()


def test_shapes_report_and_folder(trained, world, tmp_path):
    assert trained.items.shape == (CLUBS * PER_CLUB + 2, 32)
    assert trained.entities.shape == trained.index.centroids.shape == (5, 32)
    assert trained.items.dtype == trained.entities.dtype == np.float32
    report = trained.report.to_dict()
    assert report["edges"] == world.edge_counts()
    assert report["loss"][1] < report["loss"][0]
    trained.save(tmp_path / "graph")
    opened = GraphIndex.open(tmp_path / "graph")
    assert np.array_equal(opened.items, trained.items)
    assert sorted(opened.members_of(1).tolist()) == [*range(1, CLUBS * PER_CLUB, 5), CLUBS * PER_CLUB]


def test_the_same_seed_gives_the_same_vectors_and_another_gives_others(world, trained):
    assert np.array_equal(train_graph(world, dim=32, seed=1).items, trained.items)
    assert not np.array_equal(train_graph(world, dim=32, seed=2).items, trained.items)


def test_progress_counts_every_step(world):
    steps = []
    train_graph(world, dim=8, advanced=lambda step, total: steps.append((step, total)))
    assert steps == [(i + 1, train.STEPS) for i in range(train.STEPS)]


def test_without_a_log_the_catalogue_alone_is_learned():
    count = 200
    kind = [f"kind {i % 4}" for i in range(count)]
    graph = knowledge_graph(catalogue(count, kind=kind), [""] * count, *NOBODY)
    vectors = train_graph(graph, dim=16)
    scores = vectors.items.astype(np.float32) @ vectors.entities.astype(np.float32).T
    assert (scores.argmax(1) == np.arange(count) % 4).mean() > 0.95


def test_a_new_item_lies_nearer_to_its_siblings_than_others_do():
    count = 200
    graph = knowledge_graph(catalogue(count, kind=[f"kind {i % 4}" for i in range(count)]), [""] * count, *NOBODY)
    index = train_graph(graph, dim=16).index
    new = index.neighbours_vector(index.names.link_record({"title": "", "kind": "kind 2"}))
    similar = index.items.astype(np.float32) @ new
    assert set(np.argsort(-similar)[:30] % 4) == {2}


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("entities", [False, True])
@pytest.mark.parametrize("logged", [False, True])
def test_next_to_nothing_is_enough_and_all_is_finite(count, entities, logged):
    fields = {"brand": ["Acme"] * count} if entities else {}
    log = NOBODY
    if logged and count:
        log = (np.zeros(1, np.int32), np.zeros(1, np.int32), np.full(1, NOW, np.int64), 1, float(NOW))
    graph = knowledge_graph(catalogue(count, **fields), ["Acme \x00🍎" * 500] * count, *log)
    vectors = train_graph(graph, dim=8)
    assert vectors.items.shape == (count, 8)
    assert vectors.entities.shape == (len(graph.entities), 8)
    assert np.isfinite(vectors.items.astype(np.float32)).all()
    assert np.isfinite(vectors.report.loss).all()
