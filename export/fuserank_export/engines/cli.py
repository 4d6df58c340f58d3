"""The command `fuserank export engines`: engines in other precisions, where they rank as FP32 does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from fuserank_ensemble.serving.target_option import TargetOption
from fuserank_ensemble.spec import ENGINE_KINDS
from fuserank_export.command_options import BundleOut, Force, Judgements
from fuserank_export.errors import exit_on_error
from fuserank_export.progress import Progress


def engines(
    bundle: Annotated[Path, typer.Option(help="The bundle whose engines are measured; it is not changed.")],
    out: BundleOut,
    target: TargetOption = "single_process",
    precision: Annotated[
        Literal["auto", "fp32", "fp16", "int8"],
        typer.Option(help="Of their matrix products; auto measures and takes the fastest that passes the gate."),
    ] = "auto",
    requests: Annotated[int, typer.Option(min=30, help="How many real requests are ranked.")] = 600,
    queries: Annotated[
        Path | None, typer.Option(help="Judged queries (query_id<TAB>query), instead of requests from the bundle.")
    ] = None,
    judgements: Judgements = None,
    text_tower: Annotated[
        str | None,
        typer.Option(
            help="A text tower that learned the bundle's own (train text-tower --teacher), to take its place."
        ),
    ] = None,
    report: Annotated[Path, typer.Option(help="The table, as JSON; a page is written beside it.")] = Path(
        "build/reports/parity.json"
    ),
    cache: Annotated[Path, typer.Option(help="Where TensorRT's engines and timings are kept.")] = Path("build/engines"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and measure, say what TensorRT would build, write no bundle.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the draw of requests.")] = 13,
    force: Force = False,
) -> None:
    """Make a bundle with engines in another precision, where they rank as FP32 does."""
    with exit_on_error():
        from fuserank_export.engines.run import EngineSettings, write_engines  # noqa: PLC0415  takes seconds to import
        from fuserank_export.training.text.fitting import silence_libraries  # noqa: PLC0415

        silence_libraries()
        settings = EngineSettings(
            bundle=bundle,
            out=out,
            target=target,
            precision=precision,
            requests=requests,
            queries=queries,
            judgements=judgements,
            text_tower=text_tower,
            report=report,
            cache=cache,
            dry_run=dry_run,
            seed=seed,
            force=force,
        )
        manifest = write_engines(settings, Progress())
    console = Console(stderr=True)
    if dry_run:
        console.print(f"no bundle written (--dry-run); the table: {report.with_suffix('.md')}", highlight=False)
        return
    chosen = ", ".join(f"{stage} {file}" for stage, file in manifest["engines"][ENGINE_KINDS[target]]["chosen"].items())
    console.print(
        f"bundle {manifest['id']} at {out}: {chosen}; the table: {report.with_suffix('.md')}",
        markup=False,
        highlight=False,
    )
