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
    _, _, before, before_anonymous = measured("import time; time.sleep(0.8)", tmp_path)
    seconds, _, peak, anonymous = measured(HOLD.format(bytes=100 * MIB), tmp_path)
    assert seconds >= 0.8
    assert peak - before == pytest.approx(100, abs=10)
    assert anonymous - before_anonymous == pytest.approx(100, abs=10)


def test_a_child_counts(tmp_path):
    child = HOLD.format(bytes=100 * MIB)
    parent = f"import subprocess, sys; held = b'x' * {50 * MIB}; subprocess.run([sys.executable, '-c', {child!r}])"
    assert 150 < measured(parent, tmp_path)[2] < 200


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
    _, _, peak, anonymous = measured(code, tmp_path)
    assert peak > 100
    assert anonymous < 50


def test_a_failure_shows_its_last_lines(tmp_path):
    with pytest.raises(SystemExit, match=r"ended with 1\n[\s\S]*no such shop"):
        measured("raise ValueError('no such shop')", tmp_path)


def test_a_neighbour_is_gone_after_the_block():
    import psutil

    with busy_neighbour():
        children = psutil.Process().children()
        assert any("while True" in " ".join(child.cmdline()) for child in children)
    assert not any("while True" in " ".join(child.cmdline()) for child in psutil.Process().children())
