"""Sweeps of a server end where it refuses requests; its CPU time is that of all its processes."""

from types import SimpleNamespace

import pytest

from fuserank_benchmarks.inputs.queries import ShopVocabulary
from fuserank_benchmarks.load.fuserank_server import FuseRankServer, cpu_seconds
from fuserank_benchmarks.perf_analyzer.program import PerfAnalyzerError


def test_a_sweep_ends_with_a_warning_where_the_server_refuses(monkeypatch):
    server = FuseRankServer("tower", "127.0.0.1:1", ShopVocabulary(["milk"], ["fresh"], ["7"]), None, 1.0)

    def sweep(loads, **settings):
        if loads[0] > 2:
            raise PerfAnalyzerError("Request timeout expired")
        return list(loads)

    monkeypatch.setattr(server, "sweep", sweep)
    with pytest.warns(UserWarning, match="tower: the sweep ends before 4: Request timeout expired"):
        assert server.sweep_until_refused([1, 2, 4, 8]) == [1, 2]
    with pytest.raises(PerfAnalyzerError):
        server.sweep_until_refused([8])


def test_cpu_time_counts_children():
    class Part:
        def __init__(self, user, system, children=()):
            self._times, self._children = SimpleNamespace(user=user, system=system), children

        def cpu_times(self):
            return self._times

        def children(self, recursive):
            assert recursive
            return list(self._children)

    assert cpu_seconds(Part(1.0, 0.5, [Part(2.0, 0.25)])) == 3.75
