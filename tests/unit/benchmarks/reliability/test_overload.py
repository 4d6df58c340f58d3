"""Beyond the peak: what counts as goodput and as normal again, and the figures of a measured server."""

import asyncio
import math
from collections import Counter

import pytest

from fuserank_benchmarks.inputs.queries import ShopVocabulary
from fuserank_benchmarks.load.open_loop import Outcome, send
from fuserank_benchmarks.reliability import overload, report
from fuserank_benchmarks.reliability.counters import read_degraded
from fuserank_benchmarks.reliability.overload import Burst, Overload, OverloadedServer, Place, Step
from support.standin_server import standing_in

SHOP = ShopVocabulary(["milk", "bread"], ["fresh", "whole"], ["7", "8"])


def outcome(latencies_by_second, refused=()):
    """Ten answers each second, all with the latency of that second."""
    answered = [taken for taken in latencies_by_second for _ in range(10)]
    due = [second + place / 10 for second in range(len(latencies_by_second)) for place in range(10)]
    return Outcome(answered, list(refused), 0, len(latencies_by_second), 0.0, due, cpu_seconds=1.0)


def test_goodput_is_answers_within_the_deadline_over_the_peak():
    step = Step(2.0, 8.0, outcome([100, 100, 900, 100]), Counter())
    assert step.goodput == pytest.approx(30 / 4 / 8)


def test_a_burst_is_over_when_the_p99_of_a_second_is_normal_again():
    measured = Burst(5.0, (2, 1, 4), outcome([20, 20, 400, 300, 200, 25, 20]))
    assert measured.calm_p99_ms == 20
    assert measured.normal_after_seconds == 2
    assert measured.p99_after_ms(2.0) == pytest.approx(25, abs=1)
    assert Burst(5.0, (2, 1, 2), outcome([20, 20, 400, 300, 200])).normal_after_seconds == math.inf


def test_every_figure_has_a_meaning_and_what_was_not_there_is_none():
    steps = [Step(factor, 10.0, outcome([50] * 6), Counter(facets=3)) for factor in overload.FACTORS]
    bursts = [Burst(factor, (2, 1, 3), outcome([50] * 6)) for factor in overload.BURSTS]
    measured = Overload(16, [10.0, 12.0, 11.0], steps, bursts)
    figures = report.figures("single_process", measured)
    assert figures.keys() == report.meanings("single_process").keys()
    assert figures["single_process_peak"] == 11.0
    assert figures["single_process_0_5x_refused_p99_ms"] is None
    assert figures["single_process_2x_goodput"] == 1.0
    assert figures["single_process_2x_degraded"] == 0.05
    assert figures["single_process_burst_5x_normal_after_seconds"] == 0.0
    (head, *rows) = report.tables({"single_process": measured})["single_process, at and beyond its peak"]
    assert [len(row) for row in rows] == [len(head)] * 4
    assert rows[0][-1] == "facets 3"


def test_degraded_replies_are_read_by_reason(serve_text):
    address = serve_text(
        "# TYPE fuserank_degraded_replies_total counter\n"
        'fuserank_degraded_replies_total{reason="ranker_depth"} 3\n'
        'fuserank_degraded_replies_total{reason="facets"} 1\n'
        "# TYPE other counter\nother 7\n"
    )
    assert read_degraded(address) == {"ranker_depth": 3, "facets": 1}


def test_a_server_beyond_its_peak_answers_as_many_and_refuses_the_rest(monkeypatch):
    monkeypatch.setattr(overload, "read_degraded", lambda url: Counter())
    monkeypatch.setattr(overload, "send_from_process", lambda plan: asyncio.run(send(plan)))
    monkeypatch.setattr(overload, "CALLERS", (2,))
    lines = []
    with standing_in(places=4, seconds=0.05) as (url, _):
        server = OverloadedServer(Place(url, ""), SHOP, 1.2, lines.append)
        measured = server.measure(factors=(0.5, 4.0), bursts=(4.0,))
    calm, beyond = measured.steps
    assert len(measured.peaks) == 3
    assert not calm.outcome.failed + beyond.outcome.failed
    assert beyond.outcome.refused
    assert beyond.goodput > 0
    assert len(measured.bursts) == 1
    assert any("open loop" in line for line in lines)
