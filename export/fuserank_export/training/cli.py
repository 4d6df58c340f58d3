"""Train the models of a bundle: `fuserank export train text-tower …`, `… train encoder …`, `… train ranker …`."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fuserank_ensemble.bundle import BundleError
from fuserank_export.progress import Progress
from fuserank_export.sources.report import InputError
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
def ranker(
    bundle: Annotated[Path, typer.Option(help="The bundle whose ranker learns anew; it is not changed.")],
    out: Annotated[Path, typer.Option(help="The bundle to write; must not exist, unless --force.")],
    interactions: Annotated[
        Path | None, typer.Option(help="Log with user_id, item_id, event, timestamp, of the bundle's items.")
    ] = None,
    queries: Annotated[Path | None, typer.Option(help="Queries that people judged: query_id<TAB>query.")] = None,
    judgements: Annotated[Path | None, typer.Option(help="Their judgements: query_id 0 item_id grade.")] = None,
    text_tower: Annotated[
        str | None, typer.Option(help="Its text tower; that which the bundle was exported with by default.")
    ] = None,
    cases: Annotated[int, typer.Option(min=50, help="(user, query) pairs of each time window to learn from.")] = 1_500,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over them at most.")] = 6,
    mixed_precision: Annotated[
        bool, typer.Option("--mixed-precision", help="Fit in bfloat16; weights stay FP32.")
    ] = False,
    max_bad_rows: Annotated[
        float, typer.Option(min=0, max=1, help="Share of bad input rows that fails the training.")
    ] = 0.05,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 13,
    force: Annotated[bool, typer.Option("--force", help="Replace what is at --out.")] = False,
) -> None:
    """Train a bundle's ranker anew; the result is a bundle with all else as it is."""
    # torch takes seconds to import: --help is answered without it.
    from fuserank_export.training.retrain import RetrainSettings, retrain  # noqa: PLC0415
    from fuserank_export.training.text.fitting import silence_libraries  # noqa: PLC0415
    from fuserank_export.training.train import FIT  # noqa: PLC0415

    silence_libraries()
    settings = RetrainSettings(
        bundle, out, interactions, queries, judgements, text_tower, cases, max_bad_rows, seed, force,
        replace(FIT, epochs=epochs, bf16=mixed_precision),
    )  # fmt: skip
    # Several processes do the same; one tells.
    console = Console(stderr=True, quiet=os.environ.get("RANK", "0") != "0")
    try:
        manifest = retrain(settings, Progress(console))
    except (InputError, BundleError) as error:
        Console(stderr=True).print(f"error: {error}", style="bold red", markup=False, highlight=False)
        sys.exit(2)
    if manifest is None:
        return
    learned = manifest["ranker"]
    measured = ", ".join(
        f"{kind} {found['ranker']:.4f} (fusion {found['fusion']:.4f})" for kind, found in learned["ndcg_at_10"].items()
    )
    console.print(
        f"bundle {manifest['id']} at {out}: {learned['cases']:,} cases learned from\n"
        f"nDCG@10 on {learned['validation_cases']:,} later cases: {measured or 'none to measure on'}\n"
        f"{learned['note']}".rstrip(),
        markup=False,
        highlight=False,
    )
