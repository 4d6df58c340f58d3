"""Reports of measuring commands: flat, named numbers as JSON, and a page with plots beside it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil

REPORTS = Path("build/reports")
Table = Sequence[Sequence[str]]


def machine() -> dict[str, Any]:
    """Describes the machine that the figures were measured on."""
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
        figures: Flat, named numbers; None where one was not measured this time.
        meanings: For each figure its unit and meaning; the page leaves out figures without one.
        plots: Matplotlib figures by caption.

    Returns:
        The JSON file.
    """
    path = REPORTS / f"{name}.json"
    _write_figures(path, bundle, figures, {})
    _write_page(name, bundle, figures, meanings, plots)
    return path


def merge_report(
    name: str,
    part: str,
    bundle: str | None,
    figures: Mapping[str, Any],
    meanings: Mapping[str, str],
    plots: Mapping[str, Any],
    tables: Mapping[str, Table] = MappingProxyType({}),
) -> Path:
    """Writes one command's part of a report that several commands share.

    Args:
        name: The report's name: its JSON keeps the figures that other commands wrote.
        part: What this command measures; its page is `<name>-<part>.md`.
        bundle: Id of the bundle that was measured; None where none was: the report keeps the one that it names.
        figures: Flat, named numbers; those of the same name are replaced.
        meanings: See `write_report`.
        plots: See `write_report`.
        tables: Rows of cells by caption, the first row being the head; they stand before the plots.

    Returns:
        The JSON file.
    """
    path = REPORTS / f"{name}.json"
    kept = json.loads(path.read_text("utf-8")) if path.exists() else {}
    _write_figures(path, bundle or kept.get("bundle", ""), figures, kept)
    _write_page(f"{name}-{part}", bundle, figures, meanings, plots, tables)
    return path


def _write_figures(path: Path, bundle: str, figures: Mapping[str, Any], kept: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"machine": machine(), "date": _now(), "bundle": bundle}
    others = {key: value for key, value in kept.items() if key not in about}
    path.write_text(json.dumps({**about, **others, **figures}, indent=2) + "\n", "utf-8")


def _write_page(
    name: str,
    bundle: str | None,
    figures: Mapping[str, Any],
    meanings: Mapping[str, str],
    plots: Mapping[str, Any],
    tables: Mapping[str, Table] = MappingProxyType({}),
) -> None:
    about = machine()
    measured = f"Bundle `{bundle}`, " if bundle else ""
    lines = [
        f"# {name}",
        "",
        f"{measured}{_now()}, {about['cpu']}, {about['cores']} cores.",
        "",
        "| figure | value | meaning |",
        "|---|---|---|",
        *(f"| `{key}` | {_format_figure(figures[key])} | {meaning} |" for key, meaning in meanings.items()),
        "",
    ]
    for caption, (head, *rows) in tables.items():
        ruled = [head, ["---"] * len(head), *rows]
        lines += [f"**{caption}**", "", *("| " + " | ".join(row) + " |" for row in ruled), ""]
    for number, (caption, plot) in enumerate(plots.items(), start=1):
        image = REPORTS / f"{name}-{number}.png"
        plot.savefig(image, dpi=110, bbox_inches="tight")
        lines += [f"![{caption}]({image.name})", "", caption, ""]
    (REPORTS / f"{name}.md").write_text("\n".join(lines), "utf-8")


def _format_figure(figure: Any) -> str:
    return "not measured" if figure is None else f"{figure:,}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
