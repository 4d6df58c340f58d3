"""Writes the report of engines as JSON and as a Markdown page."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fuserank_export.engines.parity.gate import MAX_NDCG_LOSS, MIN_OVERLAP

KEY_COLUMNS = ("engine", "kind", "precision", "method")
HEADER = (
    *("engine", "kind", "precision", "method", "max abs diff", "nDCG@10 loss", "top-10 overlap"),
    *("times FP32's speed", "MB", "passes"),
)


def describe_machine() -> dict[str, Any]:
    """Returns this machine's `cpu`, `cores` and `system`, for which the speeds hold."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text("utf-8").splitlines() if cpuinfo.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return {"cpu": model, "cores": os.cpu_count(), "system": platform.platform()}


def write_report(path: Path, bundle: str, about: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes a JSON file and a Markdown page beside it; rows of earlier runs on the same bundle are kept.

    Args:
        path: The JSON file.
        bundle: Id of the bundle.
        about: What the rows were compared with.
        rows: A row for each engine, see `fuserank_export.engines.parity.gate.Parity`.
    """
    earlier = _read_rows(path, bundle)
    by_key = {tuple(row[name] for name in KEY_COLUMNS): row for row in [*earlier, *rows]}
    report = {
        "machine": describe_machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "bundle": bundle,
        **about,
        "engines": list(by_key.values()),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    path.with_suffix(".md").write_text(_format_page(report), "utf-8")


def _read_rows(path: Path, bundle: str) -> list[dict[str, Any]]:
    """Returns the rows of an earlier report on the same bundle; none where there is no such report."""
    try:
        report = json.loads(path.read_text("utf-8"))
    except (OSError, json.JSONDecodeError):
        return []
    return list(report["engines"]) if report.get("bundle") == bundle else []


def _format_page(report: Mapping[str, Any]) -> str:
    machine = report["machine"]
    lines = [
        "# Engines",
        "",
        f"Bundle `{report['bundle']}`, {report['date']}, {machine['cpu']}, {machine['cores']} cores. Ranking is "
        f"compared on real requests with {report['reference']}; an engine passes with at most "
        f"{MAX_NDCG_LOSS:.1%} less nDCG@10 and at least {MIN_OVERLAP} of the first ten.",
        "",
        "| " + " | ".join(HEADER) + " |",
        "|" + "---|" * len(HEADER),
        *("| " + " | ".join(_format_row(row)) + " |" for row in report["engines"]),
        "",
    ]
    for row in report["engines"]:
        if row["problems"]:
            lines += [f"- **{row['engine']}, {row['precision']}, {row['method']}**: {'; '.join(row['problems'])}"]
    times = [row for row in report["engines"] if row["milliseconds"]]
    if times:
        lines += ["", "Milliseconds of one request by bucket:", ""]
        lines += ["| engine | kind | precision | method | |", "|---|---|---|---|---|"]
        lines += [
            f"| {row['engine']} | {row['kind']} | {row['precision']} | {row['method']} | "
            + ", ".join(f"{bucket}: {value:g}" for bucket, value in row["milliseconds"].items())
            + " |"
            for row in times
        ]
    return "\n".join(lines) + "\n"


def _format_row(row: Mapping[str, Any]) -> list[str]:
    speed = row["speedup_vs_fp32"]
    return [
        *(row["engine"], row["kind"], row["precision"], row["method"]),
        f"{row['max_abs_diff']:.2g}",
        f"{row['ndcg_loss_relative']:.2%}",
        f"{row['top10_overlap']:.3f}",
        "not measured here" if speed is None else f"{speed:.2f}",
        f"{row['bytes'] / 1e6:.1f}",
        "yes" if row["passes"] else "no",
    ]
