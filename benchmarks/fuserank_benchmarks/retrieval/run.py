"""`make bench-retrieval`: what retrieval costs, as part of the report `retrieval`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from fuserank_benchmarks.retrieval import stages
from fuserank_benchmarks.retrieval.dense import measure_sizes, plot_sizes
from fuserank_evaluation.reports.report import merge_report


def measure_retrieval(bundle: Path, shop: Path, sizes: Sequence[str], build_threads: int, console: Console) -> Path:
    """Measures dense search by size of the catalogue and the stages, and writes the report.

    Args:
        bundle: The bundle whose embeddings are copied.
        shop: Folder of `catalog.parquet`.
        sizes: Some of `dense.SIZES`.
        build_threads: Threads of building the dense index.
        console: Shows progress.

    Returns:
        The report's JSON file.
    """
    bundle_id = json.loads((bundle / "manifest.json").read_text("utf-8"))["id"]
    figures, meanings = measure_sizes(bundle, shop, sizes, build_threads, console)
    plots = plot_sizes(figures, sizes)
    for measure in (stages.measure_retrieve, stages.measure_suggest, stages.measure_lexical):
        figures |= measure(bundle, console)
    return merge_report("retrieval", "cost", bundle_id, figures, meanings | stages.MEANINGS, plots)
