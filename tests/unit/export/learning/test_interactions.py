"""What the channels learn comes from the past alone, and is written as serving opens it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fuserank_ensemble.catalog.filters import Column, Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY, History
from fuserank_ensemble.retrieval.channel import ChannelQuery
from fuserank_ensemble.retrieval.channels.collaborative import CollaborativeChannel
from fuserank_ensemble.retrieval.channels.trending import TrendingChannel
from fuserank_ensemble.retrieval.index import InteractionIndex
from fuserank_export.index.shop import Shop
from fuserank_export.learning.interactions import learn, popularity_before
from fuserank_export.sources.interactions import Interactions

pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")

START, DAYS = 1_600_000_000, 100
END = float(START + 60 * SECONDS_PER_DAY)
COUNT, USERS, EVENTS = 80, 20, 1_200
KIND = np.arange(COUNT) % 4


def shop(count=COUNT, created=None):
    column = Column("category", (np.arange(count) % 4).astype(np.int32), ["Bread", "Milk", "Soap", "Tea"])
    ids = np.asarray([b"%03d" % row for row in range(count)])
    items = Items(ids, np.arange(count, dtype=np.int32), Columns(count, {"category": column}))
    return Shop(items, [f"thing {row}" for row in range(count)], np.full(count, np.nan) if created is None else created)


def log_of(user, item, timestamp, places=None):
    return replace(
        Interactions.empty(),
        user=np.asarray(user, np.int32),
        item=np.asarray(item, np.int32),
        event=np.zeros(len(user), np.uint8),
        timestamp=np.asarray(timestamp, np.int64),
        value=np.full(len(user), np.nan, np.float32),
        query=np.full(len(user), -1, np.int32),
        user_ids=[f"u{number:02}" for number in range(USERS)],
        places=places or {},
    )


def tastes(seed=5):
    """Every user stays with the items of one kind; the last four items are not had by anybody."""
    draw = np.random.default_rng(seed)
    user = draw.integers(0, USERS, EVENTS)
    item = draw.integers(0, COUNT // 4 - 1, EVENTS) * 4 + user % 4
    stores = draw.integers(-1, 2, EVENTS).astype(np.int32)
    times = np.sort(START + draw.integers(0, DAYS * SECONDS_PER_DAY, EVENTS))
    return log_of(user, item, times, {"store": (stores, ["s0", "s1"])})


LOG = tastes()
LATER = LOG.timestamp >= END


def later_changed():
    """The same log but for all that happened from `END` on."""
    draw = np.random.default_rng(9)
    changes = {
        "item": np.where(LATER, draw.integers(0, COUNT, EVENTS), LOG.item).astype(np.int32),
        "user": np.where(LATER, draw.integers(0, USERS, EVENTS), LOG.user).astype(np.int32),
        "timestamp": np.where(LATER, np.sort(LOG.timestamp + int(7 * SECONDS_PER_DAY)), LOG.timestamp),
        "places": {"store": (np.where(LATER, 1, LOG.places["store"][0]).astype(np.int32), ["s0", "s1"])},
    }
    return replace(LOG, **changes)


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def learned(one_thread, tmp_path_factory):
    folder = tmp_path_factory.mktemp("learned")
    return learn(folder, LOG, shop(), END, 3), folder


def test_events_from_the_end_on_are_not_looked_at(learned, tmp_path):
    assert 100 < LATER.sum() < EVENTS - 100
    learn(tmp_path, later_changed(), shop(), END, 3)
    before, other = files(learned[1]), files(tmp_path)
    assert before.keys() == other.keys()
    assert [name for name in before if before[name] != other[name]] == []


def test_neither_is_an_item_created_later_new_before_it_was(learned, tmp_path):
    created = np.full(COUNT, np.nan)
    created[[1, 2]] = END - SECONDS_PER_DAY, END + SECONDS_PER_DAY
    arrived = popularity_before(LOG, shop(created=created), END).arrived
    plain = popularity_before(LOG, shop(), END).arrived
    assert arrived[1] == END - SECONDS_PER_DAY
    assert arrived[2] == plain[2] < END


def test_events_before_the_end_do_count_so_that_the_tests_above_could_fail(learned, tmp_path):
    earlier = np.flatnonzero(~LATER)[-1]
    item = LOG.item.copy()
    item[earlier] = (item[earlier] + 1) % COUNT
    learn(tmp_path, replace(LOG, item=item), shop(), END, 3)
    before, other = files(learned[1]), files(tmp_path)
    changed = {name for name in before if before[name] != other[name]}
    assert {"popularity/counts.npy", "collaborative/factors.npy", "graph/items.npy"} <= changed


def test_the_same_seed_learns_the_same(learned, tmp_path):
    learn(tmp_path, LOG, shop(), END, 3)
    assert files(tmp_path) == files(learned[1])


def test_popularity_counts_the_past_as_of_the_end_with_its_places():
    popularity = popularity_before(LOG, shop(), END)
    before = ~LATER
    np.testing.assert_array_equal(popularity.counts, np.bincount(LOG.item[before], minlength=COUNT))
    rows, weights, total = popularity.contexts.get("store=s1")
    in_store = before & (LOG.places["store"][0] == 1)
    assert rows.tolist() == np.unique(LOG.item[in_store]).tolist()
    decay = np.exp2(-(END - LOG.timestamp[in_store]) / (28 * SECONDS_PER_DAY))
    np.testing.assert_allclose(weights, np.bincount(LOG.item[in_store], decay, COUNT)[rows], rtol=1e-4)
    assert total == pytest.approx(decay.sum(), rel=1e-4)


def test_what_is_returned_is_what_serving_opens(learned):
    (made, report), folder = learned
    opened = InteractionIndex.open(folder, "cpu")
    np.testing.assert_array_equal(made.popularity.trend, opened.popularity.trend)
    np.testing.assert_array_equal(made.factors[0], opened.factors[0])
    np.testing.assert_array_equal(made.graph[0].items, opened.graph[0].items)
    assert report["events"] == int((~LATER).sum())
    assert report["graph"]["nodes"] == {"items": COUNT, "users": USERS, "entities": 4}


def test_users_of_a_taste_are_offered_that_taste_and_what_nobody_had_has_no_factors(learned):
    made = learned[0][0]
    factors = made.factors[0]
    nobody = np.bincount(LOG.item[~LATER], minlength=COUNT) == 0
    assert nobody.sum() >= 4
    assert (factors[nobody] == 0).all()
    assert (factors[~nobody] != 0).any(axis=1).all()
    seen = History.from_rows([4, 8], END)
    question = ChannelQuery("", np.zeros(2, np.float32), seen, END)
    ranked = CollaborativeChannel(*made.factors, len(LOG.item)).search([question], 12)[0]
    assert (KIND[ranked.rows] == 0).all()


@pytest.mark.parametrize(
    ("log", "end", "count"),
    [(Interactions.empty(), END, COUNT), (LOG, float(START), COUNT), (Interactions.empty(), END, 1)],
    ids=["no log", "nothing before the end", "one item"],
)
def test_without_a_past_popularity_is_zero_and_there_is_nothing_collaborative(log, end, count, tmp_path):
    made, report = learn(tmp_path, log, shop(count), end, 3)
    assert report["events"] == 0
    assert made.factors is None
    assert not (tmp_path / "collaborative").exists()
    assert made.popularity.counts.tolist() == [0.0] * count
    question = ChannelQuery("", np.zeros(2, np.float32), History.empty(), end, context={"store": "s0"})
    assert len(TrendingChannel(made.popularity).search([question], 99)[0]) == 0


@pytest.mark.parametrize("events", [1, 2])
def test_a_log_of_one_or_two_events_is_learned_from(events, tmp_path):
    log = log_of([0, 1][:events], [3, 3][:events], [START, START][:events])
    made, report = learn(tmp_path, log, shop(), END, 3)
    assert report["events"] == events
    assert np.isfinite(made.factors[0]).all()
    assert (np.delete(made.factors[0], 3, axis=0) == 0).all()


def test_a_catalogue_of_one_item_that_one_user_had_is_learned_from(tmp_path):
    made, _ = learn(tmp_path, log_of([0], [0], [START]), shop(1), END, 3)
    assert made.factors[0].shape[0] == made.popularity.counts.shape[0] == 1
    assert np.isfinite(made.factors[0]).all()


def test_steps_of_the_graphs_training_are_reported(tmp_path):
    steps = []
    learn(tmp_path, LOG, shop(), END, 3, lambda step, total: steps.append((step, total)))
    assert steps
    assert steps[-1][0] == steps[-1][1] == len(steps)
