"""`fuserank evaluate quote`: copies the reports that pages quote, and writes their figures into the pages."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuserank_evaluation.reports.peers import PEER_HEAD, PEER_ROWS
from fuserank_evaluation.reports.report import REPORTS
from fuserank_evaluation.reports.results import RESULTS

COMMITTED = Path("docs/reports")
# A figure that two reports name is the later one's; `demo` has names of its own for the two that `bench` has too.
QUOTED = (
    "demo",
    "retrieval",
    "relevance",
    "shopper",
    "replica",
    "export",
    "live",
    "people",
    "hybrid",
    "reliability",
    "bench",
)
COPIED = (*QUOTED, "parity", "exploration")
NOT_MEASURED = ("not measured", "未测量")
ENGLISH, CHINESE = 0, 1
PAGES: Mapping[Path, int] = {
    Path("README.md"): ENGLISH,
    Path("README.zh-CN.md"): CHINESE,
    Path("docs/results.md"): ENGLISH,
}
# A page names the table that stands between two marks.
BLOCK = re.compile(r"(<!-- figures (\w+) -->\n).*?(<!-- /figures -->)", re.S)


@dataclass(frozen=True)
class NotMeasured:
    """Stands in for a figure without a value, in any format that a line asks for."""

    words: str

    def __format__(self, spec: str) -> str:
        """The words."""
        return self.words


def read_figures(folder: Path = COMMITTED) -> dict[str, Any]:
    """The figures of all quoted reports by name, with those in gigabytes that pages show so.

    Args:
        folder: Holds a JSON file a report.
    """
    reports = {name: json.loads((folder / f"{name}.json").read_text("utf-8")) for name in QUOTED}
    figures = {name: value for report in reports.values() for name, value in report.items()}
    figures |= {f"{name}_demo": reports["demo"][name] for name in ("start_seconds", "raw_model_ms", "overhead_ms")}
    for bundle in ("tower", "plain", "items_10k", "items_1m"):
        figures[f"resident_gb_{bundle}"] = figures[f"resident_bytes_{bundle}"] / 1e9
    # Not all reports are of one machine; a table has the name of its report.
    figures |= {f"machine_{name}": report["machine"] for name, report in reports.items()}
    for stack in ("hybrid", "hybrid_peer"):
        figures[f"{stack}_resident_gb"] = figures[f"{stack}_resident_bytes"] / 1e9
    return figures


def figure_table(name: str, figures: Mapping[str, Any], language: int = ENGLISH) -> str:
    """One table in Markdown.

    Args:
        name: `peers`, or a table of `RESULTS`.
        figures: What the reports hold; None where a figure was not measured.
        language: 0 for English, 1 for Chinese; `RESULTS` are English.
    """
    known = {key: NotMeasured(NOT_MEASURED[language]) if value is None else value for key, value in figures.items()}
    lines: list[list[str]] = []
    if name == "peers":
        lines.append(list(PEER_HEAD[language]))
        for row in PEER_ROWS:
            columns = zip(*(pair.cells(known, language) for pair in row.comparisons), strict=True)
            lines.append([row.peer[language], row.measured[language], *(" · ".join(cells) for cells in columns)])
    else:
        machine = figures.get(f"machine_{name}", figures["machine"])
        lines.append([f"{machine['cores']} shared cores of {machine['cpu']}", "FuseRank", "compared with"])
        lines += [[cell.format(**known) for cell in line] for line in RESULTS[name]]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def quote_page(text: str, figures: Mapping[str, Any], language: int) -> str:
    """A page's text with every table between its marks made anew."""
    return BLOCK.sub(lambda block: f"{block[1]}{figure_table(block[2], figures, language)}\n{block[3]}", text)


def quote_reports() -> None:
    """Copies the last reports to `docs/reports`, and writes their figures between the marks of every page."""
    COMMITTED.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        for path in REPORTS.glob(f"{name}*"):
            shutil.copy(path, COMMITTED / path.name)
    figures = read_figures()
    for page, language in PAGES.items():
        page.write_text(quote_page(page.read_text("utf-8"), figures, language), "utf-8")
