"""Open-loop load: when requests are due, what counts as goodput, and the process that sends it."""

import numpy as np
import pytest

from fuserank_benchmarks.load.open_loop import Outcome, Plan, arrivals, build_message, send_from_process


def test_requests_are_due_at_the_rate_and_the_same_each_time():
    moments = arrivals(200, 20)
    assert len(moments) == pytest.approx(4_000, rel=0.05)
    assert moments[-1] < 20
    gaps = np.diff(moments)
    assert (gaps > 0).all()
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.1)  # as a Poisson process's
    np.testing.assert_array_equal(moments, arrivals(200, 20))
    assert not np.array_equal(moments[:10], arrivals(200, 20, seed=8)[:10])


def test_goodput_counts_only_answers_within_the_deadline():
    outcome = Outcome(answered=[10, 20, 60], refused=[2, 30], failed=0, seconds=2, late_ms=0)
    assert outcome.goodput(50) == 1.0
    assert outcome.refused_within(10) == 0.5
    assert outcome.percentile(50) == 20


def test_a_request_that_was_lost_was_not_refused_quickly():
    assert Outcome([], [1.0], failed=1, seconds=1, late_ms=0).refused_within(10) == 0.5
    assert Outcome([1.0], [], failed=0, seconds=1, late_ms=0).refused_within(10) == 1.0


def test_a_message_holds_length_prefixed_strings():
    message = build_message("née", "7", "{}")
    assert [tensor.name for tensor in message.inputs] == ["QUERY", "USER_ID", "OPTIONS"]
    assert message.raw_input_contents[0] == b"\x04\x00\x00\x00n\xc3\xa9e"


def test_the_sending_process_needs_no_path_and_names_its_failure(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with pytest.raises(RuntimeError, match=r"open loop at 5 requests/s: 127.0.0.1:9: UNAVAILABLE"):
        send_from_process(Plan("127.0.0.1:9", [("milk", "7", "{}")], rate=5, seconds=0.1))
