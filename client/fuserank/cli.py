"""The command line `fuserank`.

Exit codes: 0 for an answer, 2 for a request (or a command line) that must be changed, 1 for all else.
Answers go to stdout; an error is one line on stderr.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

try:
    import typer
    from rich.console import Console
except ModuleNotFoundError as missing:
    raise SystemExit(f"fuserank: {missing}; pip install 'fuserank[cli]'") from None

# gRPC's core logs failed handshakes to stderr by itself, beside the one line that we promise. It reads this when
# it is imported, which the next line does.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from fuserank.client import Client
from fuserank.connection import DEFAULT_TIMEOUT, DEFAULT_URL, TLS
from fuserank.errors import FuseRankError, InvalidRequestError
from fuserank.plugins import CommandGroup
from fuserank.tables import result_table, server_table, suggestion_table
from fuserank.types import Request, SearchResult

app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Search and recommendation from one Triton graph and one gRPC call.",
)

Query = Annotated[str, typer.Argument(metavar="QUERY", help="What to search for.")]
User = Annotated[str, typer.Option("--user", "-u", help="Who asks; an unknown user counts as new.")]
UserArgument = Annotated[str, typer.Argument(metavar="USER", help="Whom to recommend to.")]
K = Annotated[int | None, typer.Option("-k", help="How many items.")]
History = Annotated[
    str | None, typer.Option(metavar="ID,ID,…", help="Items seen, newest last; replaces the stored history.")
]
Filter = Annotated[str | None, typer.Option(metavar="JSON", help='Such as {"price": {"lt": 5}}.')]
Context = Annotated[str | None, typer.Option(metavar="JSON", help="timestamp, region, store, device.")]
Objective = Annotated[str | None, typer.Option(metavar="JSON", help='Weights of the heads, such as {"purchase": 1}.')]
Diversity = Annotated[float | None, typer.Option(help="From 0 (ranking alone) to 1 (variety alone).")]
ExcludeSeen = Annotated[bool, typer.Option("--exclude-seen", help="Leave out items of the history.")]
DeadlineMs = Annotated[float | None, typer.Option(help="Milliseconds that the server may spend.")]
Explain = Annotated[bool, typer.Option("--explain", "-e", help="Show the signals behind each score.")]
Fields = Annotated[str | None, typer.Option(metavar="NAME,NAME,…", help="Catalogue fields to show.")]
ItemId = Annotated[str, typer.Argument(metavar="[ITEM_ID]", help="An item of the catalogue.")]
Text = Annotated[str, typer.Option(help="A text in place of an item.")]
Prefix = Annotated[str, typer.Argument(metavar="PREFIX", help="What was typed so far.")]
Count = Annotated[int | None, typer.Option("--count", "-n", help="How many completions.")]

_SERVER = "Connection"
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines, and nothing else.")]
Url = Annotated[str, typer.Option(envvar="FUSERANK_URL", help="Triton's gRPC address.", rich_help_panel=_SERVER)]
Timeout = Annotated[float, typer.Option(help="Hard limit of a call in seconds.", rich_help_panel=_SERVER)]
Tls = Annotated[bool, typer.Option("--tls", help="Encrypt; implied by the --tls-… files.", rich_help_panel=_SERVER)]
TlsCa = Annotated[Path | None, typer.Option(help="PEM of the authorities to trust.", rich_help_panel=_SERVER)]
TlsCert = Annotated[Path | None, typer.Option(help="PEM of the client's chain.", rich_help_panel=_SERVER)]
TlsKey = Annotated[Path | None, typer.Option(help="PEM of the client's key.", rich_help_panel=_SERVER)]
Header = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="Sent along; may be repeated.", rich_help_panel=_SERVER),
]


@app.command(epilog="""Example: fuserank search "half gallon milk" --user 900 -k 10 --explain""")
def search(
    *,
    query: Query,
    user: User = "",
    k: K = None,
    history: History = None,
    filter: Filter = None,
    context: Context = None,
    objective: Objective = None,
    diversity: Diversity = None,
    exclude_seen: ExcludeSeen = False,
    deadline_ms: DeadlineMs = None,
    explain: Explain = False,
    fields: Fields = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    timeout: Timeout = DEFAULT_TIMEOUT,
    tls: Tls = False,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    header: Header = None,
) -> None:
    """Rank items for a query, personally where a user is named."""
    with _reported(), _client(url, timeout, _tls(tls, tls_ca, tls_cert, tls_key), header) as client:
        request = Request(
            query,
            user,
            k=k,
            history=_list(history),
            filter=_json("--filter", filter),
            context=_json("--context", context),
            objective=_json("--objective", objective),
            diversity=diversity,
            exclude_seen=exclude_seen or None,
            deadline_ms=deadline_ms,
            explain=explain or None,
            fields=_list(fields),
        )
        _print_result(client.search_batch([request])[0], request, as_json)


@app.command(epilog="Example: fuserank recommend 900 -k 10 --exclude-seen")
def recommend(
    *,
    user: UserArgument,
    k: K = None,
    history: History = None,
    filter: Filter = None,
    context: Context = None,
    objective: Objective = None,
    diversity: Diversity = None,
    exclude_seen: ExcludeSeen = False,
    deadline_ms: DeadlineMs = None,
    explain: Explain = False,
    fields: Fields = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    timeout: Timeout = DEFAULT_TIMEOUT,
    tls: Tls = False,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    header: Header = None,
) -> None:
    """Rank items for a user without a query."""
    search(
        query="",
        user=user,
        k=k,
        history=history,
        filter=filter,
        context=context,
        objective=objective,
        diversity=diversity,
        exclude_seen=exclude_seen,
        deadline_ms=deadline_ms,
        explain=explain,
        fields=fields,
        as_json=as_json,
        url=url,
        timeout=timeout,
        tls=tls,
        tls_ca=tls_ca,
        tls_cert=tls_cert,
        tls_key=tls_key,
        header=header,
    )


@app.command(epilog="Example: fuserank similar 1082185 -k 10   or: fuserank similar --text 'oat drink'")
def similar(
    *,
    item_id: ItemId = "",
    text: Text = "",
    k: K = None,
    filter: Filter = None,
    fields: Fields = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    timeout: Timeout = DEFAULT_TIMEOUT,
    tls: Tls = False,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    header: Header = None,
) -> None:
    """Find items like an item, or like a text."""
    with _reported(), _client(url, timeout, _tls(tls, tls_ca, tls_cert, tls_key), header) as client:
        condition = _json("--filter", filter)
        result = client.similar(item_id, text=text, k=k, filter=condition, fields=_list(fields))
        if as_json:
            _print_json(result)
        else:
            Console().print(result_table(result, f"like {item_id}" if item_id else f'like "{text}"', explain=False))


@app.command(epilog="Example: fuserank suggest 'mlik' --count 5")
def suggest(
    *,
    prefix: Prefix,
    count: Count = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    timeout: Timeout = DEFAULT_TIMEOUT,
    tls: Tls = False,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    header: Header = None,
) -> None:
    """Complete a query while it is typed."""
    with _reported(), _client(url, timeout, _tls(tls, tls_ca, tls_cert, tls_key), header) as client:
        completions = client.suggest(prefix, count)
        if as_json:
            _print_json(completions)
        else:
            Console().print(suggestion_table(completions))


@app.command(epilog="Example: fuserank status --url search.example.com:8001 --json")
def status(
    *,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    timeout: Timeout = DEFAULT_TIMEOUT,
    tls: Tls = False,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    header: Header = None,
) -> None:
    """Say whether a server is ready, what it serves, and from which bundle. Exits 1 where it is not ready."""
    with _reported(), _client(url, timeout, _tls(tls, tls_ca, tls_cert, tls_key), header) as client:
        server = client.status()
        if as_json:
            _print_json(server)
        else:
            Console().print(server_table(server))
        raise typer.Exit(0 if server.ready and server.model_ready else 1)


def main() -> None:
    """Runs the command line; the process's entry point."""
    app()


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except FuseRankError as error:
        typer.echo(f"fuserank: {' '.join(error.message.split())}", err=True)
        raise typer.Exit(2 if isinstance(error, InvalidRequestError) else 1) from None


def _tls(asked: bool, root_ca: Path | None, cert: Path | None, key: Path | None) -> TLS | None:
    return TLS(root_ca, cert, key) if asked or root_ca or cert or key else None


def _client(url: str, timeout: float, tls: TLS | None, headers: list[str] | None) -> Client:
    return Client(url, timeout=timeout, tls=tls, headers=dict(_header(header) for header in headers or ()))


def _header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise InvalidRequestError(f"--header: found {text!r}; allowed: NAME=VALUE")
    return name.strip(), value.strip()


def _list(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def _json(option: str, text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError as error:
        raise InvalidRequestError(f"{option}: found malformed JSON ({error}); allowed: a JSON object") from None


def _print_result(result: SearchResult, request: Request, as_json: bool) -> None:
    if as_json:
        _print_json(result)
        return
    words = [f'"{request.query}"' if request.query else "", f"for {request.user}" if request.user else ""]
    title = " ".join(word for word in words if word) or "for anyone"
    Console().print(result_table(result, title, explain=bool(request.explain)))


def _print_json(value: Any) -> None:
    json.dump([asdict(each) for each in value] if isinstance(value, list) else asdict(value), sys.stdout)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
