"""The gate measures errors, ranking and speed, and passes engines within its limits."""

from __future__ import annotations

import time

import numpy as np
import pytest

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY
from fuserank_export.engines.parity.gate import (
    compare_outputs,
    find_problems,
    mean_overlap,
    measure_ndcg,
    relative_loss,
    trace_requests,
)
from fuserank_export.engines.parity.requests import RealRequest, draw_requests, read_judged_requests, sample_titles
from fuserank_export.engines.parity.speed import mean_speedup, measure_milliseconds


@pytest.fixture(scope="module")
def bundle(tiny_bundle):
    return Bundle.open(tiny_bundle, verify=())


def test_ndcg_equals_values_computed_by_hand():
    requests = [
        RealRequest("a", "", {"x": 1, "y": 1}),
        RealRequest("b", "", {"x": 1}),
        RealRequest("c", "", {"x": 2, "y": 1}),
    ]
    values = measure_ndcg([["x", "n", "y"], [], ["y", "x"]], requests)
    ideal = 1 + 1 / np.log2(3)
    assert values == pytest.approx([(1 + 1 / 2) / ideal, 0.0, (1 + 2 / np.log2(3)) / (2 + 1 / np.log2(3))])


def test_overlap_is_the_share_of_kept_items_in_any_order():
    assert mean_overlap([["a", "b"], ["c"]], [["b", "a"], ["d"]]) == 0.5
    assert mean_overlap([[], ["a"]], [[], ["a", "b"]]) == 0.75
    assert mean_overlap([["a"]], [[]]) == 0.0


def test_a_loss_is_relative_and_a_gain_is_negative():
    before = np.array([0.5, 0.3])
    assert relative_loss(np.array([0.4, 0.36]), before) == pytest.approx(0.05)
    assert relative_loss(np.array([0.6, 0.3]), before) == pytest.approx(-0.125)
    assert relative_loss(np.zeros(2), np.zeros(2)) == 0.0


@pytest.mark.parametrize(
    ("error", "ndcg_loss", "top10_overlap", "reason"),
    [
        (0.02, 0.0, 1.0, "its output differs from FP32's by 0.02 of its norm; allowed: 0.01"),
        (0.0, 0.0051, 1.0, "nDCG@10 is 0.51% lower; allowed: 0.5%"),
        (0.0, 0.0, 0.949, "0.949 of FP32's first ten are kept; allowed: 0.95"),
        (float("nan"), float("nan"), float("nan"), "nan of its norm"),
    ],
)
def test_an_engine_beyond_a_limit_does_not_pass_and_its_layers_are_named(error, ndcg_loss, top10_overlap, reason):
    problems = find_problems(0.01, error, ndcg_loss, top10_overlap, lambda: "layer 3 disagrees")
    assert any(reason in problem for problem in problems)
    assert problems[-1] == "layer 3 disagrees"


def test_an_engine_within_all_limits_passes_without_comparing_layers():
    assert find_problems(0.3, 0.2, 0.004, 0.96, lambda: pytest.fail("asked for layers")) == ()


def test_nan_is_an_infinite_difference():
    class Broken:
        def run(self, outputs, feeds):
            return [np.array([[np.nan, 1.0]], np.float32)]

    assert compare_outputs(Broken(), "y", [{}], [np.ones((1, 2), np.float32)]) == (float("inf"), float("inf"))


def test_requests_are_of_every_kind_and_have_relevant_items(bundle):
    requests = draw_requests(bundle, 60, 13)
    kinds = {(bool(request.query), bool(request.user)) for request in requests}
    assert kinds == {(True, False), (False, True), (True, True)}
    assert all(request.relevant for request in requests)
    known = {item.decode() for item in bundle.items.ids}
    assert all(set(request.relevant) <= known for request in requests)
    assert requests == draw_requests(bundle, 60, 13) != draw_requests(bundle, 60, 14)


def test_relevant_for_a_user_are_the_items_of_their_last_day(bundle, tiny_shop):
    for request in draw_requests(bundle, 60, 13):
        if request.user and not request.query:
            history = bundle.histories.get(request.user)
            late = history.rows[history.last >= history.last.max() - SECONDS_PER_DAY]
            assert set(request.relevant) == {bundle.items.ids[row].decode() for row in late}


def test_judged_queries_are_read_as_requests(bundle, tmp_path):
    (tmp_path / "q.tsv").write_text("1\twhole milk\n2\tdish soap\n")
    (tmp_path / "j.tsv").write_text("1 0 i00 2\n1 0 i01 0\n2 0 i17 1\n")
    assert read_judged_requests(bundle, tmp_path / "q.tsv", tmp_path / "j.tsv") == [
        RealRequest("whole milk", "", {"i00": 2}),
        RealRequest("dish soap", "", {"i17": 1}),
    ]


def test_decimal_grades_become_whole_ones_in_the_same_proportion(bundle, tmp_path):
    (tmp_path / "q.tsv").write_text("1\twhole milk\n")
    (tmp_path / "j.tsv").write_text("1\ti00\t1.5\n1\ti01\t0.5\n1\ti17\t0\n")
    (request,) = read_judged_requests(bundle, tmp_path / "q.tsv", tmp_path / "j.tsv")
    assert request.relevant == {"i00": 1_500, "i01": 500}


def test_sampled_titles_end_with_the_longest(bundle):
    titles = sample_titles(bundle, 8)
    assert len(titles) == 9
    assert len(titles[-1]) == max(map(len, titles))


def test_the_same_engine_ranks_the_same_and_its_inputs_are_traced(bundle):
    requests = draw_requests(bundle, 20, 13)
    first, feeds = trace_requests(LocalGraph(bundle), requests)
    second, _ = trace_requests(LocalGraph(bundle), requests)
    assert first.ids == second.ids
    assert mean_overlap(first.ids, second.ids) == 1.0
    assert sum(len(feed["INPUT_IDS"]) for feed in feeds["encoder"]) == len(requests)
    assert all({"FEATURES", "VECTORS"} <= set(feed) for feed in feeds["ranker"])
    assert first.ndcg.mean() > 0.2  # the tiny shop's users have habits


def test_speed_is_measured_in_turns_and_averaged_over_ratios(monkeypatch):
    now, runs = 0.0, []
    monkeypatch.setattr(time, "perf_counter", lambda: now)

    class Slow:
        def __init__(self, seconds):
            self.seconds = seconds

        def run(self, outputs, feeds):
            nonlocal now
            now += self.seconds
            runs.append(self.seconds)

    times = measure_milliseconds({"fp32": Slow(0.008), "own": Slow(0.002)}, "y", {"16": {}, "32": {}})
    assert times == {"fp32": {"16": 8.0, "32": 8.0}, "own": {"16": 2.0, "32": 2.0}}
    assert runs == [0.008, 0.002] * (len(runs) // 2)
    assert mean_speedup(times["fp32"], times["own"]) == 4.0
    assert mean_speedup({"a": 8.0, "b": 2.0}, {"a": 2.0, "b": 2.0}) == 2.0
