"""Time and memory of a process are those of all its processes together."""

from __future__ import annotations

import sys

import pytest

from fuserank_benchmarks.export_cost.measured import busy_neighbour, measure_process

MIB = 2**20
HOLD = "import time; held = b'x' * {bytes}; time.sleep(0.8)"


def measured(code, tmp_path):
    return measure_process([sys.executable, "-c", code], tmp_path / "log")


def test_memory_is_the_peak_of_a_process(tmp_path):
    before = measured("import time; time.sleep(0.8)", tmp_path)
    holding = measured(HOLD.format(bytes=100 * MIB), tmp_path)
    assert holding.seconds >= 0.8
    assert holding.peak_mib - before.peak_mib == pytest.approx(100, abs=10)
    assert holding.peak_anonymous_mib - before.peak_anonymous_mib == pytest.approx(100, abs=10)


def test_a_child_counts(tmp_path):
    child = HOLD.format(bytes=100 * MIB)
    parent = f"import subprocess, sys; held = b'x' * {50 * MIB}; subprocess.run([sys.executable, '-c', {child!r}])"
    assert 150 < measured(parent, tmp_path).peak_mib < 200


def test_a_mapped_file_is_told_apart(tmp_path):
    file = tmp_path / "mapped"
    file.write_bytes(b"x" * 100 * MIB)
    code = f"""
import mmap, time
with open({str(file)!r}, "rb") as stream:
    mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    sum(mapped[place] for place in range(0, len(mapped), 4096))
    time.sleep(0.8)
"""
    cost = measured(code, tmp_path)
    assert cost.peak_mib > 100
    assert cost.peak_anonymous_mib < 50


def test_the_work_of_other_processes_is_told_apart_from_its_own(tmp_path):
    spin = "import time; end = time.process_time() + 1.5\nwhile time.process_time() < end: pass"
    with busy_neighbour():
        cost = measured(spin, tmp_path)
    assert cost.cpu_seconds == pytest.approx(1.5, abs=0.5)
    assert cost.other_cores > 0.2  # less than one where still others want the cores


def test_a_failure_shows_its_last_lines(tmp_path):
    with pytest.raises(SystemExit, match=r"ended with 1\n[\s\S]*no such shop"):
        measured("raise ValueError('no such shop')", tmp_path)


def test_a_neighbour_is_gone_after_the_block():
    import psutil

    with busy_neighbour():
        children = psutil.Process().children()
        assert any("while True" in " ".join(child.cmdline()) for child in children)
    assert not any("while True" in " ".join(child.cmdline()) for child in psutil.Process().children())
