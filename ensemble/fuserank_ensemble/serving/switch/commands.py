"""The commands `fuserank promote` and `fuserank rollback`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from fuserank_ensemble.bundle import BundleError
from fuserank_ensemble.serving.switch.folder import SwitchError, SwitchFolder
from fuserank_ensemble.serving.switch.switch import PATIENCE_SECONDS, promote_bundle, rollback_bundle
from fuserank_ensemble.spec import SpecError
from fuserank_ensemble.state.log import StateError

LOCAL = ("localhost", "127.0.0.1", "::1", "[::1]")
UrlOption = Annotated[str, typer.Option(help="gRPC address of a server on this machine that this user started.")]
PatienceOption = Annotated[float, typer.Option(help="Seconds until all of its processes have opened the bundle.")]


def promote(
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.")],
    url: UrlOption = "localhost:8001",
    patience: PatienceOption = PATIENCE_SECONDS,
) -> None:
    """Have a running server answer from another bundle: no request fails, and no reply mixes the two.

    Example: fuserank promote build/my-shop-2
    """
    _switch(url, lambda folder: promote_bundle(folder, bundle, patience))


def rollback(url: UrlOption = "localhost:8001", patience: PatienceOption = PATIENCE_SECONDS) -> None:
    """Have a running server answer from the bundle that was served before the last promotion.

    Example: fuserank rollback
    """
    _switch(url, lambda folder: rollback_bundle(folder, patience))


def _switch(url: str, switch: Callable[[SwitchFolder], tuple[str, str]]) -> None:
    started = time.monotonic()
    try:
        before, after = switch(SwitchFolder.of_port(port_of(url)))
    except (SwitchError, BundleError, SpecError, StateError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{after} answers instead of {before} after {time.monotonic() - started:.1f} s")


def port_of(url: str) -> int:
    """Returns the port of a server on this machine.

    Raises:
        SwitchError: Where the address is of another one.
    """
    host, _, port = url.rpartition(":")
    if host not in LOCAL or not port.isdecimal():
        raise SwitchError(
            f"--url {url}: allowed: localhost and the gRPC port of a server on this machine; nobody can switch a "
            "server over the network"
        )
    return int(port)
