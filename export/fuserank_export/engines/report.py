"""The table of engines: as JSON for programs, as a page for people."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fuserank_export.engines.parity.gate import LARGEST_NDCG_LOSS, SMALLEST_OVERLAP

KEY = ("engine", "kind", "precision", "method")
HEAD = (
    *("engine", "kind", "precision", "method", "max abs diff", "nDCG@10 loss", "top-10 overlap"),
    *("times FP32's speed", "MB", "passes"),
)


def machine() -> dict[str, Any]:
    """What the speeds hold for."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return {"cpu": model, "cores": os.cpu_count(), "system": platform.platform()}


def write_report(path: Path, bundle: str, about: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes `parity.json` and, beside it, `parity.md`. Rows of the same bundle that were measured before are kept.

    Args:
        path: The JSON file.
        bundle: Id of the bundle whose engines these are.
        about: What the rows were measured against.
        rows: One an engine, see `fuserank_export.engines.parity.gate.Parity`.
    """
    before = _rows_of(path, bundle)
    measured = {tuple(row[name] for name in KEY): row for row in [*before, *rows]}
    report = {
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "bundle": bundle,
        **about,
        "engines": list(measured.values()),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    path.with_suffix(".md").write_text(_page(report), "utf-8")


def _rows_of(path: Path, bundle: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, json.JSONDecodeError):
        return []
    return list(found["engines"]) if found.get("bundle") == bundle else []


def _page(report: Mapping[str, Any]) -> str:
    machine = report["machine"]
    lines = [
        "# Engines",
        "",
        f"Bundle `{report['bundle']}`, {report['date']}, {machine['cpu']}, {machine['cores']} cores. Ranking is "
        f"compared on real requests with {report['reference']}; an engine passes with at most "
        f"{LARGEST_NDCG_LOSS:.1%} less nDCG@10 and at least {SMALLEST_OVERLAP} of the first ten.",
        "",
        "| " + " | ".join(HEAD) + " |",
        "|" + "---|" * len(HEAD),
        *("| " + " | ".join(_cells(row)) + " |" for row in report["engines"]),
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


def _cells(row: Mapping[str, Any]) -> list[str]:
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
