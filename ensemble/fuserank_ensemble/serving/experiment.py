"""The option that names the experiment of `fuserank serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ExperimentOption = Annotated[
    Path | None,
    typer.Option("--experiment", help="A TOML file with the arms of an experiment on users, see docs/ab-tests.md."),
]
