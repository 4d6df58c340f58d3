"""Laws of what changes while serving: what does not concern a request changes nothing, and replicas answer alike.

That a hidden item is nowhere: `test_state`; that what serving read is what is computed again at its position:
`test_sampling`.
"""

from __future__ import annotations

import pytest

from fuserank_ensemble.bundle import Bundle
from support.busy_machine import PATIENCE
from support.graph_answer import Answer
from support.live_shop import Shop

QUERIES = ("whole milk", "goat cheese", "绿茶", "paper towels")


@pytest.fixture(scope="module")
def bundle(tiny_bundle):
    return Bundle.open(tiny_bundle)


@pytest.fixture
def shop(bundle, tmp_path):
    made = Shop(bundle, tmp_path)
    yield made
    made.graph.close()


@pytest.mark.parametrize("user", ["", "u03"])
def test_an_item_that_has_nothing_to_do_with_a_query_reorders_nothing_of_what_matches(shop, user):
    """Behind what matches, places shift by one in a list by meaning, and votes by rank with them."""
    before = {query: list(shop.ask(query, user, k=3)[0]) for query in QUERIES}
    position = shop.upsert("n0", title="quartz zither", category="Instruments > Strings", price=900.0)
    for query in QUERIES:
        assert list(shop.ask(query, user, k=3, min_position=position)[0]) == before[query], query


def test_a_deleted_item_leaves_the_others_in_their_order(shop):
    before = list(shop.ask("whole milk", k=20)[0])
    position = shop.delete(before[4])
    after = list(shop.ask("whole milk", k=19, min_position=position)[0])
    assert before[4] not in after
    assert after[:4] == before[:4]


def test_two_replicas_of_one_log_answer_alike_at_one_position(bundle, tmp_path):
    one, other = Shop(bundle, tmp_path), Shop(bundle, tmp_path)
    one.graph.live.popularity.seconds = other.graph.live.popularity.seconds = 0.0
    position = one.record(
        *({"user_id": f"u{at % 5:02}", "item_id": f"i{at % 7:02}", "event": "purchase"} for at in range(40)),
        {"user_id": "u01", "item_id": "i03", "event": "hide"},
    )["position"]
    position = max(position, one.upsert(price=3.5), one.upsert("n1", title="oat milk large", price=2.0))
    for replica in (one, other):
        assert replica.graph.live.wait_for(position, PATIENCE)
    for query, user in (("milk", "u01"), ("", "u01"), ("goat cheese", ""), ("", "nobody")):
        answers = [
            Answer(replica.graph.search(query, user, k=30, explain=True, context={"timestamp": 1_717_200_000}))
            for replica in (one, other)
        ]
        first, second = answers
        assert first.items == second.items, (query, user)
        assert first.scores == second.scores
        assert first.status["position"] == second.status["position"] >= position
    one.graph.close()
    other.graph.close()
