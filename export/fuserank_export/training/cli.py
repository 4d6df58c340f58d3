"""Train the models of a bundle: `fuserank export train text-tower …`, `… train encoder …`, `… train ranker …`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fuserank_ensemble.serving.state import StateKeyOption
from fuserank_export.builder.options import DEFAULT_SEED, BehaviourFiles, OutputOptions
from fuserank_export.command_options import (
    BundleOut,
    Force,
    Judgements,
    Queries,
    ReadingOptions,
    Seed,
    TrainingOptions,
    expand_groups,
    remembered_reading,
)
from fuserank_export.errors import exit_on_error
from fuserank_export.layouts.config import InputsConfigFile
from fuserank_export.progress import Progress
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
    out: BundleOut,
    interactions: Annotated[
        Path | None, typer.Option(help="Log with user_id, item_id, event, timestamp, of the bundle's items.")
    ] = None,
    queries: Queries = None,
    judgements: Judgements = None,
    text_tower: Annotated[
        str | None, typer.Option(help="Its text tower; that which the bundle was exported with by default.")
    ] = None,
    seed: Seed = DEFAULT_SEED,
    force: Force = False,
    state_key_file: StateKeyOption = None,
    config: InputsConfigFile = None,
    training: TrainingOptions,
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
        options = training.to_options(text_tower)
        output = OutputOptions(folder=out, force=force, seed=seed)
        # torch takes seconds to import: --help and mistakes are answered without it.
        from fuserank_export.builder.retrain import retrain_ranker  # noqa: PLC0415
        from fuserank_export.memory import keep_imports  # noqa: PLC0415
        from fuserank_export.training.text.fitting import silence_libraries  # noqa: PLC0415

        silence_libraries()
        keep_imports()
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
