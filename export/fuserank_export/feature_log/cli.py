"""The command `fuserank export features`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fuserank_ensemble.serving.state import StateKeyOption
from fuserank_export.errors import exit_on_error


def features(
    bundle: Annotated[Path, typer.Option(help="The bundle that answered.")],
    state: Annotated[str, typer.Option(help="The server's log: sqlite:/path or redis://host:port/0.")],
    out: Annotated[Path, typer.Option(help="Parquet file to write: a row for each item that was shown.")],
    state_key_file: StateKeyOption = None,
    check: Annotated[
        int, typer.Option(min=0, help="How many of the newest samples are computed again and compared, bit by bit.")
    ] = 0,
) -> None:
    """Write what the ranker read of the searches that `fuserank serve --log-features` sampled."""
    with exit_on_error():
        from fuserank_ensemble.bundle import Bundle  # noqa: PLC0415
        from fuserank_ensemble.state.settings import StateSettings  # noqa: PLC0415
        from fuserank_export.feature_log.table import write_feature_log  # noqa: PLC0415

        report = write_feature_log(Bundle.open(bundle.resolve()), StateSettings(state, state_key_file), out, check)
    compared = f"; {report.equal} of {report.checked} are computed the same" if check else ""
    others = f"; {report.others:,} searches that other bundles answered are left out" if report.others else ""
    Console(stderr=True).print(
        f"{report.samples:,} searches, {report.rows:,} items: {out}{compared}{others}", markup=False, highlight=False
    )
    if report.equal < report.checked:
        raise typer.Exit(1)
