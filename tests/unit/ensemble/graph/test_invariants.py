"""What holds of the whole graph whatever is asked: lists that begin alike, fillers that change nothing, no errors."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.contract.options import UNDERSTOOD_PARTS
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.spec import RANKED_KINDS
from support.exporting import rank_all_kinds

FEW = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def open_graph(bundle, folder, kinds):
    """The bundle with a ranker for these kinds of request; 32 candidates are compared."""
    copy = rank_all_kinds(shutil.copytree(bundle, folder / "bundle"), kinds)
    manifest = json.loads((copy / "manifest.json").read_text("utf-8"))
    manifest["spec"]["candidates"] = 32
    (copy / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    return LocalGraph(Bundle.open(copy))


@pytest.fixture(scope="module")
def fused(tiny_bundle, tmp_path_factory):
    return open_graph(tiny_bundle, tmp_path_factory.mktemp("fusion"), ())


@pytest.fixture(scope="module", params=["ranker", "fusion"])
def graph(request, tiny_bundle, fused, tmp_path_factory):
    if request.param == "fusion":
        return fused
    return open_graph(tiny_bundle, tmp_path_factory.mktemp("ranker"), RANKED_KINDS)


def ids(graph, query="", user="", **options):
    return [item.decode() for item in graph.search(query, user, **options)["ITEM_ID"][0] if item]


QUERIES = st.sampled_from(
    ["", "milk", "whole milk small", "goat chese", "绿茶", "paper towels under $5", "cheap yogurt", "soap no dish",
     "soft", "something for tea", "light bulb without fabric"]
)  # fmt: skip
REQUESTS = st.fixed_dictionaries(
    {"query": QUERIES, "user": st.sampled_from(["", "u00", "u07", "nobody"])},
    optional={
        "filter": st.sampled_from([{"category": "Food"}, {"price": {"gte": 2}}, {"in_stock": True}]),
        "diversity": st.sampled_from([0.2, 0.7, 1.0]),
        "exclude_seen": st.just(True),
        "understand": st.booleans() | st.lists(st.sampled_from(UNDERSTOOD_PARTS)),
    },
)


@given(REQUESTS)
@FEW
def test_the_first_ten_are_the_same_however_many_are_asked_for(graph, asked):
    assume(asked["query"] or asked["user"])
    ten, fifty, most = (ids(graph, k=k, **asked) for k in (10, 50, 200))
    assert fifty[: len(ten)] == ten
    assert most[: len(ten)] == ten
    assert len(ten) == min(10, len(most))


@pytest.mark.parametrize("user", ["", "u03"])
@pytest.mark.parametrize("query", ["whole milk", "goat cheese", "绿茶", "paper towels under $5"])
def test_a_filler_changes_nothing_in_the_first_three(graph, query, user):
    first = ids(graph, query, user, k=3)
    for worded in ("i need {}", "looking for some {}", "{} please" if "$" not in query else "please {}"):
        assert ids(graph, worded.format(query), user, k=3) == first, worded


def test_a_size_of_words_and_one_of_digits_are_one_query(graph):
    assert ids(graph, "half gallon whole milk", k=10) == ids(graph, "1/2 gal whole milk", k=10)


def test_what_was_understood_is_told_and_can_be_switched_off(graph):
    query = "milk under $3 without goat"

    def status(**options):
        return json.loads(graph.search(query, **options)["STATUS"][0, 0])

    assert status()["understood"] == {"text": "milk", "price_to": 3.0, "ruled_out": ["goat"]}
    assert "understood" not in status(understand=False)
    assert ids(graph, query, k=20) != ids(graph, query, k=20, understand=False)
    assert status(understand=["prices"])["understood"] == {"text": "milk without goat", "price_to": 3.0}
    assert "understood" not in status(understand=["sizes", "synonyms"])


ODD = {
    "only fillers": "something good for me please",
    "one filler": "the",
    "only numbers": "12 3.5 1/2",
    "a size alone": "half gallon",
    "only a negation": "without rings",
    "a negation of a filler": "no please",
    "contradictory limits": "milk over $10 under $5",
    "limits alone": "under $5",
    "limits beyond floats": "milk under " + "9" * 400,
    "a size beyond floats": "9" * 400 + " oz milk",
    "one letter": "x" * 4_000,
    "one digit": "9" * 4_000,
    "one dash": "-" * 4_000,
    "mixed scripts": "молоко 牛奶 milk حليب",
    "right to left": "חלב ללא סוכר",
    "overridden direction": "\u202eklim on htiw",
    "quotation marks": '"milk" "',
    "an item's mark": "9\u2033 plate",
    "nothing": "",
    "spaces": " \t\n",
}


@pytest.mark.parametrize("user", ["", "u03"])
@pytest.mark.parametrize("name", ODD)
def test_an_odd_query_is_answered_or_refused_with_its_reason(graph, name, user):
    try:
        answer = graph.search(ODD[name], user, k=10, explain=True)
    except InvalidRequestError as error:
        assert not user
        assert "QUERY" in str(error)
        return
    scores, returned = answer["SCORE"][0], json.loads(answer["STATUS"][0, 0])["returned"]
    assert returned == 10
    assert np.isfinite(scores).all()


def test_scores_are_the_votes_where_fusion_orders_and_reasons_add_up_to_them(fused):
    for query, user in (("milk", ""), ("milk", "u03"), ("cheap milk no goat", "")):
        answer = fused.search(query, user, k=10, explain=True)
        items = [json.loads(item) for item in answer["ITEM"][0]]
        for score, item in zip(answer["SCORE"][0].tolist(), items, strict=True):
            signals = {signal["name"]: signal["contribution"] for signal in item["signals"]}
            assert sum(signals.values()) == pytest.approx(score, abs=1e-5)
            assert {name for name, value in signals.items() if abs(value) > 1e-6} <= {"fusion", "base", "depth"}
