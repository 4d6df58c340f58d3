"""Figures without a value are marked as not measured, on a report's page and in the READMEs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fuserank_evaluation.reports import quote, report

REPORTS = Path(__file__).parents[4] / "docs" / "reports"


@pytest.fixture(scope="module")
def figures():
    reports = [json.loads((REPORTS / f"{name}.json").read_text("utf-8")) for name in quote.QUOTED]
    return {name: value for figures in reports for name, value in figures.items()}


@pytest.mark.parametrize(("language", "words"), [(0, "not measured"), (1, "未测量")])
def test_a_line_marks_a_missing_figure_and_keeps_the_others(figures, language, words):
    before = quote.figure_table(figures, language)
    assert words not in before
    after = quote.figure_table(figures | {"p99_ms_c1": None, "encoder_max_abs_diff_fp32": None}, language)
    assert after.count(words) == 2
    assert str(figures["p50_ms_c1"]) in after
    changed = [one for one, other in zip(before.splitlines(), after.splitlines(), strict=True) if one != other]
    assert len(changed) == 2


def test_a_page_marks_a_missing_figure_and_its_json_holds_null(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "REPORTS", tmp_path)
    meanings = {"rate": "texts/s", "count": "texts"}
    path = report.write_report("demo", "b", {"rate": None, "count": 12_345}, meanings, {})
    page = path.with_suffix(".md").read_text("utf-8")
    assert "| `rate` | not measured | texts/s |" in page
    assert "| `count` | 12,345 | texts |" in page
    assert json.loads(path.read_text("utf-8"))["rate"] is None
