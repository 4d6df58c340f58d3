"""The command `fuserank rest`."""

from __future__ import annotations

from typing import Annotated

import typer
import uvicorn

from fuserank.aio import AsyncClient
from fuserank.connection import DEFAULT_TIMEOUT, DEFAULT_URL
from fuserank.reporting import report_errors
from fuserank.rest.app import create_app


def rest(
    url: Annotated[str, typer.Option(envvar="FUSERANK_URL", help="Triton's gRPC address.")] = DEFAULT_URL,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port.")] = 8090,
    timeout: Annotated[float, typer.Option(help="Hard limit of a call in seconds.")] = DEFAULT_TIMEOUT,
) -> None:
    """Answer over REST what a server answers over gRPC; /openapi.json describes it.

    Example: fuserank rest --url search.example:8001
    """
    with report_errors():
        app = create_app(AsyncClient(url, timeout=timeout))
        typer.echo(f"REST: http://{host}:{port}/v1   described by http://{host}:{port}/openapi.json")
        uvicorn.run(app, host=host, port=port, log_level="warning")
