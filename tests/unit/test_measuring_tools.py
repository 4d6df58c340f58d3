"""Shares of branches are those of a room's files, and what fuzzing found is counted over all targets."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load(name, monkeypatch):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)  # where a dataclass looks for its module
    spec.loader.exec_module(module)
    return module


def test_a_rooms_share_is_of_all_its_branches_and_low_files_come_first(monkeypatch):
    tool = load("branch_coverage", monkeypatch)
    branches = {
        "client/fuserank/a.py": tool.Branches(1, 4),
        "client/fuserank/b.py": tool.Branches(6, 6),
        "client/fuserank/empty.py": tool.Branches(0, 0),
        "ensemble/fuserank_ensemble/c.py": tool.Branches(0, 2),
    }
    assert tool.total(branches, "client").share == 0.7
    assert tool.low(branches)[1:] == [
        ["`ensemble/fuserank_ensemble/c.py`", "0 of 2"],
        ["`client/fuserank/a.py`", "1 of 4"],
    ]


def test_a_fault_fails_the_run_that_found_it_and_stays_in_the_report_until_it_is_gone(monkeypatch, tmp_path, capsys):
    tool = load("fuzz", monkeypatch)
    found = {"options": "crash-1", "queries": None}
    reported = []
    monkeypatch.setattr(tool, "BUILD", tmp_path)
    monkeypatch.setattr(tool, "_report", reported.append)
    monkeypatch.setattr(tool, "_run", lambda name, seconds: {"cases": seconds, "branches": 1, "fault": found[name]})
    assert tool.guide(["options"], 10) == 1
    assert tool.guide(["queries"], 20) == 0
    assert reported[-1] == {"fuzz_guided_cases": 30, "fuzz_guided_faults": 1}
    found["options"] = None
    assert tool.guide(["options"], 5) == 0
    assert reported[-1] == {"fuzz_guided_cases": 25, "fuzz_guided_faults": 0}
    assert "options: 5 cases, 1 branches; no fault" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("told", "status", "figures"), [("4 passed in 2 s", 0, 4_000), ("1 failed, 3 passed", 1, None)]
)
def test_cases_are_reported_where_all_passed(monkeypatch, told, status, figures):
    tool = load("fuzz", monkeypatch)
    reported = []
    monkeypatch.setattr(tool, "_report", reported.append)
    command = [sys.executable, "-c", f"print({told!r}); raise SystemExit({status})"]
    start = tool.subprocess.Popen
    monkeypatch.setattr(tool.subprocess, "Popen", lambda given, **named: start(command, **named))
    assert tool.draw_cases(1_000) == status
    assert [each["fuzz_cases"] for each in reported] == ([figures] if figures else [])
