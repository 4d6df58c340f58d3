"""The command `fuserank rest`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from fuserank.aio import AsyncClient
from fuserank.options import Server, expand_groups
from fuserank.reporting import report_errors
from fuserank.rest.app import DEFAULT_HOSTS, create_app
from fuserank.rest.identity import UserTokens
from fuserank.rest.rates import RateLimit

Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(help="Port.")]
Names = Annotated[
    list[str] | None,
    typer.Option(help="Another host name that callers may ask for, such as the gateway's; may be repeated, * is any."),
]


Keys = Annotated[
    Path | None,
    typer.Option(
        help="Public key (PEM) or JSON Web Key Set of the shop's sign-in: users are then who their tokens say.",
    ),
]
Issuer = Annotated[str | None, typer.Option(help="What a token's iss must be.")]
Audience = Annotated[str | None, typer.Option(help="What a token's aud must have.")]


Rate = Annotated[str | None, typer.Option(help="Requests that each tenant may send, such as 100/second.")]
TenantHeader = Annotated[str, typer.Option(help="The header by which a gateway names the tenant.")]


@expand_groups
def rest(
    *,
    host: Host = "127.0.0.1",
    port: Port = 8090,
    name: Names = None,
    user_tokens: Keys = None,
    token_issuer: Issuer = None,
    token_audience: Audience = None,
    rate: Rate = None,
    tenant_header: TenantHeader = "X-Tenant",
    server: Server,
) -> None:
    """Answer over REST what a server answers over gRPC; /openapi.json describes it.

    Example: fuserank rest --url search.example:8001
    """
    with report_errors():
        tokens = UserTokens(user_tokens, token_issuer, token_audience) if user_tokens else None
        allowed = RateLimit(rate, tenant_header) if rate is not None else None
        hosts = (*DEFAULT_HOSTS, host, *(name or ()))
        app = create_app(AsyncClient(**server.to_arguments()), hosts, tokens, allowed)
        typer.echo(f"REST: http://{host}:{port}/v1   described by http://{host}:{port}/openapi.json")
        uvicorn.run(app, host=host, port=port, log_level="warning")
