"""Probes take turns in rounds, medians have intervals, and regressions lie beyond them."""

import pytest

from fuserank_benchmarks.load.rounds import interleave, ratios, summarize
from fuserank_benchmarks.speed.report import find_regressions


def test_probes_take_turns():
    order: list[str] = []

    def probe(name):
        return lambda: order.append(name) or {name: float(len(order))}

    values = interleave({"a": probe("a"), "b": probe("b")}, 2, lambda _: None)
    assert order == ["a", "b", "a", "b"]
    assert values == {"a": [1.0, 3.0], "b": [2.0, 4.0]}


def test_a_median_lies_in_its_interval_and_is_reproducible():
    values = [1.0, 1.2, 0.9, 1.1, 3.0]
    summary = summarize("x", values)
    assert summary["x"] == pytest.approx(1.1)
    assert 0.9 <= summary["x_low"] < summary["x"] < summary["x_high"] <= 3.0
    assert summarize("x", values) == summary
    assert summarize("x", []) == {"x": None, "x_low": None, "x_high": None}
    assert ratios([2, 6], [1, 2]) == [2, 3]


def test_only_ratios_beyond_both_intervals_count_as_slower():
    before = {"ceiling_ratio": 0.8, "ceiling_ratio_low": 0.75, "ceiling_ratio_high": 0.85}
    before |= {"overhead_ms": 1.0, "overhead_ms_low": 0.9, "overhead_ms_high": 1.1}
    near = {"ceiling_ratio": 0.7, "ceiling_ratio_low": 0.6, "ceiling_ratio_high": 0.76}
    assert find_regressions(before, near | {"overhead_ms": 0.5, "overhead_ms_low": 0.4, "overhead_ms_high": 0.6}) == []
    far = {"ceiling_ratio": 0.6, "ceiling_ratio_low": 0.5, "ceiling_ratio_high": 0.7}
    lines = find_regressions(before, far | {"overhead_ms": 2.0, "overhead_ms_low": 1.9, "overhead_ms_high": 2.1})
    assert [line.split()[1] for line in lines] == ["ceiling_ratio", "overhead_ms"]


def test_ratios_of_a_graph_with_a_text_tower_are_not_compared_with_those_of_one_without():
    before = {"tower_throughput": 100.0, "ceiling_ratio": 0.6, "ceiling_ratio_low": 0.5, "ceiling_ratio_high": 0.7}
    now = {"plain_throughput": 300.0, "ceiling_ratio": 0.2, "ceiling_ratio_low": 0.1, "ceiling_ratio_high": 0.3}
    (line,) = find_regressions(before, now)
    assert "not compared" in line
