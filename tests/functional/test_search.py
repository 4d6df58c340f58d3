"""What the graph answers: each kind of request and each option, through gRPC."""

from __future__ import annotations

import json

import pytest

from fuserank.client import Client
from fuserank.types import SearchResult
from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.retrieval.channels.registry import CHANNELS
from fuserank_ensemble.serving.models import served_models
from fuserank_ensemble.spec import Target
from support.running import STAGES, assert_same_answer
from support.small_shops import Shop

USER = "u07"


def ids(result: SearchResult) -> list[str]:
    return [item.id for item in result]


def test_a_query_alone_finds_what_it_names(client: Client):
    result = client.search("half gallon milk")
    assert len(result) == 10
    assert "half gallon milk" in result[0].fields["title"]
    assert result.status.candidates["dense"] > 0
    # Nobody is known: whoever needs a history was not asked.
    assert not {"history", "collaborative", "content"} & result.status.candidates.keys()


def test_a_chinese_query_finds_chinese_titles(client: Client):
    result = client.search("绿茶", k=3)
    assert all(item.fields["category"] == "Drinks > 茶" for item in result)


def test_a_user_alone_gets_own_items_first(client: Client, shop: Shop):
    result = client.recommend(USER, k=10)
    assert result.status.user_known
    assert "dense" not in result.status.candidates
    own = [item.id in shop.bought[USER] for item in result]
    assert sum(own[:5]) >= 3, own


def test_query_and_user_differ_from_either_alone(client: Client, shop: Shop):
    asked = "cookies"
    both, query, user = client.search(asked, USER), client.search(asked), client.recommend(USER)
    assert len({tuple(ids(each)) for each in (both, query, user)}) == 3
    assert {"dense", "lexical", "history", "trending"} <= both.status.candidates.keys()
    assert not {"dense", "lexical"} & user.status.candidates.keys()


def test_an_unknown_user_is_answered_as_new(client: Client):
    one, other = client.search("bread", "nobody-1"), client.search("bread", "nobody-2")
    assert not one.status.user_known
    assert_same_answer(one, other, 1e-5)
    assert_same_answer(one, client.search("bread"), 1e-5)
    anyone = client.recommend("nobody-1")
    assert len(anyone) == 10
    assert_same_answer(anyone, client.recommend("nobody-2"), 1e-5)


def test_a_given_history_replaces_the_stored_one(client: Client, shop: Shop):
    history = sorted(shop.ids(category="Drinks > Coffee"))[:4]
    given = client.recommend(USER, history=[*history, "no-such-item"])
    assert given.status.history_unknown == 1
    assert_same_answer(given, client.recommend("nobody", history=history), 1e-5)
    assert set(history) & set(ids(given))
    assert ids(given) != ids(client.recommend(USER))
    # It is a request of its own, too: no query, no user.
    assert_same_answer(client.search(history=history), given, 1e-5)
    assert_same_answer(client.recommend(USER, history=[]), client.recommend("nobody"), 1e-5)


@pytest.mark.parametrize("query", ["milk", ""])
@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"brand": "Acme"}, lambda row: row.get("brand") == "Acme"),
        ({"brand": ["Acme", "Old Mill"]}, lambda row: row.get("brand") in {"Acme", "Old Mill"}),
        ({"category": "Dairy"}, lambda row: row["category"].startswith("Dairy > ")),
        ({"category": "Bakery > Bread"}, lambda row: row["category"] == "Bakery > Bread"),
        ({"price": {"gte": 2, "lt": 4}}, lambda row: 2 <= row.get("price", -1) < 4),
        ({"in_stock": False}, lambda row: not row["in_stock"]),
        ({"tags": "vegan"}, lambda row: "vegan" in row["tags"]),
        ({"size": "1 kg", "in_stock": True}, lambda row: row["size"] == "1 kg" and row["in_stock"]),
        (
            {"or": [{"brand": "Acme"}, {"price": {"lt": 1}}], "not": {"category": "Drinks"}},
            lambda row: (
                (row.get("brand") == "Acme" or row.get("price", 9) < 1) and not row["category"].startswith("Drinks > ")
            ),
        ),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_a_filter_returns_all_that_match_and_nothing_else(client: Client, shop: Shop, query, condition, holds):
    matches = {item_id for item_id, row in shop.items.items() if holds(row)}
    result = client.search(query, USER, filter=condition, k=200)
    assert len(matches) <= 200
    assert set(ids(result)) == matches
    assert len(result) == len(matches) == result.status.returned


def test_a_filter_that_nothing_matches_gives_an_empty_list(client: Client):
    for query in ("milk", ""):
        result = client.search(query, USER, filter={"brand": "No Such Brand"}, explain=True, diversity=0.5)
        assert len(result) == result.status.returned == 0


def test_exclude_seen_leaves_out_the_history(client: Client, shop: Shop):
    for query in ("", "cookies"):
        result = client.search(query, USER, exclude_seen=True, k=50)
        assert len(result) == 50
        assert not shop.bought[USER] & set(ids(result))
    given = sorted(shop.ids(category="Dairy > Milk"))
    assert not set(given) & set(ids(client.search("milk", history=given, exclude_seen=True, k=50)))


def test_explained_contributions_add_up_to_the_score(client: Client):
    for query, user in (("chocolate", ""), ("", USER), ("chocolate", USER)):
        for item in client.search(query, user, explain=True):
            assert {signal.name for signal in item.signals} >= {"text", "popularity", "history", "price", "base"}
            assert sum(signal.contribution for signal in item.signals) == pytest.approx(item.score, abs=1e-3)
            assert sum(signal.share for signal in item.signals) == pytest.approx(1, abs=1e-3)
            assert all(signal.reason for signal in item.signals)


def test_fields_are_those_asked_for(client: Client, shop: Shop):
    for item in client.search("milk", fields=["size", "tags", "price"]):
        row = shop.items[item.id]
        assert dict(item.fields) == {name: row[name] for name in ("size", "tags", "price") if name in row}
    assert all(item.fields == {} for item in client.search("milk", fields=[]))
    assert set(client.search("milk")[0].fields) <= {"title", "brand", "category", "price"}


def test_diversity_brings_other_kinds_of_item(client: Client):
    plain, diverse = client.search("milk"), client.search("milk", diversity=0.9)
    assert plain[0].id == diverse[0].id
    titles = [{item.fields["title"] for item in each} for each in (plain, diverse)]
    print("distinct titles of ten, plain and diverse:", *map(len, titles))
    assert len(titles[1]) > len(titles[0]) or ids(plain) != ids(diverse)
    assert len({item.fields["category"] for item in diverse}) >= len({item.fields["category"] for item in plain})


def test_weights_of_the_objective_change_the_order(client: Client):
    heads = ("relevance", "purchase")
    relevance, purchase = (client.search("drinks", USER, k=50, objective={head: 1}) for head in heads)
    assert ids(relevance) != ids(purchase)
    # Only proportions matter.
    assert_same_answer(client.search("drinks", USER, k=50, objective={"purchase": 7}), purchase, 1e-5)


def test_scores_fall_and_ids_are_distinct(client: Client):
    result = client.search("tea", USER, k=100)
    scores = [item.score for item in result]
    assert scores == sorted(scores, reverse=True)
    assert len(set(ids(result))) == 100


def test_a_deadline_too_short_is_answered_and_named(client: Client):
    result = client.search("milk", USER, deadline_ms=0.01)
    assert len(result) == 10
    assert "deadline_passed" in result.status.degraded
    assert result.status.candidates["fused"] < client.search("milk", USER).status.candidates["fused"]
    assert client.search("milk", USER, deadline_ms=30_000).status.degraded == ()


def test_a_query_longer_than_the_encoder_reads_is_named(client: Client):
    assert "query_truncated" in client.search("milk " * 500).status.degraded


def test_status_names_bundle_stages_and_channels(client: Client, bundle: Bundle):
    status = client.search("milk", USER, k=7).status
    assert status.bundle == bundle.id
    assert set(status.microseconds) == {*STAGES, "total"}
    assert all(spent >= 0 for spent in status.microseconds.values())
    assert status.microseconds["total"] >= max(status.microseconds[stage] for stage in STAGES)
    asked = {name for name, weight in bundle.spec.channel_weights["both"].items() if weight > 0}
    assert set(status.candidates) == asked | {"fused"}
    assert asked == set(CHANNELS)
    # Only what came lately and was hardly had is new; of everything else this shop has plenty near milk.
    assert all(status.candidates[name] > 0 for name in asked - {"new"})
    assert status.returned == 7


def test_the_time_of_the_request_counts(client: Client):
    now = client.recommend(USER, explain=True, k=5)
    later = client.recommend(USER, explain=True, k=5, context={"timestamp": "2025-05-01T00:00:00Z"})
    reasons = [
        {signal.reason for item in each for signal in item.signals if signal.name == "history"} for each in (now, later)
    ]
    assert any("days ago" in reason for reason in reasons[1])
    assert reasons[0] != reasons[1]


def test_the_server_names_its_bundle_and_the_models_of_its_target(client: Client, bundle: Bundle, target: Target):
    status = client.status()
    assert status.live
    assert status.ready
    assert status.model_ready
    assert {model.name for model in status.models} == served_models(bundle, target, has_state=False)
    assert status.bundle == bundle.id
