"""Forked processes give what one process would, in the same order, and their failures arrive."""

from __future__ import annotations

import os

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fuserank_export import forked  # noqa: E402  they need torch
from fuserank_export.forked import map_forked, spare_processes, started  # noqa: E402
from fuserank_export.training.fitting.at_once import fit_at_once  # noqa: E402
from fuserank_export.training.fitting.budget import TimeBudget  # noqa: E402


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_tasks(processes):
    held = np.arange(1_000)  # is not sent: a forked process has it
    assert list(map_forked(lambda start: held[start : start + 3].sum(), [0, 500, 10], processes)) == [3, 1503, 33]


def test_several_processes_work():
    assert os.getpid() not in set(map_forked(lambda _: os.getpid(), range(8), 2))
    assert set(map_forked(lambda _: os.getpid(), range(8), 1)) == {os.getpid()}


def test_a_failure_is_raised_here():
    def fail(number):
        raise ValueError(f"no case {number}")

    with pytest.raises(ValueError, match="no case 7"):
        list(map_forked(fail, [7], 2))


def test_a_process_that_dies_does_not_hang():
    with pytest.raises(Exception, match="terminated abruptly"):
        list(map_forked(lambda _: os._exit(1), [0, 1], 2))


def test_a_model_is_learned_beside_another_after_this_process_has_learned_one():
    def learn(seed):
        torch.manual_seed(seed)
        layer = torch.nn.Linear(40, 40)
        layer(torch.ones(9, 40)).sum().backward()
        return layer, layer.weight.grad.sum()

    expected = learn(1), learn(2)
    with started(lambda: learn(2)) as wait:
        first = learn(1)
        second = wait()
    for (layer, gradient), (known, known_gradient) in zip((first, second), expected, strict=True):
        assert torch.equal(layer.weight, known.weight)
        assert torch.equal(gradient, known_gradient)


def test_processes_of_a_launcher_fork_none(monkeypatch):
    monkeypatch.setattr(forked, "cpu_count", lambda: 8)
    assert (spare_processes(3), spare_processes(20), spare_processes(0)) == (3, 8, 1)
    monkeypatch.setenv("RANK", "0")
    assert spare_processes(3) == 1


@pytest.mark.parametrize("cores", [1, 2])
def test_the_budget_knows_which_fits_it_ended_in_whichever_process(monkeypatch, cores):
    monkeypatch.setattr(forked, "cpu_count", lambda: cores)
    budget = TimeBudget(1.0)
    budget.stopped.append(0.5)

    def fit(epochs):
        budget.stopped.append(epochs)
        return os.getpid()

    pids = fit_at_once([lambda: fit(1.0), lambda: fit(2.0)], budget)
    assert budget.stopped == [0.5, 1.0, 2.0]
    assert len(set(pids)) == cores
