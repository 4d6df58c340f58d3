"""Reports of measuring commands: flat, named numbers as JSON, and a page with plots beside it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

REPORTS = Path("build/reports")


def machine() -> dict[str, Any]:
    """The machine that the figures hold for."""
    model = "unknown"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def write_report(
    name: str, bundle: str, figures: Mapping[str, Any], meanings: Mapping[str, str], plots: Mapping[str, Any]
) -> Path:
    """Writes `<name>.json`, `<name>.md` and a PNG a plot.

    Args:
        name: The report's name.
        bundle: Id of the bundle that was measured.
        figures: Flat, named numbers.
        meanings: For each figure its unit and meaning; a figure without one does not stand on the page.
        plots: Matplotlib figures by caption.

    Returns:
        The JSON file.
    """
    REPORTS.mkdir(parents=True, exist_ok=True)
    about = {"machine": machine(), "date": datetime.now(UTC).isoformat(timespec="seconds"), "bundle": bundle}
    path = REPORTS / f"{name}.json"
    path.write_text(json.dumps({**about, **figures}, indent=2) + "\n", "utf-8")
    lines = [
        f"# {name}",
        "",
        f"Bundle `{bundle}`, {about['date']}, {about['machine']['cpu']}, {about['machine']['cores']} cores.",
        "",
        "| figure | value | meaning |",
        "|---|---|---|",
        *(f"| `{key}` | {figures[key]:,} | {meaning} |" for key, meaning in meanings.items()),
        "",
    ]
    for number, (caption, plot) in enumerate(plots.items(), start=1):
        image = REPORTS / f"{name}-{number}.png"
        plot.savefig(image, dpi=110, bbox_inches="tight")
        lines += [f"![{caption}]({image.name})", "", caption, ""]
    path.with_suffix(".md").write_text("\n".join(lines), "utf-8")
    return path
