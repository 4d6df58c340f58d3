"""Open-loop load: when requests are due, and what counts as good; questions repeat as people's do."""

import numpy as np
import pytest

from fuserank_benchmarks.load.open_loop import Outcome, arrivals, message
from fuserank_benchmarks.load.ours import Ours
from fuserank_benchmarks.load.questions import Load, ShopQuestions, zipf_weights
from fuserank_benchmarks.perf_analyzer.program import PerfAnalyzerError


def test_requests_are_due_at_the_rate_and_the_same_each_time():
    moments = arrivals(200, 20)
    assert len(moments) == pytest.approx(4_000, rel=0.05)
    assert moments[-1] < 20
    gaps = np.diff(moments)
    assert (gaps > 0).all()
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.1)  # as a Poisson process's
    np.testing.assert_array_equal(moments, arrivals(200, 20))
    assert not np.array_equal(moments[:10], arrivals(200, 20, seed=8)[:10])


def test_goodput_counts_only_what_came_in_time():
    outcome = Outcome(answered=[10, 20, 60], refused=[2, 30], failed=0, seconds=2, late_ms=0)
    assert outcome.goodput(50) == 1.0
    assert outcome.refused_within(10) == 0.5
    assert outcome.percentile(50) == 20


def test_a_request_that_was_lost_was_not_refused_quickly():
    assert Outcome([], [1.0], failed=1, seconds=1, late_ms=0).refused_within(10) == 0.5
    assert Outcome([1.0], [], failed=0, seconds=1, late_ms=0).refused_within(10) == 1.0


def test_a_message_holds_length_prefixed_strings():
    request = message("née", "7", "{}")
    assert [each.name for each in request.inputs] == ["QUERY", "USER_ID", "OPTIONS"]
    assert request.raw_input_contents[0] == b"\x04\x00\x00\x00n\xc3\xa9e"


def test_each_kind_of_question_leaves_out_what_it_has_not():
    load = Load(["milk"], ["7"])
    assert load.rows("both", '{"k":5}') == [("milk", "7", '{"k":5}')]
    assert load.rows("query") == [("milk", "", "{}")]
    assert load.rows("user") == [("", "7", "{}")]


def test_with_zipf_few_queries_are_asked_often():
    weights = zipf_weights(1_000, np.random.default_rng(7))
    assert weights.sum() == pytest.approx(1)
    assert np.sort(weights)[::-1][:10].sum() > 0.1  # of all equally often asked, ten would be a hundredth
    assert weights.argmax() != 0  # the frequent ones are not the first by the alphabet


def test_questions_repeat_as_asked_for():
    shop = ShopQuestions([f"type {n}" for n in range(50)], [f"word {n}" for n in range(200)], ["7", "8"])
    fresh, even, often = (shop.draw(1_000, repeats) for repeats in ("none", "even", "zipf"))
    assert fresh == shop.draw(1_000, "none")
    assert fresh != shop.draw(1_000, "none", seed=8)
    assert len(set(fresh.queries)) > 900
    assert set(even.queries) <= set(shop.types)
    top = [max(load.queries.count(query) for query in set(load.queries)) for load in (even, often)]
    assert top[1] > 2 * top[0]
    assert set(fresh.users) == {"7", "8"}


def test_a_sweep_ends_where_the_server_refuses_and_says_so(monkeypatch):
    ours = Ours("tower", "127.0.0.1:1", ShopQuestions(["milk"], ["fresh"], ["7"]), None, 1.0)

    def sweep(loads, **way):
        if loads[0] > 2:
            raise PerfAnalyzerError("Request timeout expired")
        return list(loads)

    monkeypatch.setattr(ours, "sweep", sweep)
    with pytest.warns(UserWarning, match="tower: the sweep ends before 4: Request timeout expired"):
        assert ours.climb([1, 2, 4, 8]) == [1, 2]
    with pytest.raises(PerfAnalyzerError):
        ours.climb([8])
