"""What `fuserank evaluate` costs on the demo's whole log: a part of the report `people`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rich.console import Console

from fuserank_benchmarks.export_cost.measured import measure_process
from fuserank_evaluation.reports.report import merge_report

MEANINGS = {
    "evaluate_seconds_demo": "s from the command to the page of `fuserank evaluate` on the demo's catalogue and whole "
    "log, with its defaults",
    "evaluate_cpu_seconds_demo": "s of CPU of all its processes and threads",
    "evaluate_peak_mib_demo": "MiB of memory at most, all processes, mapped files included",
}


def measure_evaluate(shop: Path, encoder: str, text_template: str, out: Path, console: Console) -> Path:
    """Runs `fuserank evaluate` once as a process of its own, and writes its part of the report.

    Args:
        shop: Folder of the catalogue's and the log's Parquet files.
        encoder: Hugging Face id or folder of the encoder.
        text_template: Layout of an item's text, as the demo's bundle has it.
        out: Folder of the page that it writes.
        console: Where it says what it does.

    Returns:
        The report's JSON file.

    Raises:
        SystemExit: The command failed; its last lines are the message.
    """
    command = [
        str(Path(sys.executable).with_name("fuserank")), "evaluate",
        "--catalog", str(shop / "catalog.parquet"),
        "--interactions", str(shop / "interactions.parquet"),
        "--encoder", encoder,
        "--text-template", text_template,
        "--out", str(out),
    ]  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    log = out.with_name(f"{out.name}.log")
    console.print(f"evaluating the whole log, a quarter of an hour; what it says goes to {log}")
    cost = measure_process(command, log)
    figures = {
        "evaluate_seconds_demo": round(cost.seconds, 1),
        "evaluate_cpu_seconds_demo": round(cost.cpu_seconds, 1),
        "evaluate_peak_mib_demo": round(cost.peak_mib),
    }
    manifest = json.loads((out / "bundle-0" / "manifest.json").read_text("utf-8"))
    return merge_report("people", "evaluate", manifest["id"], figures, MEANINGS, {})
