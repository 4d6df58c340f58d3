"""A bundle with a text tower, served by a real Triton."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuserank.client import Client
from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.serving.server import Server
from fuserank_ensemble.spec import Target
from support.busy_machine import PATIENCE
from support.running import assert_same_answer, endpoints, url

ASKED = [("goat milk", ""), ("", "u01"), ("绿茶", "u02")]


@pytest.fixture(scope="module")
def answered(tower_bundle: Path, target: Target):
    with (
        Server(tower_bundle, endpoints(), target, without=("similar", "suggest", "embed")) as running,
        Client(url(running), timeout=PATIENCE) as client,
    ):
        yield client


@pytest.mark.parametrize(("query", "user"), ASKED)
def test_triton_answers_as_the_stages_here_and_the_reading_explains_itself(answered, tower_bundle, query, user):
    found = answered.search(query, user, k=20, explain=True)
    local = LocalGraph(Bundle.open(tower_bundle)).search(query, user, k=20)
    assert [item.id for item in found] == [each.decode() for each in local["ITEM_ID"][0]]
    assert [item.score for item in found] == pytest.approx(local["SCORE"][0].tolist(), abs=1e-4)
    assert not found.status.degraded
    for item in found:
        assert "reading" in {signal.name for signal in item.signals}
        assert sum(signal.contribution for signal in item.signals) == pytest.approx(item.score, abs=1e-3)
    assert_same_answer(found, answered.search(query, user, k=20))


def test_a_deadline_that_has_passed_leaves_the_tower_out_and_says_so(answered):
    found = answered.search("goat milk", "u01", deadline_ms=0.001)
    assert {"ranker_depth", "text_tower"} <= set(found.status.degraded)
    assert len(found) == 10


def test_documents_are_reranked_by_the_tower(answered, tower_bundle):
    documents = [f"{kind} {number}" for number in range(15) for kind in ("goat cheese", "绿茶", "dish soap")]
    found = answered.rerank("goat milk", documents)
    assert found.status.model.startswith("text_tower-")
    expected = LocalGraph(Bundle.open(tower_bundle)).rerank("goat milk", documents)["SCORE"][0]
    by_place = [one.score for one in sorted(found, key=lambda one: one.index)]
    assert by_place == pytest.approx(expected.tolist(), abs=0.05)
