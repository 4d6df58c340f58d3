"""The command `fuserank doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fuserank_ensemble.serving.diagnosis.checks import (
    Check,
    check_bundle,
    check_gpu,
    check_host,
    check_packages,
    check_ports,
    check_server,
    check_shared_memory,
)
from fuserank_ensemble.serving.diagnosis.state_checks import check_state
from fuserank_ensemble.serving.state import StateKeyOption
from fuserank_ensemble.serving.target_option import TargetOption
from fuserank_ensemble.spec import Target

LOCAL = "127.0.0.1"
STYLES = {"ok": "green", "note": "yellow", "wrong": "bold red"}


def doctor(
    bundle: Annotated[Path | None, typer.Argument(help="A bundle to look at, too.")] = None,
    *,
    url: Annotated[str | None, typer.Option(help="gRPC address of a server that should answer.")] = None,
    host: Annotated[str, typer.Option(help="Where a server here listens.")] = LOCAL,
    http_port: Annotated[int, typer.Option(help="As for `fuserank serve`.")] = 8000,
    grpc_port: Annotated[int, typer.Option(help="As for `fuserank serve`.")] = 8001,
    metrics_port: Annotated[int, typer.Option(help="As for `fuserank serve`.")] = 8002,
    target: TargetOption = "single_process",
    state: Annotated[str | None, typer.Option(help="As for `fuserank serve`; it is looked at, not made.")] = None,
    state_key_file: StateKeyOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look at machine, packages, bundle, state, server, ports, shared memory and GPU. Exits 1 where something is wrong.

    Example: fuserank doctor build/demo --url localhost:8001
    """
    ports = {"http": http_port, "grpc": grpc_port, "metrics": metrics_port}
    checks = list(examine(bundle, url, host, ports, target, state, state_key_file))
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(checks)).decode())
    else:
        print_checks(checks, Console())
    raise typer.Exit(1 if any(check.state == "wrong" for check in checks) else 0)


def examine(
    bundle: Path | None,
    url: str | None,
    host: str,
    ports: dict[str, int],
    target: Target,
    state: str | None = None,
    state_key_file: Path | None = None,
) -> Iterator[Check]:
    """Makes all checks.

    Args:
        bundle: A bundle to look at; None looks at none.
        url: gRPC address of a server that should answer; None asks the one of the ports, if there is one.
        host: Where a server here listens.
        ports: Its ports by what they are for.
        target: Which configurations are served.
        state: Where events are kept; None is beside the bundle, where it is there.
        state_key_file: The key of users; None is the one that is kept with the state, or beside the bundle.
    """
    yield from check_host()
    yield check_shared_memory()
    yield check_gpu(target)
    yield from check_packages()
    if bundle is not None:
        yield from check_bundle(bundle, target)
    yield from check_state(bundle, state, state_key_file)
    own = f"{host}:{ports['grpc']}"
    of_server = list(check_server(url or own, bundle, expected=url is not None))
    yield from of_server
    answers = of_server[0].found.startswith(f"{own}: Triton")
    if url is None or answers:
        yield from check_ports(host, ports, is_served=answers)


def print_checks(checks: list[Check], console: Console) -> None:
    """Prints what was found, and what to do."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for check in checks:
        found = Text(check.found)
        if check.remedy:
            found.append(f"\n→ {check.remedy}", style="dim")
        table.add_row(Text(check.state, style=STYLES[check.state]), Text(check.name), found)
    console.print(table)
