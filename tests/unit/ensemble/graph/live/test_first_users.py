"""A new item in the whole graph: who had it since decides to whom the collaborative channel recommends it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.catalog.live.overlay import LiveCatalog
from fuserank_ensemble.graph.live import first_users
from fuserank_ensemble.graph.live.first_users import LiveFirstUsers
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.interactions.history import HistorySnapshot
from fuserank_ensemble.retrieval.vectors.build import build_index
from fuserank_ensemble.state.entries import Forget, Interaction, Merge
from fuserank_ensemble.state.log import StateUnavailableError
from fuserank_ensemble.state.settings import State
from fuserank_export.learning.interactions import item_factors
from support.busy_machine import PATIENCE, wait_until
from support.live_shop import Shop
from support.tiny_shop import LOG_END

NEW = "n1"
NOW = LOG_END.timestamp()
FANS, USERS = 8, 40


@pytest.fixture
def shop(taste_bundle, tmp_path):
    made = Shop(Bundle.open(taste_bundle, verify=()), tmp_path)
    yield made
    made.graph.live.tail.stop()


def purchases(user, *items, field="user_id", times=3):
    return [{"item_id": item, "event": "purchase", field: user} for item in items for _ in range(times)]


def groups(bundle):
    """Items of two tastes: what one half of the users buys the other never does, and texts tell nothing of it."""
    items = [name.decode() for name in bundle.items.ids.tolist()]
    return items[::2], items[1::2]


@pytest.fixture(scope="module")
def taste_bundle(tiny_bundle, tmp_path_factory):
    """The shop's bundle with the histories of forty users of two tastes, and what they teach of the items."""
    root = tmp_path_factory.mktemp("tastes") / "bundle"
    shutil.copytree(tiny_bundle, root, ignore=shutil.ignore_patterns("collaborative", "history"))
    draw, bundle = np.random.default_rng(6), Bundle.open(root, verify=())
    rows = [np.asarray([bundle.items.row(item) for item in own]) for own in groups(bundle)]
    had = np.stack([draw.choice(rows[user % 2], 8, replace=False) for user in range(USERS)]).astype(np.int32)
    user = np.repeat(np.arange(USERS, dtype=np.int32), had.shape[1])
    net = csr_matrix((np.ones(had.size, np.float32), (user, had.ravel())), shape=(USERS, len(bundle.items)))
    folder = root / "index" / "collaborative"
    folder.mkdir()
    np.save(folder / "factors.npy", item_factors(net, 13))
    build_index(np.load(folder / "factors.npy"), folder / "factors.faiss")
    names = np.asarray([f"user{number:02}" for number in range(USERS)], "S")
    history = HistorySnapshot.from_log(names, user, had.ravel(), np.full(had.size, int(NOW) - 86_400))
    history.save(root / "index" / "history")
    return root


def tell(shop, fans=FANS):
    """A new item with the text of what the second taste likes, and visitors of the first who have eight items each.

    Returns:
        The last position.
    """
    first, second = groups(shop.bundle)
    text = json.loads(shop.bundle.records.raw(shop.bundle.items.row(second[0])))
    shop.upsert(NEW, title=text["title"], category=text["category"])
    for number in range(fans):
        shop.record(*purchases(f"fan{number}", *first[number : number + 8], times=1))
    shop.record(*purchases("first", *first[12:20], times=1))
    return shop.record(*purchases("second", *second[12:20], times=1))["position"]


def buy(shop, fans=range(FANS)):
    return shop.record(*(event for number in fans for event in purchases(f"fan{number}", NEW, times=1)))["position"]


def place(shop, user):
    """How many items the collaborative channel puts before the new one; more than there are where it lists it not."""
    items, _ = shop.ask("", user, k=61, explain=True)
    signals = {signal["name"]: signal["reason"] for signal in items[NEW]["signals"]}
    number = "".join(filter(str.isdigit, signals["collaborative"].rpartition("number")[2]))
    return int(number or 99)


def folded(shop):
    known = shop.graph.live.search.current.retriever.factors
    return known.first_users.by_row, known._factors.added


def test_an_item_whose_buyers_share_a_taste_is_recommended_to_it_though_its_text_says_otherwise(shop):
    shop.graph.live.wait_for(tell(shop), PATIENCE)
    before, others_before = place(shop, "first"), place(shop, "second")
    assert before > others_before, "by its text it is for those who like the others"
    listed = list(shop.ask("", "first", k=61, exclude_seen=True)[0]).index(NEW)
    buy(shop)
    assert wait_until(lambda: folded(shop)[0], PATIENCE)
    (users,) = folded(shop)[0].values()
    assert len(users.factors) == FANS
    assert wait_until(lambda: place(shop, "first") < before)
    after, others_after = place(shop, "first"), place(shop, "second")
    print(
        f"place by factors: {before} to {after} where the taste is that of its users, {others_before} to {others_after}"
    )
    assert after < others_after
    assert others_after >= others_before
    assert list(shop.ask("", "first", k=61, exclude_seen=True)[0]).index(NEW) < listed


def test_a_server_that_starts_later_has_the_same_factors(shop):
    tell(shop, fans=3)
    position = buy(shop, range(3))
    shop.record(*purchases("fan0", *groups(shop.bundle)[1][:9]))  # what comes later says nothing of that moment
    assert wait_until(lambda: len(folded(shop)[0]) == 1)
    other = LocalGraph(shop.bundle, state=shop.settings)
    try:
        assert other.live.wait_for(position, PATIENCE)
        assert wait_until(lambda: other.live.search.current.retriever.factors.first_users.by_row)
        np.testing.assert_array_equal(other.live.search.current.retriever.factors._factors.added, folded(shop)[1])
    finally:
        other.live.tail.stop()


class Reader:
    """The reader alone, which publishes when it is asked to."""

    def __init__(self, bundle, shop):
        self.bundle, self.state = bundle, State.open(shop.settings)
        self.channel = shop.graph.live.search.current.retriever.factors
        self.again()

    def again(self):
        self.catalog = LiveCatalog(self.bundle.bundled_catalog)
        self.reader = LiveFirstUsers(self.bundle, self.catalog, self.channel)
        self.reader.attach(self.state, 0)
        self.read = 0

    def follow(self):
        """Hands on what is new, an entry after the other, and returns the strengths by item."""
        for logged in self.state.log.read(self.read, 1_000):
            self.catalog.apply([logged])
            self.reader.apply([logged])
            self.read = logged.position
        self.reader.publish()
        return [users.strengths.tolist() for users in self.reader.current.by_row.values()]

    def append(self, *entries):
        self.state.log.append(entries)

    def event(self, number, item=NEW, kind="purchase", **who):
        return Interaction(event_id=f"own{number}", event=kind, item_id=item, timestamp=NOW, **who)


@pytest.fixture
def alone(shop):
    tell(shop, fans=4)
    made = Reader(shop.bundle, shop)
    yield made
    made.state.log.close()


def test_a_users_events_add_up_and_who_is_not_known_says_nothing(alone):
    fan, stranger = alone.state.key.user("fan0"), alone.state.key.user("stranger")
    alone.append(alone.event(1, user=fan), alone.event(2, user=stranger), alone.event(3, kind="impression", user=fan))
    assert alone.follow() == [[1.0]]
    alone.append(alone.event(4, user=fan), alone.event(5, kind="return", user=alone.state.key.user("fan1")))
    (strengths,) = alone.follow()
    assert strengths[0] == 2.0
    assert strengths[1] < 0


def test_who_is_forgotten_says_nothing_any_more_also_after_having_logged_in(alone):
    fan, session = alone.state.key.user("fan0"), alone.state.key.session("visit")
    others = [alone.event(f"s{item}", item, session=session) for item in ("i01", "i02")]
    alone.append(*others, alone.event(1, session=session), alone.event(2, user=alone.state.key.user("fan1")))
    assert alone.follow() == [[1.0, 1.0]]
    alone.append(Merge(event_id="m", user=fan, source=session))
    assert sorted(*alone.follow()) == [1.0, 1.0]
    at_once = [users.factors for users in alone.reader.current.by_row.values()]
    alone.again()
    alone.follow()
    assert sorted(map(tuple, alone.reader.current.by_row[60].factors)) == sorted(map(tuple, at_once[0]))
    alone.append(Forget(event_id="f", user=fan))
    assert alone.follow() == [[1.0]]
    alone.append(Forget(event_id="g", user=alone.state.key.user("fan1")))
    assert alone.follow() == []


def test_what_is_kept_is_bounded_and_the_latest_stay(alone, monkeypatch):
    monkeypatch.setattr(first_users, "MAX_USERS", 3)
    fans = [alone.state.key.user(f"fan{number}") for number in range(4)]
    alone.append(*(alone.event(number, user=fan) for number, fan in enumerate(fans)), alone.event(9, user=fans[1]))
    assert alone.follow() == [[1.0, 1.0, 2.0]]
    monkeypatch.setattr(first_users, "MAX_PAIRS", 2)
    alone.again()
    assert alone.follow() == [[1.0, 1.0]], "who came again after being dropped begins anew"
    assert len(alone.reader._pairs) == 2


def test_while_the_log_does_not_answer_what_is_known_stays_and_it_is_asked_again(alone, monkeypatch):
    alone.append(alone.event(1, user=alone.state.key.user("fan0")))
    assert alone.follow() == [[1.0]]

    def away(*arguments):
        raise StateUnavailableError("away")

    monkeypatch.setattr(alone.state.log, "read_subject", away)
    alone.append(alone.event(2, user=alone.state.key.user("fan1")))
    assert alone.follow() == [[1.0]]
    monkeypatch.undo()
    assert alone.follow() == [[1.0, 1.0]]
