"""The command `fuserank shop`."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from fuserank.connection import DEFAULT_URL
from fuserank.errors import ConfigurationError
from fuserank.reporting import report_errors
from fuserank.storefront.app import DEFAULT_TIMEOUT, ShopSettings, create_app
from fuserank.storefront.shoppers import read_shoppers

STOP_SECONDS = 30


def shop(
    serve: Annotated[
        Path | None,
        typer.Option(help="A bundle to serve beside the page, with a state. Leave out where a server runs."),
    ] = None,
    url: Annotated[str, typer.Option(envvar="FUSERANK_URL", help="Triton's gRPC address.")] = DEFAULT_URL,
    host: Annotated[str, typer.Option(help="Address of the page.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the page.")] = 8080,
    shoppers: Annotated[
        Path | None, typer.Option(help="Users whom a visitor may play, as `fuserank export shoppers` writes them.")
    ] = None,
    facet: Annotated[
        list[str] | None, typer.Option(help="A field to narrow by; may be repeated. Default: category, brand, price.")
    ] = None,
    currency: Annotated[str, typer.Option(help="Stands before prices.")] = "$",
    images: Annotated[
        str, typer.Option(help="Where photographs of the catalogue come from, such as https://cdn.example.")
    ] = "",
    timeout: Annotated[
        float, typer.Option(help="Seconds after which a page says that the shop takes a break.")
    ] = DEFAULT_TIMEOUT,
    name: Annotated[
        list[str] | None, typer.Option(help="Another host name that the page is asked for by; may be repeated.")
    ] = None,
) -> None:
    """Show a shop in the browser: search, facets, a feed, a basket, and the graph behind each list.

    Example: fuserank shop --serve build/demo
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    with report_errors():
        settings = ShopSettings(
            url=url,
            shoppers=read_shoppers(shoppers),
            facets=tuple(facet or ()),
            currency=currency,
            images=images,
            timeout=timeout,
            hosts=("127.0.0.1", "localhost", host, *(name or ())),
        )
        app = create_app(settings)
        # uvicorn raises the signal again that ended it: the server beside it has to be ended, too.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        with serve_bundle(serve, url):
            typer.echo(f"The shop: http://{host}:{port}   (Ctrl-C ends it)")
            uvicorn.run(app, host=host, port=port, log_level="warning")


@contextmanager
def serve_bundle(bundle: Path | None, url: str) -> Iterator[None]:
    """Runs `fuserank serve` meanwhile; the page says that the shop takes a break until it answers."""
    if bundle is None:
        yield
        return
    host, _, port = url.rpartition(":")
    if not port.isdecimal():
        raise ConfigurationError(f"--url: found {url!r}; allowed: host:port, such as {DEFAULT_URL}")
    grpc = int(port)
    ports = ["--http-port", str(grpc - 1), "--grpc-port", port, "--metrics-port", str(grpc + 1)]  # as by default
    command = [sys.executable, "-m", "fuserank.cli", "serve", str(bundle), "--host", host, *ports]
    server = subprocess.Popen(command)
    try:
        yield
    finally:
        server.terminate()
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
