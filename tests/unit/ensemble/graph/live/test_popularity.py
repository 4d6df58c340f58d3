"""What all users do counts in everybody's next answers, and in what exploration shows."""

from __future__ import annotations

import itertools
import json

import pytest

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.state.entries import Interaction
from fuserank_ensemble.state.settings import State, StateSettings
from support.tiny_shop import LOG_END

NOW = LOG_END.timestamp()


class Shop:
    """A graph whose log others write."""

    def __init__(self, bundle, folder):
        settings = StateSettings(f"sqlite:{folder / 'log.sqlite'}")
        self.graph, self._state = LocalGraph(bundle, state=settings), State.open(settings)
        self.graph.live.popularity.seconds = 0.0
        self._names = itertools.count()

    def happen(self, kind, item, times, **more):
        key, numbers = self._state.key, itertools.islice(self._names, times)
        entries = [
            Interaction(event_id=f"e{n}", event=kind, item_id=item, timestamp=NOW, user=key.user(f"x{n}"), **more)
            for n in numbers
        ]
        last = self._state.log.append(entries)[-1].position
        assert self.graph.live.tail.wait_for(last, 20)

    def ask(self, query="", **options):
        answer = self.graph.search(query, "somebody new", **options)
        return [item.decode() for item in answer["ITEM_ID"][0]], answer

    def close(self):
        self.graph.live.tail.stop()
        self._state.log.close()


@pytest.fixture
def shop(tiny_bundle, tmp_path):
    made = Shop(Bundle.open(tiny_bundle), tmp_path)
    yield made
    made.close()


def test_what_many_buy_now_is_trending_for_everybody(shop):
    before, answer = shop.ask(k=60, explain=True)
    last = before[-1]
    shop.happen("purchase", last, 2_000)
    after, answer = shop.ask(k=60, explain=True)
    assert after.index(last) < 10
    signals = {signal["name"]: signal for signal in json.loads(answer["ITEM"][0, after.index(last)])["signals"]}
    assert signals["popularity"]["reason"].startswith("2,0")


def test_what_is_no_longer_uncertain_is_no_longer_explored(shop):
    explore = {"rate": 1, "max_events": 1_000, "slots": [1]}
    pool = json.loads(shop.ask(k=1, explore=explore)[1]["STATUS"][0, 0])["explore"]["pool"]
    ids, _ = shop.ask(k=60)
    shop.happen("purchase", ids[30], 1_000)
    ranked_first = shop.ask(k=1)[0][0]
    status = json.loads(shop.ask(k=1, explore=explore)[1]["STATUS"][0, 0])
    assert status["explore"]["pool"] == pool - (ranked_first != ids[30])


def test_thompson_sampling_shows_what_was_clicked_where_it_was_shown(shop):
    explore = {"method": "thompson", "rate": 1, "max_events": 1_000, "slots": [1]}

    def shown():
        answers = [shop.ask(k=1, explore={**explore, "seed": seed}) for seed in range(30)]
        return [(ids[0], json.loads(answer["ITEM"][0, 0])["propensity"]) for ids, answer in answers]

    before = shown()
    assert len({item for item, _ in before}) > 5
    liked, *others = dict.fromkeys(item for item, _ in before)
    for item in (liked, *others):
        shop.happen("impression", item, 100, position=1)
    # The same people, by name: who was shown the item clicks on it.
    shop._names = itertools.count()
    state = shop._state
    clicks = [
        Interaction(event_id=f"c{n}", event="click", item_id=liked, timestamp=NOW, user=state.key.user(f"x{n}"))
        for n in range(100)
    ]
    assert shop.graph.live.tail.wait_for(state.log.append(clicks)[-1].position, 20)
    after = shown()
    assert sum(item == liked for item, _ in after) > 20
    assert max(propensity for item, propensity in after if item == liked) > 0.8


def test_without_a_state_the_bundle_alone_is_known(tiny_bundle):
    graph = LocalGraph(Bundle.open(tiny_bundle))
    answer = graph.search("", "u00", k=3, explore={"method": "thompson", "rate": 1, "slots": [2], "max_events": 1_000})
    assert json.loads(answer["STATUS"][0, 0])["explore"]["explored"] == 1
