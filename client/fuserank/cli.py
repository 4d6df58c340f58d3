"""The command line `fuserank`.

Exit codes: 0 for an answer, 2 for a request (or a command line) that must be changed, 1 for all else.
Answers go to stdout; an error is one line on stderr.
"""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

try:
    import typer
    from rich.console import Console
except ModuleNotFoundError as missing:
    raise SystemExit(f"fuserank: {missing}; pip install 'fuserank[cli]'") from None

# Set before gRPC is imported: its core would log failed handshakes to stderr, beside our one line.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from fuserank.change_commands import add_change_commands
from fuserank.event_commands import add_event_commands
from fuserank.options import Connection, Ranking, Selection, expand_groups, split_list
from fuserank.plugins import CommandGroup
from fuserank.reporting import print_json, report_errors
from fuserank.tables import tabulate_facets, tabulate_result, tabulate_server, tabulate_suggestions
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
ItemId = Annotated[str, typer.Argument(metavar="[ITEM_ID]", help="An item of the catalogue.")]
Text = Annotated[str, typer.Option(help="A text in place of an item.")]
Basket = Annotated[str, typer.Option(metavar="ID,ID,…", help="Items in place of one.")]
Complements = Annotated[bool, typer.Option("--complements", help="What goes with it, not what stands in for it.")]
Viewer = Annotated[str, typer.Option("--user", "-u", help="Who looks: what this user hid is left out.")]
Looking = Annotated[str, typer.Option("--session", help="The viewer's session: what it hid is left out, too.")]
MinPosition = Annotated[int | None, typer.Option(help="What the answer must know of the log.")]
Prefix = Annotated[str, typer.Argument(metavar="PREFIX", help="What was typed so far.")]
Typist = Annotated[str, typer.Option("--user", "-u", help="Who types: what they have had comes first.")]
Count = Annotated[int | None, typer.Option("--count", "-n", help="How many completions.")]


@app.command(epilog="""Example: fuserank search "half gallon milk" --user 900 -k 10 --explain""")
@expand_groups
def search(*, query: Query, user: User = "", ranking: Ranking, connection: Connection) -> None:
    """Rank items for a query, personally where a user is named."""
    _rank(query, user, ranking, connection)


@app.command(epilog="Example: fuserank recommend 900 -k 10 --exclude-seen")
@expand_groups
def recommend(*, user: UserArgument, ranking: Ranking, connection: Connection) -> None:
    """Rank items for a user without a query."""
    _rank("", user, ranking, connection)


@app.command(epilog="Example: fuserank similar 1082185 -k 10   or: fuserank similar --text 'oat drink'")
@expand_groups
def similar(
    *,
    item_id: ItemId = "",
    text: Text = "",
    basket: Basket = "",
    complements: Complements = False,
    user: Viewer = "",
    session: Looking = "",
    min_position: MinPosition = None,
    selection: Selection,
    connection: Connection,
) -> None:
    """Find items like an item, a text or a basket, or what goes with it."""
    more: dict[str, Any] = {
        "user": user or None,
        "session_id": session or None,
        "min_position": min_position,
        "basket": split_list(basket or None),
    }
    with report_errors(), connection.open_client() as client:
        relation: Literal["complement"] | None = "complement" if complements else None
        result = client.similar(item_id, text=text, relation=relation, **more, **selection.to_arguments())
        if connection.as_json:
            print_json(result)
        else:
            asked = item_id or (f'"{text}"' if text else basket)
            title = f"{'with' if complements else 'like'} {asked}"
            Console().print(tabulate_result(result, title, explain=selection.explain))


@app.command(epilog="Example: fuserank suggest 'mlik' --count 5")
@expand_groups
def suggest(*, prefix: Prefix, count: Count = None, user: Typist = "", connection: Connection) -> None:
    """Complete a query while it is typed."""
    with report_errors(), connection.open_client() as client:
        completions = client.suggest(prefix, count, user or None)
        if connection.as_json:
            print_json(completions)
        else:
            Console().print(tabulate_suggestions(completions))


@app.command(epilog="Example: fuserank status --url search.example.com:8001 --json")
@expand_groups
def status(*, connection: Connection) -> None:
    """Say whether a server is ready, what it serves, and from which bundle. Exits 1 where it is not ready."""
    with report_errors(), connection.open_client() as client:
        server = client.status()
        if connection.as_json:
            print_json(server)
        else:
            Console().print(tabulate_server(server))
        raise typer.Exit(0 if server.ready and server.model_ready else 1)


add_event_commands(app)
add_change_commands(app)


def main() -> None:
    """Runs the command line."""
    app()


def _rank(query: str, user: str, ranking: Ranking, connection: Connection) -> None:
    with report_errors(), connection.open_client() as client:
        request = ranking.to_request(query, user)
        _print_result(client.search_batch([request])[0], request, connection.as_json)


def _print_result(result: SearchResult, request: Request, as_json: bool) -> None:
    if as_json:
        print_json(result)
        return
    parts = [f'"{request.query}"' if request.query else "", f"for {request.user}" if request.user else ""]
    title = " ".join(part for part in parts if part) or "for anyone"
    console = Console()
    console.print(tabulate_result(result, title, explain=bool(request.explain)))
    if result.status.facets:
        console.print(tabulate_facets(result.status))


if __name__ == "__main__":
    main()
