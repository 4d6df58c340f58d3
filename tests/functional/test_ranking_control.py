"""What a shop asks of the ranking at request time, through gRPC: rules, exploration, variety and reasons."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import numpy as np
import pytest

from fuserank.aio import AsyncClient
from fuserank.client import Client
from fuserank.errors import InvalidRequestError
from fuserank.types import SearchResult
from fuserank_ensemble.serving.server import Server
from fuserank_ensemble.spec import GraphSpec
from support.busy_machine import PATIENCE
from support.running import assert_same_answer, url
from support.small_shops import Shop

USER = "u07"
COMPARED = GraphSpec.candidates


def ids(result: SearchResult) -> list[str]:
    return [item.id for item in result]


def test_a_boost_lifts_and_a_bury_lowers_what_matches_and_nothing_else_changes(client: Client, shop: Shop):
    plain = {item.id: item.score for item in client.search("milk", USER, k=100)}
    # The deviation is that of the candidates that are compared; those beyond follow them.
    step = float(np.std(list(plain.values())[:COMPARED]))
    for rule, sign in (({"boost": 1.5}, 1), ({"bury": 1.5}, -1)):
        result = client.search("milk", USER, k=100, explain=True, rules=[{**rule, "filter": {"brand": "Acme"}}])
        assert [item.score for item in result] == sorted((item.score for item in result), reverse=True)
        moved = 0
        for item in result:
            signal = next(signal for signal in item.signals if signal.name == "rules")
            acme = shop.items[item.id].get("brand") == "Acme"
            assert signal.value == (1.5 * sign if acme else 0)
            assert sum(each.contribution for each in item.signals) == pytest.approx(item.score, abs=1e-3)
            if item.id in plain:
                assert item.score - signal.contribution == pytest.approx(plain[item.id], abs=1e-3)
            assert signal.contribution == pytest.approx(signal.value * step, rel=1e-3)
            moved += acme
        assert 0 < moved <= result.status.rules[0].matched


def test_pins_stand_where_they_are_put_though_nobody_would_have_found_them(client: Client, shop: Shop):
    far, other = sorted(shop.ids(category="Household > Paper"))[:2]
    plain = client.search("goat cheese", k=5, filter={"category": "Dairy"})
    pinned = client.search("goat cheese", k=5, explain=True, rules=[{"pin": 2, "item_ids": [far, other, "none such"]}])
    assert ids(pinned)[1:3] == [far, other]
    assert [item.placed for item in pinned] == ["", "pin", "pin", "", ""]
    assert all(item.signals[-1].reason.startswith("pinned by the shop") for item in pinned[1:3])
    for item in pinned:
        assert sum(signal.contribution for signal in item.signals) == pytest.approx(item.score, abs=1e-3)
    (outcome,) = pinned.status.rules
    assert (outcome.matched, outcome.placed, outcome.unknown) == (2, 2, 1)
    refused = client.search("goat cheese", k=5, filter={"category": "Dairy"}, rules=[{"pin": 1, "item_ids": [far]}])
    assert_same_answer(refused, plain, 1e-5)
    assert (refused.status.rules[0].placed, refused.status.rules[0].filtered_out) == (0, 1)


def test_a_pinned_item_is_judged_by_the_ranker_though_nobody_would_have_found_it(client: Client, shop: Shop):
    # Of a catalogue of 300, at most 32 are candidates within so short a deadline.
    asked: dict[str, Any] = {"k": 5, "explain": True, "deadline_ms": 0.01}
    found = set(ids(client.search("rye bread", **{**asked, "k": 32})))
    stranger = min(set(shop.items) - found)
    result = client.search("rye bread", **asked, rules=[{"pin": 1, "item_ids": [stranger]}])
    assert result[0].id == stranger
    assert all(item.scored for item in result)
    assert set(result[0].heads) == {"relevance", "click", "purchase"}
    assert result[0].score < result[1].score
    assert result.status.candidates["fused"] == 32


def test_exploring_is_reproducible_and_its_propensities_are_those_of_many_seeds(client: Client):
    explore = {"rate": 0.4, "slots": [2, 4], "max_events": 1_000}
    occurrences: Counter[tuple[int, str]] = Counter()
    propensities: dict[tuple[int, str], float] = {}
    draws = 400
    for seed in range(draws):
        result = client.recommend(USER, k=5, explore={**explore, "seed": seed})
        assert result.status.explore is not None
        assert result.status.explore.explored == sum(item.placed == "explore" for item in result)
        for place, item in enumerate(result):
            occurrences[place, item.id] += 1
            assert propensities.setdefault((place, item.id), item.propensity) == pytest.approx(
                item.propensity, rel=1e-6
            )
    for key, propensity in propensities.items():
        error = (draws * propensity * (1 - propensity)) ** 0.5
        assert abs(occurrences[key] - draws * propensity) <= 4.5 * error + 1, (key, occurrences[key], propensity)
    again = [client.recommend(USER, k=5, explore={**explore, "seed": 7}) for _ in range(2)]
    assert ids(again[0]) == ids(again[1])
    fresh = client.recommend(USER, k=5, explore=explore)
    assert ids(client.recommend(USER, k=5, explore={**explore, "seed": fresh.status.explore.seed})) == ids(fresh)
    assert client.recommend(USER, k=5)[0].propensity is None


def test_heads_are_probabilities_and_reasons_are_told_in_the_language_asked_for(client: Client):
    both = client.search("chocolate", USER, explain=True)
    assert all(set(item.heads) == {"relevance", "click", "purchase"} for item in both)
    assert all(0 <= chance <= 1 for item in both for chance in item.heads.values())
    assert set(client.recommend(USER, explain=True)[0].heads) == {"click", "purchase"}
    assert client.search("chocolate", USER)[0].heads == {}
    chinese = client.search("chocolate", USER, explain=True, language="zh")
    assert ids(chinese) == ids(both)
    reasons = {signal.name: signal.reason for signal in chinese[0].signals}
    assert reasons["text"].startswith("与“chocolate”的相似度为 ")
    assert reasons["base"] == "本次请求候选商品的平均水平"


def test_everything_may_be_asked_for_at_once_by_the_asyncio_client_too(client: Client, server: Server, shop: Shop):
    pinned = min(shop.ids(category="Bakery > Bread"))
    asked: dict[str, Any] = {
        "k": 8, "explain": True, "diversity": 0.5, "language": "zh",
        "rules": [{"boost": 2, "filter": {"category": "Dairy"}}, {"pin": 3, "item_ids": [pinned]}],
        "explore": {"rate": 0.5, "slots": [3, 5, 8], "seed": 3, "max_events": 1_000},
    }  # fmt: skip

    async def ask() -> SearchResult:
        async with AsyncClient(url(server), timeout=PATIENCE) as connected:
            return await connected.search("chocolate", USER, **asked)

    result = client.search("chocolate", USER, **asked)
    assert_same_answer(asyncio.run(ask()), result, 1e-4)
    assert result[2].id == pinned
    assert result[2].propensity == 1
    assert set(result.status.explore.slots) == {5, 8}
    for item in result:
        assert sum(signal.contribution for signal in item.signals) == pytest.approx(item.score, abs=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"rules": [{"pin": 1, "item_ids": ["a"]}, {"boost": 9, "filter": {}}]},
            "OPTIONS.rules[1].boost: found 9; allowed: a number of standard deviations",
        ),
        ({"rules": [{"pin": 11, "item_ids": ["a"]}]}, "OPTIONS.rules[0].pin: found 11; allowed: a place from 1 to k"),
        ({"rules": [{"boost": 1}]}, "OPTIONS.rules[0]: found none of them; allowed: exactly one of filter, item_ids"),
        ({"rules": [{"bury": 1, "filter": {"x": "y"}}]}, "OPTIONS.rules[0].filter.x: found an unknown field; allowed"),
        ({"explore": {"slots": [2, 2]}}, "OPTIONS.explore.slots[1]: found 2 twice; allowed: different places"),
        (
            {"explore": {"sede": 2}},
            "OPTIONS.explore.sede: found an unknown option; allowed: max_events, method, ",
        ),
        ({"language": "de"}, 'OPTIONS.language: found "de"; allowed: en or zh'),
    ],
)
def test_what_cannot_be_followed_is_refused_by_its_place(client: Client, options, message):
    with pytest.raises(InvalidRequestError) as error:
        client.search("milk", **options)
    assert str(error.value).startswith(message)
