"""How the command line ends: answers as JSON on stdout, an error as one line on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import typer

from fuserank.errors import FuseRankError, InvalidRequestError


@contextmanager
def report_errors() -> Iterator[None]:
    """Ends the command with one line where the block fails: exit code 2 for a bad request, 1 for all else."""
    try:
        yield
    except FuseRankError as error:
        typer.echo(f"fuserank: {' '.join(error.message.split())}", err=True)
        raise typer.Exit(2 if isinstance(error, InvalidRequestError) else 1) from None


def print_json(value: Any) -> None:
    """Prints a record, or a list of records, as one line of JSON."""
    json.dump([asdict(entry) for entry in value] if isinstance(value, list) else asdict(value), sys.stdout)
    sys.stdout.write("\n")
