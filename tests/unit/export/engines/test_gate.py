"""The gate: what it measures, worked by hand, and what it lets through."""

from __future__ import annotations

import time

import numpy as np
import pytest

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_export.engines.parity.gate import loss, ndcg, overlap, record, tensor_agreement, verdict
from fuserank_export.engines.parity.requests import RealRequest, drawn, judged, texts
from fuserank_export.engines.parity.speed import milliseconds, speedup


@pytest.fixture(scope="module")
def bundle(tiny_bundle):
    return Bundle.open(tiny_bundle, verify=())


def test_ndcg_is_that_of_paper_and_pencil():
    requests = [
        RealRequest("a", "", {"x": 1, "y": 1}),
        RealRequest("b", "", {"x": 1}),
        RealRequest("c", "", {"x": 2, "y": 1}),
    ]
    found = ndcg([["x", "n", "y"], [], ["y", "x"]], requests)
    ideal = 1 + 1 / np.log2(3)
    assert found == pytest.approx([(1 + 1 / 2) / ideal, 0.0, (1 + 2 / np.log2(3)) / (2 + 1 / np.log2(3))])


def test_overlap_counts_what_was_kept_whatever_the_order():
    assert overlap([["a", "b"], ["c"]], [["b", "a"], ["d"]]) == 0.5
    assert overlap([[], ["a"]], [[], ["a", "b"]]) == 0.75
    assert overlap([["a"]], [[]]) == 0.0


def test_a_loss_is_a_share_of_what_was_there_and_a_gain_is_negative():
    before = np.array([0.5, 0.3])
    assert loss(np.array([0.4, 0.36]), before) == pytest.approx(0.05)
    assert loss(np.array([0.6, 0.3]), before) == pytest.approx(-0.125)
    assert loss(np.zeros(2), np.zeros(2)) == 0.0


@pytest.mark.parametrize(
    ("error", "lost", "kept", "reason"),
    [
        (0.02, 0.0, 1.0, "its output differs from FP32's by 0.02 of its norm; allowed: 0.01"),
        (0.0, 0.0051, 1.0, "nDCG@10 is 0.51% lower; allowed: 0.5%"),
        (0.0, 0.0, 0.949, "0.949 of FP32's first ten are kept; allowed: 0.95"),
        (float("nan"), float("nan"), float("nan"), "nan of its norm"),
    ],
)
def test_an_engine_beyond_any_limit_does_not_pass_and_its_layers_are_named(error, lost, kept, reason):
    problems = verdict(0.01, error, lost, kept, lambda: "layer 3 disagrees")
    assert any(reason in problem for problem in problems)
    assert problems[-1] == "layer 3 disagrees"


def test_an_engine_within_all_limits_passes_and_no_layer_is_looked_at():
    assert verdict(0.3, 0.2, 0.004, 0.96, lambda: pytest.fail("asked for layers")) == ()


def test_a_number_that_is_none_is_an_infinite_difference():
    class Broken:
        def run(self, outputs, feeds):
            return [np.array([[np.nan, 1.0]], np.float32)]

    assert tensor_agreement(Broken(), "y", [{}], [np.ones((1, 2), np.float32)]) == (float("inf"), float("inf"))


def test_requests_are_of_every_kind_and_each_has_something_right(bundle):
    requests = drawn(bundle, 60, 13)
    kinds = {(bool(each.query), bool(each.user)) for each in requests}
    assert kinds == {(True, False), (False, True), (True, True)}
    assert all(each.relevant for each in requests)
    known = {item.decode() for item in bundle.items.ids}
    assert all(set(each.relevant) <= known for each in requests)
    assert requests == drawn(bundle, 60, 13) != drawn(bundle, 60, 14)


def test_what_is_right_for_a_user_is_what_was_had_last(bundle, tiny_shop):
    for each in drawn(bundle, 60, 13):
        if each.user and not each.query:
            history = bundle.histories.get(each.user)
            late = history.rows[history.last >= history.last.max() - 86_400]
            assert set(each.relevant) == {bundle.items.ids[row].decode() for row in late}


def test_judged_queries_take_the_place_of_drawn_ones(bundle, tmp_path):
    (tmp_path / "q.tsv").write_text("1\twhole milk\n2\tdish soap\n")
    (tmp_path / "j.tsv").write_text("1 0 i00 2\n1 0 i01 0\n2 0 i17 1\n")
    assert judged(bundle, tmp_path / "q.tsv", tmp_path / "j.tsv") == [
        RealRequest("whole milk", "", {"i00": 2}),
        RealRequest("dish soap", "", {"i17": 1}),
    ]


def test_texts_are_real_titles_the_longest_last(bundle):
    found = texts(bundle, 8)
    assert len(found) == 9
    assert len(found[-1]) == max(map(len, found))


def test_the_same_engine_ranks_the_same_and_its_inputs_are_recorded(bundle):
    requests = drawn(bundle, 20, 13)
    first, feeds = record(LocalGraph(bundle), requests)
    second, _ = record(LocalGraph(bundle), requests)
    assert first.ids == second.ids
    assert overlap(first.ids, second.ids) == 1.0
    assert sum(len(feed["INPUT_IDS"]) for feed in feeds["encoder"]) == len(requests)
    assert all({"FEATURES", "VECTORS"} <= set(feed) for feed in feeds["ranker"])
    assert first.ndcg.mean() > 0.2  # the tiny shop's users have habits


def test_speed_is_compared_in_turns_and_as_a_mean_of_ratios(monkeypatch):
    now, runs = 0.0, []
    monkeypatch.setattr(time, "perf_counter", lambda: now)

    class Slow:
        def __init__(self, seconds):
            self.seconds = seconds

        def run(self, outputs, feeds):
            nonlocal now
            now += self.seconds
            runs.append(self.seconds)

    times = milliseconds({"fp32": Slow(0.008), "own": Slow(0.002)}, "y", {"16": {}, "32": {}})
    assert times == {"fp32": {"16": 8.0, "32": 8.0}, "own": {"16": 2.0, "32": 2.0}}
    assert runs == [0.008, 0.002] * (len(runs) // 2)
    assert speedup(times["fp32"], times["own"]) == 4.0
    assert speedup({"a": 8.0, "b": 2.0}, {"a": 2.0, "b": 2.0}) == 2.0
