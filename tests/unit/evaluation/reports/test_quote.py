"""Pages quote the committed reports and nothing else; a figure that was not measured is said to be so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fuserank_evaluation import baselines
from fuserank_evaluation.reports import quote, report
from fuserank_evaluation.reports.peers import PEER_ROWS, Comparison
from fuserank_evaluation.reports.results import RESULTS

REPOSITORY = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def figures():
    return quote.read_figures(REPOSITORY / "docs" / "reports")


@pytest.mark.parametrize(("page", "language"), quote.PAGES.items(), ids=str)
def test_a_page_holds_the_figures_of_the_committed_reports(figures, page, language):
    text = (REPOSITORY / page).read_text("utf-8")
    assert quote.BLOCK.search(text)
    assert quote.quote_page(text, figures, language) == text


def test_every_table_stands_on_a_page():
    pages = [(REPOSITORY / page).read_text("utf-8") for page in quote.PAGES]
    quoted = {block[2] for text in pages for block in quote.BLOCK.finditer(text)}
    assert quoted == {"peers", *RESULTS}


@pytest.mark.parametrize(("language", "words"), [(0, "not measured"), (1, "未测量")])
def test_a_line_says_which_figure_was_not_measured_and_keeps_the_others(figures, language, words):
    before = quote.figure_table("peers", figures, language)
    assert words not in before
    after = quote.figure_table("peers", figures | {"sbert_0_throughput": None}, language)
    assert after.count(words) == 1
    assert f"{figures['sbert_0_p50_ms']:.1f}" in after
    changed = [one for one, other in zip(before.splitlines(), after.splitlines(), strict=True) if one != other]
    assert len(changed) == 1


def test_the_better_figure_is_bold_whichever_side_it_is_on():
    faster = Comparison("ours", "theirs", ".1f", more_is_better=False)
    assert faster.cells({"ours": 8.0, "theirs": 6.0}, 0) == ("8.0", "**6.0**", "1.3×")
    assert faster.cells({"ours": 3.0, "theirs": 6.0}, 0) == ("**3.0**", "6.0", "0.5×")
    assert faster.cells({"ours": 6.0, "theirs": 6.0}, 0) == ("6.0", "6.0", "1×")


def test_a_paired_difference_comes_with_its_interval():
    ranked = Comparison("ours", "theirs", ".3f", paired="over")
    measured = {"ours": 0.43, "theirs": 0.42, "over_difference": 0.01, "over_low": -0.002, "over_high": 0.022}
    assert ranked.cells(measured, 0) == ("**0.430**", "0.420", "+0.010 (-0.002 to +0.022)")


def test_a_page_says_so_too_and_its_json_holds_null(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "REPORTS", tmp_path)
    meanings = {"rate": "texts/s", "count": "texts"}
    path = report.write_report("demo", "b", {"rate": None, "count": 12_345}, meanings, {})
    page = path.with_suffix(".md").read_text("utf-8")
    assert "| `rate` | not measured | texts/s |" in page
    assert "| `count` | 12,345 | texts |" in page
    assert json.loads(path.read_text("utf-8"))["rate"] is None


def test_the_quoted_tables_name_baselines_as_the_evaluation_does():
    folder = Path(baselines.__file__).parent
    named = set(re.findall(r"^ +name(?:: str)? = \"(\w+)\"", _code(folder), re.MULTILINE))
    named |= set(re.findall(r"TextChannel\(\"(\w+)\"", (folder / "channels.py").read_text())) | {"rrf"}
    text = str(RESULTS) + str(PEER_ROWS)
    quoted = {name.removesuffix("_windows_mean") for name in re.findall(r"_baseline_(\w+)", text)}
    assert quoted - named == set()
    assert len(quoted) > 5


def _code(folder):
    return "\n".join(path.read_text("utf-8") for path in sorted(folder.glob("*.py")))


def test_a_table_names_the_machine_of_its_own_report(figures):
    elsewhere = figures | {"machine_hybrid": {"cores": 3, "cpu": "Z80"}}
    assert quote.figure_table("hybrid", elsewhere).startswith("| 3 shared cores of Z80 |")
    assert "Z80" not in quote.figure_table("speed", elsewhere)
