"""The export's report keeps what was measured before, and compares a busy machine with a quiet one."""

from __future__ import annotations

import json

import pytest

from fuserank_benchmarks.export_cost import run
from fuserank_benchmarks.export_cost.measured import MeasuredExport, ProcessCost
from fuserank_benchmarks.export_cost.run import MEANINGS, STEPS, describe, write_export_report
from fuserank_evaluation.reports import report

STEP_SECONDS = dict.fromkeys(STEPS, 2.0)


def figures(name, load, seconds):
    return describe(
        name, load, MeasuredExport(ProcessCost(seconds, 3.21, 900.4, 512.6, 0.25), STEP_SECONDS, "full", "b-1")
    )


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    for module in (run, report):
        monkeypatch.setattr(module, "REPORTS", tmp_path)
    return tmp_path


def test_a_part_joins_what_was_measured_before(folder):
    write_export_report("b-1", figures("4k", "quiet", 120.04))
    path = write_export_report("b-1", figures("4k", "busy", 180.06))
    known = json.loads(path.read_text("utf-8"))
    assert known["export_4k_quiet_seconds"] == 120.0
    assert known["export_4k_busy_over_quiet"] == 1.5
    assert known["export_4k_quiet_peak_mib"] == 900
    assert known["export_4k_busy_train_seconds"] == 2.0
    assert known["export_1m_quiet_peak_mib"] is None
    page = (folder / "export-cost.md").read_text("utf-8")
    assert "| 4,000 | 310,000 | quiet | 120.0 | 3.2 | 900 | 513 | 0.25 |" in page
    assert "| 4,000 | 310,000 | busy | 180.1 |" in page
    assert "not measured" in page


def test_every_compared_figure_is_explained():
    explained = set(MEANINGS) - {"export_4k_busy_over_quiet"}
    measured = {key for name, shape in run.SHAPES.items() for load in run.LOADS for key in figures(name, load, 1.0)}
    assert explained <= measured
    assert "export_1k_busy_seconds" not in explained
