"""Under load for long: growth is told after the warm-up, and latency by when it was due."""

import os

import psutil
import pytest

from fuserank_benchmarks.load.open_loop import Outcome
from fuserank_benchmarks.reliability.soak import MEANINGS, Sample, sampling, summarize, take_sample


def samples(memory, descriptors=lambda at: 50, shared=lambda at: 8.0):
    return [Sample(at, memory(at), descriptors(at), shared(at)) for at in range(600)]


def outcome(latency):
    due = [float(at) for at in range(600)]
    return Outcome([latency(at) for at in due], [5.0], 2, 600.0, 0.0, due)


def test_memory_that_grows_in_the_warm_up_alone_does_not_grow():
    figures = summarize(samples(lambda at: min(at, 100) * 5.0), outcome(lambda at: 20.0))
    assert figures["soak_memory_mb_per_minute"] == pytest.approx(0.0, abs=1e-6)
    assert figures["soak_memory_mb"] == 500.0
    assert (figures["soak_refused"], figures["soak_failed"]) == (1, 2)


def test_a_leak_and_a_drift_are_told_by_their_size():
    figures = summarize(
        samples(lambda at: 300 + at / 60 * 2.0, lambda at: 50 + at // 100, lambda at: 8.0 + at / 600),
        outcome(lambda at: 20.0 + at / 30),
    )
    assert figures["soak_memory_mb_per_minute"] == pytest.approx(2.0, abs=0.01)
    assert figures["soak_descriptors_growth"] == pytest.approx(2.5, abs=0.5)
    assert figures["soak_shared_memory_mb_growth"] == pytest.approx(0.4, abs=0.01)
    assert figures["soak_p50_drift"] == pytest.approx(39 / 31, rel=0.02)
    assert figures.keys() < MEANINGS.keys()


def test_samples_are_taken_of_a_running_process():
    sample = take_sample(psutil.Process(os.getpid()), 1.0)
    assert sample.memory > 1
    assert sample.descriptors >= 3
    with sampling(psutil.Process(os.getpid()), 1.2) as taken:
        while len(taken) < 2:
            pass
    assert [each.at for each in taken] == sorted(each.at for each in taken)
