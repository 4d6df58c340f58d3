"""Open-loop load: when requests are due, what counts as goodput, and the processes that send it."""

import asyncio
import time

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from fuserank_benchmarks.load import open_loop
from fuserank_benchmarks.load.open_loop import (
    Outcome,
    Plan,
    arrivals,
    build_message,
    merge,
    send,
    send_from_process,
    split,
)
from support.standin_server import standing_in

ASKED = [("milk", "7", "{}"), ("bread", "8", "{}")]


def outcome(answered, refused, *, failed=0, seconds=1.0, due=None, late_ms=0.0):
    return Outcome(answered, refused, failed, seconds, late_ms, [0.0] * len(answered) if due is None else due)


def test_requests_are_due_at_the_rate_and_the_same_each_time():
    moments = arrivals([(200, 20)])
    assert len(moments) == pytest.approx(4_000, rel=0.05)
    assert moments[-1] < 20
    gaps = np.diff(moments)
    assert (gaps > 0).all()
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.1)  # as a Poisson process's
    np.testing.assert_array_equal(moments, arrivals([(200, 20)]))
    assert not np.array_equal(moments[:10], arrivals([(200, 20)], seed=8)[:10])


def test_a_burst_is_due_between_the_calm_before_and_after_it():
    moments = arrivals([(20, 10), (400, 2), (20, 10)])
    assert (np.diff(moments) >= 0).all()
    counts = [int(((moments >= start) & (moments < end)).sum()) for start, end in ((0, 10), (10, 12), (12, 22))]
    assert counts == [pytest.approx(200, abs=50), pytest.approx(800, abs=100), pytest.approx(200, abs=50)]


def test_goodput_counts_only_answers_within_the_deadline():
    measured = outcome([10, 20, 60], [2, 30], seconds=2)
    assert measured.goodput(50) == 1.0
    assert measured.refused_within(10) == 0.5
    assert measured.percentile(50) == 20
    assert measured.refusal_percentile(100) == 30
    assert measured.sent == 5


def test_a_request_that_was_lost_was_not_refused_quickly():
    assert outcome([], [1.0], failed=1).refused_within(10) == 0.5
    assert outcome([1.0], []).refused_within(10) == 1.0


def test_answers_are_told_apart_by_when_they_were_due():
    measured = outcome([1.0, 2.0, 3.0], [], due=[0.5, 1.5, 2.5])
    assert measured.due_within(1.0, 2.5) == [2.0]


def test_a_message_holds_length_prefixed_strings_and_its_wait_in_microseconds():
    message = build_message("née", "7", "{}", deadline_ms=500)
    assert [tensor.name for tensor in message.inputs] == ["QUERY", "USER_ID", "OPTIONS"]
    assert message.raw_input_contents[0] == b"\x04\x00\x00\x00n\xc3\xa9e"
    assert message.parameters["timeout"].int64_param == 250_000
    assert not build_message("milk", "7", "{}").parameters


def test_senders_share_the_rate_and_the_requests():
    parts = split(Plan("host:1", ASKED, 900, 2, then=[(3_000, 1)]), 3)
    assert [part.steps for part in parts] == [[(300, 2), (1_000, 1)]] * 3
    assert [list(part.requests) for part in parts] == [[ASKED[0]], [ASKED[1]], ASKED]
    assert len({part.seed for part in parts}) == 3


def test_what_senders_measured_is_added_and_the_latest_of_them_counts():
    both = merge([outcome([1.0], [2.0], failed=1, late_ms=3.0), outcome([4.0], [], due=[0.9], late_ms=1.0)])
    assert (both.answered, both.refused, both.failed, both.late_ms) == ([1.0, 4.0], [2.0], 1, 3.0)
    assert both.answered_due == [0.0, 0.9]
    assert both.seconds == 1.0


def test_a_slow_server_is_sent_its_requests_when_they_are_due():
    with standing_in(places=8, seconds=0.3) as (url, server):
        started = time.perf_counter()
        measured = asyncio.run(send(Plan(url, ASKED, rate=100, seconds=0.5, deadline_ms=200)))
        took = time.perf_counter() - started
    assert server.most == 8  # a closed loop of one caller would have waited for each
    assert measured.refused
    assert measured.failed == 0
    assert measured.sent == len(arrivals([(100, 0.5)]))
    assert min(measured.answered) >= 300
    assert took < 20
    assert {
        service_pb2.ModelInferRequest.FromString(body).parameters["timeout"].int64_param for body in server.bodies
    } == {100_000}


def test_what_waits_is_bounded_and_the_rest_counts_as_failed(monkeypatch):
    monkeypatch.setattr(open_loop, "MOST_OPEN", 3)
    with standing_in(places=100, seconds=0.5) as (url, server):
        measured = asyncio.run(send(Plan(url, ASKED, rate=100, seconds=0.2)))
    assert server.most <= 3
    assert measured.failed == measured.sent - len(measured.answered) > 0


def test_the_sending_process_needs_no_path_and_names_its_failure(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with pytest.raises(RuntimeError, match=r"open loop at 5 requests/s: 127.0.0.1:9: UNAVAILABLE"):
        send_from_process(Plan("127.0.0.1:9", [("milk", "7", "{}")], rate=5, seconds=0.1))


def test_several_processes_send_a_rate_that_one_cannot(monkeypatch):
    monkeypatch.setattr(open_loop, "RATE_OF_A_SENDER", 40.0)
    with standing_in(places=100, seconds=0.01) as (url, server):
        measured = send_from_process(Plan(url, ASKED, rate=80, seconds=0.5))
    assert len(server.bodies) == 2
    assert measured.sent == len(measured.answered) > 20
    assert measured.cpu_seconds > 0
