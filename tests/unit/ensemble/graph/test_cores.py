"""An engine gets as many threads as its container may use cores, not as many as the machine has."""

from __future__ import annotations

import os

import pytest

from fuserank_ensemble.graph.cores import usable_cores


@pytest.fixture(autouse=True)
def large_machine(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)))


@pytest.mark.parametrize(("written", "cores"), [("200000 100000\n", 2), ("150000 100000", 2), ("50000 100000", 1)])
def test_a_containers_limit_is_rounded_up_to_whole_cores(tmp_path, written, cores):
    (tmp_path / "cpu.max").write_text(written)
    assert usable_cores(tmp_path) == cores


@pytest.mark.parametrize("written", ["max 100000\n", "9900000 100000", "", "not a number"])
def test_without_a_smaller_limit_every_core_is_used(tmp_path, written):
    (tmp_path / "cpu.max").write_text(written)
    assert usable_cores(tmp_path) == 64
    assert usable_cores(tmp_path / "absent") == 64


@pytest.mark.parametrize(("quota", "cores"), [("400000", 4), ("-1", 64)])
def test_the_first_version_of_control_groups_is_read_too(tmp_path, quota, cores):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_cores(tmp_path) == cores
