"""The commands that change a server's catalogue: `upsert` and `delete`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from fuserank.changes import CatalogResult
from fuserank.json_lines import open_lines, parse_line
from fuserank.options import Connection, expand_groups
from fuserank.reporting import report_errors

BATCH = 1_000  # changes a call, the server's limit
File = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="Items as JSON lines, each with item_id and its fields; - reads stdin."),
]
ItemIds = Annotated[list[str], typer.Argument(metavar="ITEM_ID…", help="Ids; a single - reads them from stdin.")]


def add_change_commands(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    example = """Example: echo '{"item_id": "1082185", "price": 2.49}' | fuserank upsert -"""
    app.command(epilog=example)(expand_groups(upsert))
    app.command(epilog="Example: fuserank delete 1082185 995242")(expand_groups(delete))


def upsert(*, file: File, connection: Connection) -> None:
    """Change items of the catalogue while it is served, or add new ones. Exits 2 where a change was not taken."""
    with report_errors(), open_lines(file) as lines, connection.open_client() as client:
        numbered = [(f"line {number}", line) for number, line in enumerate(lines, start=1) if line.strip()]
        _send(numbered, lambda batch: client.upsert([parse_line(line) for line in batch]), connection)


def delete(*, item_ids: ItemIds, connection: Connection) -> None:
    """Take items out of the catalogue: they are never shown again, until they are upserted. Exits 2 as upsert does."""
    given: Iterable[str] = sys.stdin if item_ids == ["-"] else item_ids
    with report_errors(), connection.open_client() as client:
        _send([(item_id.strip(), item_id.strip()) for item_id in given if item_id.strip()], client.delete, connection)


def _send(
    numbered: Sequence[tuple[str, str]], send: Callable[[list[str]], CatalogResult], connection: Connection
) -> None:
    """Sends changes in batches, and prints what became of them.

    Args:
        numbered: Each change, with what it is called where it was not taken.
        send: Sends a batch.
        connection: How to print.
    """
    counts = {"position": 0, "changed": 0, "duplicates": 0, "rejected": 0}
    rest = iter(numbered)
    while batch := list(islice(rest, BATCH)):
        result = send([change for _, change in batch])
        for (name, _), outcome in zip(batch, result.changes, strict=True):
            if outcome.error is not None:
                error = outcome.error
                typer.echo(f"fuserank: {name}: {error.field}: found {error.found}; allowed: {error.allowed}", err=True)
        counts["position"] = max(counts["position"], result.position)
        for count in ("changed", "duplicates", "rejected"):
            counts[count] += int(getattr(result, count))
    _print(counts, as_json=connection.as_json)
    raise typer.Exit(2 if counts["rejected"] else 0)


def _print(counts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(counts) + "\n")
    else:
        typer.echo(" · ".join(f"{name} {count:,}" for name, count in counts.items()))
