"""Rounds take turns, and what compares has its interval."""

import pytest

from fuserank_benchmarks.load.rounds import interleaved, ratios, summary
from fuserank_benchmarks.speed_report import slower


def test_probes_take_turns():
    asked: list[str] = []

    def probe(name):
        return lambda: asked.append(name) or {name: float(len(asked))}

    found = interleaved({"a": probe("a"), "b": probe("b")}, 2, lambda _: None)
    assert asked == ["a", "b", "a", "b"]
    assert found == {"a": [1.0, 3.0], "b": [2.0, 4.0]}


def test_a_median_lies_in_its_interval_and_is_the_same_each_time():
    values = [1.0, 1.2, 0.9, 1.1, 3.0]
    shown = summary("x", values)
    assert shown["x"] == pytest.approx(1.1)
    assert 0.9 <= shown["x_low"] < shown["x"] < shown["x_high"] <= 3.0
    assert summary("x", values) == shown
    assert summary("x", []) == {"x": None, "x_low": None, "x_high": None}
    assert ratios([2, 6], [1, 2]) == [2, 3]


def test_only_what_lies_beyond_both_intervals_counts_as_slower():
    before = {"ceiling_ratio": 0.8, "ceiling_ratio_low": 0.75, "ceiling_ratio_high": 0.85}
    before |= {"overhead_ms": 1.0, "overhead_ms_low": 0.9, "overhead_ms_high": 1.1}
    near = {"ceiling_ratio": 0.7, "ceiling_ratio_low": 0.6, "ceiling_ratio_high": 0.76}
    assert slower(before, near | {"overhead_ms": 0.5, "overhead_ms_low": 0.4, "overhead_ms_high": 0.6}) == []
    far = {"ceiling_ratio": 0.6, "ceiling_ratio_low": 0.5, "ceiling_ratio_high": 0.7}
    lines = slower(before, far | {"overhead_ms": 2.0, "overhead_ms_low": 1.9, "overhead_ms_high": 2.1})
    assert [line.split()[1] for line in lines] == ["ceiling_ratio", "overhead_ms"]
