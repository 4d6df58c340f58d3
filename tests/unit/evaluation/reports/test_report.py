"""Commands may share a report: each replaces its own figures and writes its own page."""

from __future__ import annotations

import json

import pytest

from fuserank_evaluation.reports import report


@pytest.fixture
def reports(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "REPORTS", tmp_path)
    return tmp_path


def test_a_part_of_a_report_replaces_only_its_own_figures(reports):
    report.merge_report("retrieval", "quality", "b-1", {"recall": 0.9, "old": 1}, {"recall": "share"}, {})
    path = report.merge_report("retrieval", "cost", "b-2", {"p50_ms": 3, "old": 2}, {"p50_ms": "ms"}, {})
    written = json.loads(path.read_text("utf-8"))
    assert path == reports / "retrieval.json"
    assert {name: written[name] for name in ("bundle", "recall", "old", "p50_ms")} == {
        "bundle": "b-2", "recall": 0.9, "old": 2, "p50_ms": 3
    }  # fmt: skip
    assert "`recall` | 0.9" in (reports / "retrieval-quality.md").read_text("utf-8")
    page = (reports / "retrieval-cost.md").read_text("utf-8")
    assert "`p50_ms` | 3 | ms" in page
    assert "recall" not in page


def test_a_report_of_one_command_drops_the_last_run(reports):
    report.write_report("demo", "b-1", {"a": 1}, {"a": "one"}, {})
    path = report.write_report("demo", "b-1", {"b": 2}, {"b": "two"}, {})
    assert "a" not in json.loads(path.read_text("utf-8"))
    assert "`b` | 2 | two" in (reports / "demo.md").read_text("utf-8")
