"""Pairs of all requests of a batch are one flat list: read together, put back where they belong."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fuserank_ensemble.graph.text_tower import MOST_PAIRS, FlatTextTower, OnnxPairEngine

PAD = 9


class Model:
    """An engine that scores a pair by its tokens but for padding, and remembers the shapes that it ran."""

    def __init__(self):
        self.shapes = []

    def run(self, batch):
        ids = batch["PAIR_IDS"]
        self.shapes.append(ids.shape)
        return {"TEXT_SCORES": np.where(ids == PAD, 0, ids).sum(2).astype(np.float32)}


def pairs(*rows, places=4, length=12):
    ids = np.full((len(rows), places, length), PAD, np.int64)
    for row, tokens in enumerate(rows):
        for place, pair in tokens.items():
            ids[row, place, : len(pair)] = pair
    return {"PAIR_IDS": ids, "PAIR_TYPES": np.zeros_like(ids)}


def test_every_pair_gets_its_score_and_a_place_without_one_gets_none():
    tower = FlatTextTower(OnnxPairEngine(Model(), PAD), PAD)
    first, second = tower.execute([pairs({0: [1, 2], 3: [4]}, {}), pairs({1: [5, 5, 5]}, length=8)])
    np.testing.assert_array_equal(first["TEXT_SCORES"], [[3, np.nan, np.nan, 4], [np.nan] * 4])
    np.testing.assert_array_equal(second["TEXT_SCORES"], [[np.nan, 15, np.nan, np.nan]])


def test_requests_without_pairs_do_not_reach_the_engine():
    model = Model()
    (answer,) = FlatTextTower(OnnxPairEngine(model, PAD), PAD).execute([pairs({}, {})])
    assert np.isnan(answer["TEXT_SCORES"]).all()
    assert model.shapes == []


def test_a_pad_token_within_a_pair_does_not_cut_it():
    (answer,) = FlatTextTower(OnnxPairEngine(Model(), PAD), PAD).execute([pairs({0: [1, PAD, 3]})])
    assert answer["TEXT_SCORES"][0, 0] == 4


def listed(count):
    lengths = np.random.default_rng(1).integers(1, 30, count)
    return [np.full(length, 2) for length in lengths], [np.zeros(length, np.int64) for length in lengths]


@pytest.mark.parametrize("count", [1, 2, 7, MOST_PAIRS, MOST_PAIRS + 1, 100])
def test_any_number_of_pairs_is_scored_in_its_order_by_runs_of_like_length(count):
    model = Model()
    ids, types = listed(count)
    scores = OnnxPairEngine(model, PAD).score(ids, types)
    assert scores.tolist() == [2 * len(tokens) for tokens in ids]
    assert sum(pairs for _, pairs, _ in model.shapes) == count
    assert max(pairs for _, pairs, _ in model.shapes) <= MOST_PAIRS


@pytest.mark.parametrize(("count", "runs"), [(3, 1), (4, 2), (17, 2), (2 * MOST_PAIRS, 2), (2 * MOST_PAIRS + 1, 3)])
def test_pairs_that_take_long_are_shared_by_two_threads(count, runs):
    model = Model()
    with ThreadPoolExecutor(1) as pool:
        ids, types = listed(count)
        scores = OnnxPairEngine(model, PAD, pool, share_from=4).score(ids, types)
    assert scores.tolist() == [2 * len(tokens) for tokens in ids]
    assert len(model.shapes) == runs


def test_an_error_in_the_other_thread_is_raised_here():
    class Broken(Model):
        def run(self, batch):
            if batch["PAIR_IDS"].shape[2] > 8:
                raise RuntimeError("a mistake")
            return super().run(batch)

    ids = [np.full(length, 2) for length in (2, 2, 12, 12)]
    with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="a mistake"):
        OnnxPairEngine(Broken(), PAD, pool, share_from=2).score(ids, [np.zeros_like(tokens) for tokens in ids])
