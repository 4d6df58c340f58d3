"""A request shared out to two threads keeps each candidate with its own pair, and comes back in its own order."""

from __future__ import annotations

import numpy as np
import pytest
from fuserank_ensemble.graph.halves import Halves

from fuserank_ensemble.candidates.cost import RankerCost

CANDIDATES, PLACES, LENGTH = 32, 8, 5


def request(of, candidates=CANDIDATES):
    """A request whose features and pairs say which they are."""
    of = np.asarray([[*of, *[-1] * (PLACES - len(of))]])
    names = np.arange(candidates, dtype=np.float32)[None, :, None]
    ids = np.arange(max(1, of.max() + 1))[None, :, None].repeat(LENGTH, 2)
    return {
        "FEATURES": names,
        "VECTORS": names + 100,
        "EVENTS": np.ones((1, 2, 3), np.float32),
        "MOMENTS": np.ones((1, 2, 3), np.float32),
        "PAIR_IDS": ids,
        "PAIR_TYPES": np.zeros_like(ids),
        "PAIR_OF": of,
        "READ_BEFORE": np.where(of < 0, 70 + np.arange(PLACES), np.nan).astype(np.float32),
    }


def read(tensors):
    """An engine that says of each candidate who it is, and which pair was read for it or known before; -1 for none."""
    pair = np.full(tensors["FEATURES"].shape[:2], -1.0)
    of = tensors["PAIR_OF"]
    found = np.take_along_axis(tensors["PAIR_IDS"][..., 0], np.maximum(of, 0), 1)
    reading = np.where(of < 0, tensors["READ_BEFORE"], found)
    pair[:, : of.shape[1]] = np.where(np.isnan(reading), -1, reading)
    assert np.array_equal(tensors["VECTORS"], tensors["FEATURES"] + 100)
    return {"HEADS": np.stack([tensors["FEATURES"][..., 0], pair], -1), "READING": reading}


@pytest.mark.parametrize(
    "of",
    [
        [0, 1],
        [1, 0, 1, 0, 0],
        [0, 1, 2, 3, 4, 5, 6, 7],
        [7, 6, 5, 4, 3, 2, 1, 0],
        [2, 2, 2, 2, 2, 1, 0],
        [-1, 0, -1, 1, 2],
        [1, 0],
    ],
)
def test_both_halves_together_answer_as_the_whole(of):
    whole = request(of)
    halves = Halves.of(whole)
    assert [part["FEATURES"].shape[1] for part in halves.parts] == [CANDIDATES // 2] * 2
    assert sum(part["PAIR_IDS"].shape[1] for part in halves.parts) == whole["PAIR_IDS"].shape[1]
    assert all(part["PAIR_IDS"].shape[1] for part in halves.parts)
    assert all(part["EVENTS"] is whole["EVENTS"] for part in halves.parts)
    found = halves.whole((read(halves.parts[0]), read(halves.parts[1])))
    for name, expected in read(whole).items():
        np.testing.assert_array_equal(found[name], expected)


@pytest.mark.parametrize(
    ("of", "candidates"), [([], 32), ([0, 0, 0], 32), ([0, 1], 8), ([0, 1], 33)], ids=["none", "one", "few", "odd"]
)
def test_what_cannot_be_shared_stays_whole(of, candidates):
    assert Halves.of(request(of, candidates)) is None


def test_pairs_cost_by_their_number_and_the_bucket_of_their_length():
    cost = RankerCost.of({"ranker_ms": {"32": 1.5}, "text_tower_ms": {"1": 0.0, "32": 8.0, "64": 20.0}}, 16)
    assert cost.of_candidates(32) == 1.5
    assert cost.of_candidates(64) == 0.0
    assert cost.of_pairs(16, 32) == 8.0
    assert cost.of_pairs(4, 33) == 5.0
    assert cost.of_pairs(0, 33) == 0.0
    assert cost.of_pairs(4, 65) == 0.0
    assert RankerCost.of({}, 0).of_pairs(4, 32) == 0.0


@pytest.mark.parametrize(("ms", "heavy"), [(0.4, False), (2.9, False), (3.0, True), (40.0, True)])
def test_a_tower_is_heavy_by_its_shortest_real_pairs(ms, heavy):
    costs = {"text_tower_ms": {"1": 9.0, "32": ms, "64": 99.0}}
    assert RankerCost.of(costs, 16).heavy is heavy
    assert not RankerCost.of({}, 0).heavy
