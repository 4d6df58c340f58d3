"""What each page asks the graph, and with how many calls."""

from __future__ import annotations

import asyncio

import pytest

from fuserank.storefront.preferences import Knobs, Preferences
from fuserank.storefront.shop import LOOKUP_SESSION, Shop
from fuserank.storefront.view import Range, View
from support.shop_client import ShopClient

NEW = Preferences(session="a-session", position=7)
KNOWN = Preferences(session="a-session", user="u1")


@pytest.fixture
def client():
    return ShopClient()


def ask(method, *arguments):
    return asyncio.run(method(*arguments))


def test_a_page_of_results_is_one_request_that_counts_and_collapses(client):
    view = View("milk", {"brand": ("Acme",)}, {"price": Range(upto=3.0)}, page=3)
    found = ask(Shop(client).search, view, NEW, "zh")
    assert found.plain is None
    ((request,),) = client.batches
    assert (request.query, request.user, request.session_id, request.min_position) == ("milk", "", "a-session", 7)
    assert (request.k, request.offset, request.sort) == (24, 48, "relevance")
    assert request.filter == {"brand": ["Acme"], "price": {"lte": 3.0}}
    # Of the fields that a reply has by default those that some item has.
    assert request.facets == ["category", "brand", {"field": "price", "ranges": 5}]
    assert sorted(request.fields) == ["brand", "category", "price", "title"]
    assert (request.explain, request.language, request.collapse, request.highlight) == (True, "zh", True, True)


def test_both_arms_are_asked_in_one_call_but_for_a_sorted_list(client):
    shop, mine = Shop(client), Preferences(session="a-session", user="u1", arm="b")
    assert ask(shop.search, View("milk"), mine, "en").plain is not None
    ((ranked, plain),) = client.batches
    assert (ranked.diversity, plain.diversity) == (0.3, None)
    assert ask(shop.search, View("milk", sort="price_asc"), mine, "en").plain is None
    assert [request.diversity for request in client.batches[1]] == [None]


def test_the_feed_and_what_is_new_to_the_shopper_come_from_one_call(client):
    ask(Shop(client).home, KNOWN, "en")
    ((feed, unseen),) = client.batches
    assert (feed.query, feed.user, feed.session_id) == ("", "u1", None)
    assert (feed.exclude_seen, unseen.exclude_seen) == (None, True)


def test_three_ways_are_asked_in_one_call(client):
    ask(Shop(client).compare, "milk", KNOWN, "en")
    ((search, recommend, fused),) = client.batches
    assert [(r.query, r.user) for r in (search, recommend, fused)] == [("milk", ""), ("", "u1"), ("milk", "u1")]
    ask(Shop(client).compare, "milk", NEW, "en")
    assert [request.session_id for request in client.batches[1]] == [None, "a-session", "a-session"]


def test_the_three_ways_are_ordered_by_the_sliders_and_none_explores(client):
    mine = Preferences(session="a-session", user="u1", arm="b", knobs=Knobs(purchase=1, explore=0.5))
    ask(Shop(client).compare, "milk", mine, "en")
    ((search, recommend, fused),) = client.batches
    assert search.objective == recommend.objective == fused.objective == mine.rank(search).objective
    assert [request.explore for request in (search, recommend, fused)] == [None] * 3


def test_what_goes_with_items_and_what_stands_in_for_one_are_the_graphs_own(client):
    shop = Shop(client)
    ask(shop.complete, ["1", "2"], KNOWN, "en")
    ask(shop.relate, "1", NEW, "zh")
    ask(shop.suggest, "mi", KNOWN)
    together, alike, typed = client.related
    assert (together["basket"], together["relation"], together["user"]) == (["1", "2"], "complement", "u1")
    assert together["session_id"] is None
    assert (alike["item_id"], alike["user"], alike["session_id"], alike["min_position"]) == ("1", None, "a-session", 7)
    assert (together["explain"], alike["language"]) == (True, "zh")
    assert typed == {"prefix": "mi", "count": 8, "user": "u1"}
    assert client.batches == []


def test_items_are_looked_up_by_pins_in_their_order_and_by_nobody(client):
    assert [item.id for item in ask(Shop(client).look_up, ["2", "none", "1"])] == ["2", "1"]
    assert client.looked_up[-1]["rules"] == [{"pin": 1, "item_ids": ["2", "none", "1"]}]
    assert client.looked_up[-1]["session_id"] == LOOKUP_SESSION
    assert ask(Shop(client).look_up, []) == []


def test_events_are_a_users_or_else_a_sessions_and_a_server_may_keep_none(client):
    shop = Shop(client)
    assert ask(shop.record, [{"item_id": "1", "event": "click", "event_id": "e"}], KNOWN).position == 1
    ask(shop.record, [{"item_id": "1", "event": "hide"}], NEW)
    assert client.events[0] == {"item_id": "1", "event": "click", "event_id": "e", "user_id": "u1"}
    assert client.events[1].keys() == {"item_id", "event", "event_id", "session_id"}
    client.stateless = True
    assert ask(shop.record, [{"item_id": "1", "event": "hide"}], NEW) is None
