"""Laws that hold between answers: a tighter filter, a longer list, a later page, another batch; and golden answers.

Elsewhere: contributions add up (`test_graph`, `test_invariants`, `test_pages`), one process answers as several do
(`test_single_process`), rows of one call are answered as if alone (`test_graph_batches`).
"""

from __future__ import annotations

import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.local import LocalGraph
from support.exporting import rank_all_kinds
from support.graph_answer import Answer

FEW = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
ASKED = st.sampled_from(
    [
        ("milk", ""),
        ("whole milk", "u00"),
        ("goat chese", ""),
        ("绿茶", "u02"),
        ("", "u03"),
        ("", "nobody"),
        ("soft", "u07"),
    ]
)
LOOSE = st.sampled_from([{}, {"category": "Food"}, {"price": {"gte": 2}}, {"in_stock": True}])
TIGHTER = st.sampled_from([{"brand": "Acme"}, {"brand": ["Acme", "北山"]}, {"shelf": "001"}])
# What reciprocal-rank fusion answers from this shop's words and the vectors of its random encoder.
GOLDEN = {
    "whole milk": ["i00", "i20", "i40"],
    "goat chese": ["i41", "i21", "i01"],
    "绿茶": ["i30", "i10", "i50"],
    "dish soap no light": ["i57", "i17", "i37"],
}


@pytest.fixture(scope="module")
def graph(tiny_bundle, tmp_path_factory):
    """Fusion orders: what a ranker learns differs between machines in its last digits."""
    copy = shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("laws") / "bundle")
    return LocalGraph(Bundle.open(rank_all_kinds(copy, ())))


@pytest.fixture(scope="module")
def ask(graph):
    return lambda query="", user="", **options: Answer(graph.search(query, user, **options))


@pytest.fixture(scope="module")
def opened_anew(graph):
    return graph.over(graph.bundle.spec)


@given(ASKED, LOOSE, TIGHTER, st.booleans())
@FEW
def test_a_tighter_filter_gives_a_part_of_what_the_looser_gives(ask, asked, loose, tighter, as_page):
    page = {"offset": 0} if as_page else {}
    whole = ask(*asked, filter=loose or None, k=60, **page)
    part = ask(*asked, filter={**loose, **tighter}, k=60, **page)
    assert set(part.ids) <= set(whole.ids)
    if as_page:
        assert part.status["total"]["value"] <= whole.status["total"]["value"]


@given(ASKED, LOOSE)
@FEW
def test_the_same_request_is_answered_alike_by_a_bundle_that_is_opened_anew(opened_anew, ask, asked, condition):
    options = {"filter": condition or None, "k": 20, "explain": True}
    first = ask(*asked, **options)
    again = Answer(opened_anew.search(*asked, **options))
    assert again.items == first.items
    assert again.scores == first.scores


@pytest.mark.parametrize("query", GOLDEN)
def test_golden_answers_stay_as_they_are(ask, query):
    """Where a change of the ranking is meant, write the new answers down and say why in the changes."""
    assert ask(query, k=3).ids == GOLDEN[query]
