"""Pinned items go through the whole graph as candidates, whatever retrieval found."""

from __future__ import annotations

import json

import pytest

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.local import LocalGraph

SHORT = {"deadline_ms": 0.001, "k": 32}  # 32 candidates of 60 items


@pytest.fixture(scope="module")
def ask(tiny_bundle):
    graph = LocalGraph(Bundle.open(tiny_bundle))

    def ask(query="", user="", **options):
        found = graph.search(query, user, **options)
        ids = [item.decode() for item in found["ITEM_ID"][0]]
        return (
            ids,
            found["SCORE"][0].tolist(),
            list(map(json.loads, found["ITEM"][0])),
            json.loads(found["STATUS"][0, 0]),
        )

    return ask


def test_a_pinned_item_is_judged_though_no_channel_named_it_among_the_best(ask):
    everyone, scores, _, _ = ask("milk", "u00", k=60)
    stranger = min(set(everyone) - set(ask("milk", "u00", **SHORT)[0]))
    rules = [{"pin": 3, "item_ids": [stranger, "i00"]}]
    ids, pinned, items, status = ask("milk", "u00", **SHORT, explain=True, rules=rules)
    assert ids[2] == stranger
    assert status["candidates"]["fused"] == 32
    assert all("scored" not in item for item in items)
    assert "heads" in items[2]
    # The score that it has among all 60: what the ranker reads of it does not depend on how many are candidates.
    assert pinned[2] == pytest.approx(scores[everyone.index(stranger)], abs=1e-4)


def test_a_pinned_item_that_the_filter_leaves_out_is_no_candidate(ask):
    ids, _, _, status = ask("milk", filter={"category": "Drinks"}, k=60, rules=[{"pin": 1, "item_ids": ["i00"]}])
    assert "i00" not in ids
    assert status["rules"] == [{"kind": "pin", "matched": 0, "filtered_out": 1}]
