"""Train the models of a bundle: `fuserank export train text-tower …`, `… train encoder …`, `… train ranker …`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fuserank_export.builder.options import (
    DEFAULT_SEED,
    LEAST_CASES,
    BehaviourFiles,
    OutputOptions,
    Quality,
    RankerOptions,
)
from fuserank_export.errors import exit_on_error
from fuserank_export.layouts.config import InputsConfigFile
from fuserank_export.progress import Progress
from fuserank_export.reading_options import ReadingOptions, expand_groups, remembered_reading
from fuserank_export.training.text.cli import app as text

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train the models on a shop's own data. Several processes: accelerate launch -m fuserank_export train …",
)
app.add_typer(text)


@app.command(
    epilog="Example: fuserank export train ranker --bundle build/my-shop --interactions events.parquet "
    "--epochs 12 --out build/my-shop-2"
)
@expand_groups
def ranker(
    *,
    bundle: Annotated[Path, typer.Option(help="The bundle whose ranker learns anew; it is not changed.")],
    out: Annotated[Path, typer.Option(help="The bundle to write; must not exist, unless --force.")],
    interactions: Annotated[
        Path | None, typer.Option(help="Log with user_id, item_id, event, timestamp, of the bundle's items.")
    ] = None,
    queries: Annotated[Path | None, typer.Option(help="Queries that people judged: query_id<TAB>query.")] = None,
    judgements: Annotated[Path | None, typer.Option(help="Their judgements: query_id, item_id and grade.")] = None,
    text_tower: Annotated[
        str | None, typer.Option(help="Its text tower; that which the bundle was exported with by default.")
    ] = None,
    quality: Annotated[
        Quality, typer.Option(help="quick learns from fewer cases, for a first look; full is for a shop.")
    ] = RankerOptions.quality,
    cases: Annotated[
        int | None,
        typer.Option(min=LEAST_CASES, help="(user, query) pairs of each time window to learn from; --quality decides."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over them at most; --quality decides.")] = None,
    mixed_precision: Annotated[
        bool, typer.Option("--mixed-precision", help="Fit in bfloat16; weights stay FP32.")
    ] = False,
    time_budget: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            help="Minutes from the start, after which the ranker is trained no longer: the best so far is taken.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = DEFAULT_SEED,
    force: Annotated[bool, typer.Option("--force", help="Replace what is at --out.")] = False,
    state_key_file: Annotated[
        Path | None, typer.Option(help="The key of the bundle's users; by default what lies beside the bundle.")
    ] = None,
    config: InputsConfigFile = None,
    reading: ReadingOptions,
) -> None:
    """Train a bundle's ranker anew; the result is a bundle with all else as it is.

    Files are read as the export read them; what is said here wins.
    """
    # Several processes do the same; one tells.
    console = Console(stderr=True, quiet=os.environ.get("RANK", "0") != "0")
    with exit_on_error():
        files = BehaviourFiles(
            interactions=interactions,
            queries=queries,
            judgements=judgements,
            **reading.to_arguments(config, remembered_reading(bundle)),
        )
        options = RankerOptions(
            text_tower=text_tower,
            quality=quality,
            cases=cases,
            epochs=epochs,
            mixed_precision=mixed_precision,
            time_budget=time_budget,
        )
        output = OutputOptions(folder=out, force=force, seed=seed)
        # torch takes seconds to import: --help and mistakes are answered without it.
        from fuserank_export.builder.retrain import retrain_ranker  # noqa: PLC0415
        from fuserank_export.training.text.fitting import silence_libraries  # noqa: PLC0415

        silence_libraries()
        progress = Progress(console)
        manifest = retrain_ranker(
            bundle, files=files, out=output, ranker=options, progress=progress, key_file=state_key_file
        )
    if manifest is None:
        return
    report = manifest["ranker"]
    ndcg = ", ".join(
        f"{kind} {values['ranker']:.4f} (fusion {values['fusion']:.4f})"
        for kind, values in report["ndcg_at_10"].items()
    )
    console.print(
        f"bundle {manifest['id']} at {out}: {report['cases']:,} cases learned from\n"
        f"nDCG@10 on {report['validation_cases']:,} later cases: {ndcg or 'none to measure on'}\n"
        f"{report['note']}".rstrip(),
        markup=False,
        highlight=False,
    )
