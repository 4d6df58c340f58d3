"""The report `export`: seconds and memory of `export bundle` by the size of the shop, quiet and beside other work."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console

from fuserank_benchmarks.export_cost.measured import MeasuredExport, busy_neighbour, measure_export
from fuserank_benchmarks.export_cost.shapes import BUSY, LOADS, QUIET, SHAPES
from fuserank_benchmarks.export_cost.vectors import fill_vector_cache
from fuserank_benchmarks.inputs.made_shop import write_made_shop
from fuserank_evaluation.reports.report import REPORTS, Table, merge_report
from fuserank_export.builder.options import Quality
from fuserank_export.progress import Progress
from fuserank_export.training.text.fitting import silence_libraries

STEPS = ("read", "index", "embed", "learn", "train", "seal")
MEANINGS: Mapping[str, str] = {
    **{
        f"export_{name}_{load}_{figure}": f"{meaning}; {shape.items:,} items, {shape.events:,} events, {load}"
        for name, shape in SHAPES.items()
        for load in LOADS
        if load == QUIET or shape.busy
        for figure, meaning in {
            "seconds": "s from the command to its end" + (", without embedding" if shape.embedded else ""),
            "cpu_seconds": "s of CPU time of all its processes and threads",
            "peak_mib": "MiB of memory at most, all processes, shared pages once, mapped files included",
            "peak_anonymous_mib": "MiB of memory at most without mapped files",
            "other_cores": "cores that other processes of the machine kept busy, on average",
        }.items()
    },
    "export_4k_busy_over_quiet": "seconds beside a process that keeps one core busy, over those without",
}


def measure_exports(
    names: Iterable[str], loads: Iterable[str], encoder: str, quality: Quality, folder: Path, console: Console
) -> Path:
    """Measures exports of made shops, and writes the report `export`; what it holds of other shapes is kept.

    Args:
        names: Which of `SHAPES`.
        loads: Which of `LOADS`; shapes that are not measured beside a neighbour are passed over there.
        encoder: Hugging Face id or folder of the encoder.
        quality: How much the ranker learns from.
        folder: Where shops, bundles and vectors lie; a shop that is there is not made again.
        console: Shows the figures.

    Returns:
        The report's JSON file.

    Raises:
        SystemExit: An export failed.
    """
    progress, loads, path = Progress(), list(loads), REPORTS / "export.json"
    silence_libraries()
    for name in names:
        shape, shop = SHAPES[name], folder / f"shop-{name}"
        if not (shop / "interactions.parquet").exists():
            with progress.step(f"making a shop of {shape.items:,} items and {shape.events:,} events"):
                write_made_shop(shop, shape.items, shape.events)
        cache = folder / f"vectors-{name}"
        if shape.embedded and not cache.exists():
            fill_vector_cache(shop / "catalog.parquet", encoder, cache, progress)
        arguments = [
            *("--catalog", str(shop / "catalog.parquet"), "--interactions", str(shop / "interactions.parquet")),
            *("--encoder", encoder, "--quality", quality),
            *(("--vector-cache", str(cache)) if shape.embedded else ()),
        ]
        for load in loads:
            if load == BUSY and not shape.busy:
                continue
            with progress.step(f"exporting {shape.items:,} items and {shape.events:,} events, {load}"):
                with busy_neighbour() if load == BUSY else nullcontext():
                    measured = measure_export(arguments, folder / f"bundle-{name}")
                shutil.rmtree(folder / f"bundle-{name}")
            figures = describe(name, load, measured)
            console.print_json(data=figures)
            path = write_export_report(measured.bundle, figures)
    return path


def describe(name: str, load: str, measured: MeasuredExport) -> dict[str, Any]:
    """Returns the figures of one export under their names in the report."""
    start = f"export_{name}_{load}"
    return {
        f"{start}_seconds": round(measured.cost.seconds, 1),
        f"{start}_cpu_seconds": round(measured.cost.cpu_seconds, 1),
        f"{start}_peak_mib": round(measured.cost.peak_mib),
        f"{start}_peak_anonymous_mib": round(measured.cost.peak_anonymous_mib),
        f"{start}_other_cores": round(measured.cost.other_cores, 2),
        f"{start}_quality": measured.quality,
        **{f"{start}_{step}_seconds": measured.steps[step] for step in STEPS},
    }


def write_export_report(bundle: str, figures: Mapping[str, Any]) -> Path:
    """Writes the report `export`; figures of other shapes that it has are kept.

    Args:
        bundle: Id of the bundle that was exported last.
        figures: Those of one export, see `describe`.
    """
    path = REPORTS / "export.json"
    kept = json.loads(path.read_text("utf-8")) if path.exists() else {}
    known: dict[str, Any] = {**kept, **figures}
    for name in SHAPES:
        quiet, busy = (known.get(f"export_{name}_{load}_seconds") for load in LOADS)
        if quiet and busy:
            known[f"export_{name}_busy_over_quiet"] = round(busy / quiet, 2)
    shown = {key: known.get(key) for key in MEANINGS}
    tables = {"Cost by size of the shop": cost_table(known)}
    return merge_report("export", "cost", bundle, {**known, **shown}, MEANINGS, {}, tables)


def cost_table(figures: Mapping[str, Any]) -> Table:
    """Returns a row for each shape and load that was measured, below a head."""
    rows: list[list[str]] = [
        [
            "items",
            "events",
            "machine",
            "seconds",
            "CPU seconds",
            "peak MiB",
            "of it no mapped file",
            "cores of other work",
            *STEPS,
        ]
    ]
    keys = (
        "seconds",
        "cpu_seconds",
        "peak_mib",
        "peak_anonymous_mib",
        *(f"{step}_seconds" for step in STEPS),
    )
    for name, shape in SHAPES.items():
        for load in LOADS:
            values = [figures.get(f"export_{name}_{load}_{key}") for key in keys]
            if None not in values:
                shown = [f"{value:,}" for value in values]
                # A row that was kept from before may lack what others did meanwhile.
                others = figures.get(f"export_{name}_{load}_other_cores")
                shown.insert(len(keys) - len(STEPS), "not measured" if others is None else f"{others:,}")
                rows.append([f"{shape.items:,}", f"{shape.events:,}", load, *shown])
    return rows
