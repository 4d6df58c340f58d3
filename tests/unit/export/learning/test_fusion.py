"""Tuned weights of fusion are never worse than those they started from, and no draw of chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.retrieval.channel import ChannelQuery, RankedItems
from fuserank_ensemble.retrieval.channels.registry import CHANNEL_WEIGHTS
from fuserank_ensemble.retrieval.fusion import ReciprocalRankFusion
from fuserank_export.learning.fusion import MARGIN, recall_objective, tune_weights
from fuserank_export.sources.interactions import Interactions
from fuserank_export.training.cases.split import WINDOWS
from fuserank_export.training.fitting.tune import tuned_weights
from support.habits import LOG, SHOP, SPEC, WINDOW, all_logged, altered, case_builder, few, knowing

ITEMS, CASES = 400, 30
QUERY = ChannelQuery("q", np.zeros(2, np.float32), History.empty(), 0.0)
START = {"dense": 1.0, "lexical": 0.2}


def ranked(rows):
    return RankedItems(np.asarray(rows, np.int32), np.linspace(1, 0.1, len(rows)).astype(np.float32))


class Lists:
    """Stands in for a retriever: each query's lists by channel."""

    def __init__(self, lists):
        self._ranked, self.calls = lists, []

    def search_channels(self, queries, kinds, everything=False):
        self.calls.append((len(queries), list(kinds), everything))
        return self._ranked, []

    def ranking(self, lists, limit):
        fusion = ReciprocalRankFusion(ITEMS, ITEMS)
        return lambda weights: fusion.fuse(lists, {name: weights.get(name, 0.0) for name in lists}, limit).rows


def made_up(seed=1):
    """The words find the three right items at once, the meaning finds them last, and the trend is chance."""
    draw = np.random.default_rng(seed)
    lists, right = [], []
    for _ in range(CASES):
        rows = draw.permutation(ITEMS)
        right.append(rows[:3].astype(np.int32))
        trending = ranked(draw.permutation(ITEMS))
        lists.append({"lexical": ranked(rows), "dense": ranked(rows[::-1]), "trending": trending})
    return Lists(lists), right


def tuned(retriever, objective, start=START, seed=7, **more):
    return tune_weights(retriever, [QUERY] * CASES, "query", start, objective, seed=seed, **more)


def test_a_case_with_a_better_answer_is_improved_to_it():
    retriever, right = made_up()
    weights, before, after = tuned(retriever, recall_objective(right), trials=40)
    assert before < 0.4
    assert after == pytest.approx(1.3)
    assert weights["lexical"] > weights["dense"]
    assert retriever.calls == [(CASES, ["query"] * CASES, True)]


def test_the_returned_objective_is_that_of_the_weights_returned():
    retriever, right = made_up()
    objective = recall_objective(right)
    weights, before, after = tuned(retriever, objective, trials=5)
    lists, _ = retriever.search_channels([], [])
    assert objective([retriever.ranking(channels, 200)(START) for channels in lists]) == before
    assert objective([retriever.ranking(channels, 200)(weights) for channels in lists]) == pytest.approx(after)
    assert max(weights.values()) == 1.0


@pytest.mark.parametrize("seed", range(4))
def test_weights_are_never_worse_than_at_the_start(seed):
    retriever, _ = made_up(seed)
    draw = np.random.default_rng(seed)
    seen = []

    def chance(rows):
        seen.append(float(draw.random()))
        return seen[-1]

    _, before, after = tuned(retriever, chance, seed=seed, trials=10)
    assert before == seen[0]
    assert max(seen) - 2 * MARGIN < after <= max(seen)
    assert len(seen) == 1 + 10


def test_where_nothing_is_better_the_start_stays():
    retriever, _ = made_up()
    start = {"dense": 0.5, "lexical": 0.25, "trending": 0.0625}
    weights, before, after = tuned(retriever, lambda rows: 1.0, start, trials=10)
    assert weights == {"dense": 1.0, "lexical": 0.5, "trending": 0.125}
    assert before == after == 1.0


def test_less_than_a_margin_is_chance_and_changes_nothing():
    retriever, _ = made_up()
    values = iter(np.linspace(0, 0.9 * MARGIN, 11))
    weights, _, _ = tuned(retriever, lambda rows: float(next(values)), trials=10)
    assert weights == START


def test_the_same_seed_finds_the_same_weights_and_another_looks_elsewhere():
    retriever, right = made_up()
    one, other, third = (tuned(retriever, recall_objective(right), seed=seed, trials=12) for seed in (7, 7, 8))
    assert one == other
    assert one[0] != third[0]


@pytest.mark.parametrize("kind", CHANNEL_WEIGHTS)
def test_a_channel_that_the_start_asks_is_never_dropped(kind):
    """The text channels make the pool, and what is trending answers those without a history: no case here has any."""
    start = CHANNEL_WEIGHTS[kind]
    wanted = max(start, key=start.__getitem__)
    others = start.keys() - {wanted}
    # Only one channel finds what is wanted: the less the others say, the better.
    lists = [{name: ranked(range(100, ITEMS)) for name in others} | {wanted: ranked(range(100))}] * CASES
    weights, before, after = tuned(
        Lists(lists), lambda fused: float(np.mean([(rows[:100] < 100).mean() for rows in fused])), start, trials=60
    )
    assert after > before
    assert set(weights) == set(start)
    assert min(weights.values()) > 0


def test_a_channel_that_found_nothing_keeps_its_weight_for_what_may_come():
    retriever = Lists([{"dense": ranked([1, 2]), "new": RankedItems.empty()}] * CASES)
    weights, _, _ = tuned(retriever, lambda rows: 0.0, {"dense": 2.0, "new": 0.5}, trials=3)
    assert weights == {"dense": 1.0, "new": 0.5}


@pytest.mark.parametrize("lists", [[], [{}] * CASES, [{"dense": RankedItems.empty()}] * CASES])
def test_nothing_found_leaves_nothing_to_tune(lists):
    steps = []
    result = tuned(Lists(lists), lambda rows: 0.25, trials=3, advanced=lambda *at: steps.append(at))
    assert result == (START, 0.25, 0.25)
    assert steps == []


def test_every_trial_is_reported():
    retriever, right = made_up()
    steps = []
    tuned(retriever, recall_objective(right), trials=4, advanced=lambda *at: steps.append(at))
    assert steps == [(done, 4) for done in range(1, 5)]


def test_recall_counts_fifty_fully_and_two_hundred_a_little():
    right = [np.asarray([1, 60, 150, 350], np.int32), np.empty(0, np.int32), np.asarray([5], np.int32)]
    fused = [np.arange(400, dtype=np.int32)] * 3
    # First: 1 of 4 in fifty, 3 of 4 in two hundred; the second has no answer and does not count.
    assert recall_objective(right)(fused) == pytest.approx(((0.25 + 0.3 * 0.75) + (1 + 0.3)) / 2)
    assert recall_objective([np.empty(0, np.int32)])([fused[0]]) == 0.0


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    return case_builder(tmp_path_factory.mktemp("words"))


def test_fusion_is_tuned_on_the_first_window_for_requests_with_a_user(builder):
    moments, steps = [], set()

    def known(moment):
        moments.append(moment)
        return knowing(LOG)(moment)

    weights, report = tuned_weights(
        LOG, SHOP, builder, known, seed=3, advanced=lambda step, *_: steps.add(step), cases=80
    )
    assert set(weights) == set(report) == {"both"}  # thirty users are too few to tune recommendations on
    assert set(moments) == {float(LOG.timestamp[-1]) + 1 - WINDOWS * WINDOW}
    assert steps == {"tuning the fusion of both"}
    for kind, measured in report.items():
        print(kind, measured, weights[kind])
        assert measured["cases"] >= 50
        assert measured["after"] >= measured["before"]
        replace(SPEC, channel_weights={**SPEC.channel_weights, kind: weights[kind]})


def test_tuning_does_not_look_at_what_came_after_its_window(builder):
    end = float(LOG.timestamp[-1]) + 1
    later = LOG.timestamp >= end - 2 * WINDOW
    results = [
        tuned_weights(log, SHOP, builder, knowing(log), seed=3, advanced=lambda *_: None, cases=60)
        for log in (all_logged(LOG), altered(all_logged(LOG), later))
    ]
    assert results[0] == results[1]


@pytest.mark.parametrize(
    "log", [Interactions.empty(), few(1), few(20), replace(LOG, timestamp=np.full(len(LOG), 1_600_000_000, np.int64))]
)
def test_a_log_too_short_to_tune_on_keeps_the_weights_as_they_are(log, builder):
    assert tuned_weights(log, SHOP, builder, knowing(log), seed=3, advanced=lambda *_: None) == ({}, {})
