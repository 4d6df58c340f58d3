"""Measures what a server does beyond its peak: the part `overload` of the report `reliability`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from fuserank_benchmarks.demo import free_ports, served
from fuserank_benchmarks.inputs.queries import ShopVocabulary
from fuserank_benchmarks.reliability import report
from fuserank_benchmarks.reliability.overload import Overload, OverloadedServer, Place
from fuserank_ensemble.spec import Target
from fuserank_evaluation.reports.report import merge_report


def measure_overload(bundle: Path, shop: Path, targets: Sequence[Target], seconds: float, console: Console) -> Path:
    """Measures each target in turn, and writes the part `overload` of the report `reliability`.

    Args:
        bundle: The bundle to serve.
        shop: Folder of the catalogue's and the log's Parquet files.
        targets: Which targets.
        seconds: Length of a step.
        console: Shows progress and figures.

    Returns:
        The report's JSON file.
    """
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    vocabulary = ShopVocabulary.read(shop)
    measured: dict[str, Overload] = {}
    figures: dict[str, float | None] = {}
    meanings: dict[str, str] = {}
    for target in targets:
        ports = free_ports(3)
        with served(bundle, (ports[0], ports[1], ports[2]), console, target):
            place = Place(f"127.0.0.1:{ports[1]}", f"http://127.0.0.1:{ports[2]}/metrics")
            server = OverloadedServer(place, vocabulary, seconds, lambda line: console.print(line, highlight=False))
            measured[target] = server.measure()
        figures |= report.figures(target, measured[target])
        meanings |= report.meanings(target)
    console.print_json(data=figures)
    return merge_report(
        "reliability",
        "overload",
        manifest["id"],
        figures,
        meanings,
        report.plot_bursts(measured),
        report.tables(measured),
    )
