"""The command `fuserank shop`."""

from __future__ import annotations

import logging
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from fuserank.aio import AsyncClient
from fuserank.errors import ConfigurationError
from fuserank.options import Server, expand_groups
from fuserank.reporting import report_errors
from fuserank.storefront.app import DEFAULT_HOSTS, DEFAULT_TIMEOUT, RETRIES, ShopSettings, create_app
from fuserank.storefront.served_bundle import ServedBundle, list_command
from fuserank.storefront.shoppers import read_shoppers

Serve = Annotated[
    Path | None,
    typer.Option(help="A bundle to serve beside the page, with a state. Leave out where a server runs."),
]
Host = Annotated[str, typer.Option(help="Address of the page.")]
Port = Annotated[int, typer.Option(help="Port of the page.")]
Shoppers = Annotated[
    Path | None, typer.Option(help="Users whom a visitor may play, as `fuserank export shoppers` writes them.")
]
Facets = Annotated[
    list[str] | None, typer.Option(help="A field to narrow by; may be repeated. Default: category, brand, price.")
]
Currency = Annotated[str, typer.Option(help="Stands before prices.")]
Images = Annotated[str, typer.Option(help="Where photographs of the catalogue come from, such as https://cdn.example.")]
Names = Annotated[
    list[str] | None, typer.Option(help="Another host name that the page is asked for by; may be repeated.")
]


@dataclass(frozen=True)
class ShopServer(Server):
    """Options of how the shop reaches the server."""

    timeout: Annotated[
        float,
        typer.Option(help="Seconds after which a page says that the shop takes a break.", rich_help_panel="Connection"),
    ] = DEFAULT_TIMEOUT


@expand_groups
def shop(
    *,
    serve: Serve = None,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    shoppers: Shoppers = None,
    facet: Facets = None,
    currency: Currency = "$",
    images: Images = "",
    name: Names = None,
    server: ShopServer,
) -> None:
    """Show a shop in the browser: search, facets, a feed, a basket, and the graph behind each list.

    Example: fuserank shop --serve build/demo
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    with report_errors():
        settings = ShopSettings(
            shoppers=read_shoppers(shoppers),
            facets=tuple(facet or ()),
            currency=currency,
            images=images,
            hosts=(*DEFAULT_HOSTS, host, *(name or ())),
        )
        arguments = server.to_arguments()
        if serve and arguments["tls"]:
            raise ConfigurationError("--tls: found beside --serve, which serves without it; allowed: one of them")
        app = create_app(AsyncClient(**arguments, retries=RETRIES), settings)
        pages = uvicorn.Server(uvicorn.Config(app, host=host, port=port, log_level="warning"))
        typer.echo(f"The shop: http://{host}:{port}   (Ctrl-C ends it)")
        if serve is None:
            _run(pages)
        else:
            run_beside(pages, ServedBundle(list_command(serve, server.url)))


def run_beside(pages: uvicorn.Server, served: ServedBundle) -> None:
    """Runs the pages beside a server, which ends with them; until it answers, the pages say so.

    Raises:
        typer.Exit: Where the server ends by itself: with its exit code, after its last lines on stderr.
    """
    # uvicorn raises the signal again that ended it: the server beside it has to be ended, too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))

    def end_pages() -> None:
        pages.should_exit = True

    with served:
        served.watch(end_pages)
        _run(pages)
        if (code := served.exit_code) is not None:
            typer.echo(served.read_tail(), err=True)
            typer.echo(f"fuserank: the server beside the shop has ended with exit code {code}; see above", err=True)
            raise typer.Exit(code)


def _run(pages: uvicorn.Server) -> None:
    with suppress(KeyboardInterrupt):  # uvicorn has ended the pages and raises Ctrl-C again
        pages.run()
