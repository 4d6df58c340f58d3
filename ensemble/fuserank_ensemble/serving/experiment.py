"""The experiment that `fuserank serve` runs, and how the server's processes learn of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from fuserank_ensemble.contract.experiment import PLACE

ExperimentOption = Annotated[
    Path | None,
    typer.Option("--experiment", help="A TOML file with the arms of an experiment on users, see docs/ab-tests.md."),
]


@contextmanager
def experiment_environment(path: Path | None) -> Iterator[None]:
    """Tells the processes that are started in the block of an experiment; this one's own setting is not theirs."""
    before = os.environ.pop(PLACE, None)
    if path is not None:
        os.environ[PLACE] = str(path.resolve())
    try:
        yield
    finally:
        os.environ.pop(PLACE, None)
        if before is not None:
            os.environ[PLACE] = before
