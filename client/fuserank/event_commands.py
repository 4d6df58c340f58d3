"""The commands of what a server knows of users: `record`, `profile`, `forget`, `merge`, `opt-out` and `opt-in`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, cast

import typer

from fuserank.errors import InvalidRequestError
from fuserank.events import Event, ProfileChange
from fuserank.json_lines import open_lines, parse_line
from fuserank.options import Connection, expand_groups
from fuserank.reporting import print_json, report_errors

BATCH = 1_000  # events a call, the server's limit
UserArgument = Annotated[str, typer.Argument(metavar="USER", help="The user's id.")]
File = Annotated[
    Path | None,
    typer.Argument(metavar="[FILE]", help="Events as JSON lines; - reads them from stdin.", show_default=False),
]
FromSession = Annotated[str, typer.Option("--session", help="The session that the user had before logging in.")]
FromUser = Annotated[str, typer.Option("--from-user", help="The user id of the visitor before logging in.")]


@dataclass(frozen=True)
class OneEvent:
    """Options of one event, where there is no file."""

    item: Annotated[str | None, typer.Option("--item", help="The item's id.")] = None
    event: Annotated[str | None, typer.Option("--event", help="view, click, cart, purchase, hide, …")] = None
    user: Annotated[str | None, typer.Option("--user", "-u", help="Who did it.")] = None
    session: Annotated[str | None, typer.Option("--session", help="In which session.")] = None
    value: Annotated[float | None, typer.Option("--value", help="Of a rating.")] = None
    timestamp: Annotated[str | None, typer.Option("--timestamp", help="ISO 8601; now, where it is missing.")] = None
    event_id: Annotated[str | None, typer.Option("--event-id", help="Sent again, the same one counts once.")] = None

    def to_event(self) -> Event:
        """Returns the event."""
        given = {
            "item_id": self.item,
            "event": self.event,
            "user_id": self.user,
            "session_id": self.session,
            "value": self.value,
            "timestamp": self.timestamp,
            "event_id": self.event_id,
        }
        return cast("Event", {name: value for name, value in given.items() if value is not None})


def add_event_commands(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.command(
        epilog="Example: fuserank record --user 900 --item 1082185 --event purchase   or: fuserank record events.jsonl"
    )(expand_groups(record))
    app.command(epilog="Example: fuserank profile 900 --json")(expand_groups(profile))
    app.command(epilog="Example: fuserank forget 900")(expand_groups(forget))
    app.command(epilog="Example: fuserank merge 900 --session 5f1c")(expand_groups(merge))
    app.command(name="opt-out", epilog="Example: fuserank opt-out 900")(expand_groups(opt_out))
    app.command(name="opt-in", epilog="Example: fuserank opt-in 900")(expand_groups(opt_in))


def record(*, file: File = None, one: OneEvent, connection: Connection) -> None:
    """Record what shoppers did: events of a file, or one by options. Exits 2 where one was not taken."""
    position = recorded = duplicates = spooled = rejected = unknown = 0
    with report_errors(), _opened(file, one) as lines, connection.open_client() as client:
        numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
        while batch := list(islice(numbered, BATCH)):
            result = client.record([parse_line(line) for _, line in batch])
            for (number, _), outcome in zip(batch, result.events, strict=True):
                if outcome.error is not None:
                    error = outcome.error
                    typer.echo(
                        f"fuserank: line {number}: {error.field}: found {error.found}; allowed: {error.allowed}",
                        err=True,
                    )
            position = max(position, result.position)
            recorded, duplicates = recorded + result.recorded, duplicates + result.duplicates
            spooled += result.spooled
            rejected, unknown = rejected + result.rejected, unknown + result.unknown_items
    counts = {
        "position": position,
        "recorded": recorded,
        "duplicates": duplicates,
        "spooled": spooled,
        "rejected": rejected,
        "unknown_items": unknown,
    }
    if connection.as_json:
        sys.stdout.write(json.dumps(counts) + "\n")
    else:
        typer.echo(" · ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items()))
    raise typer.Exit(2 if rejected else 0)


def profile(*, user: UserArgument, connection: Connection) -> None:
    """Show what the server holds of a user, as JSON."""
    with report_errors(), connection.open_client() as client:
        print_json(client.profile(user))


def forget(*, user: UserArgument, connection: Connection) -> None:
    """Erase what the server's log holds of a user; bundles that hold the user are named."""
    with report_errors(), connection.open_client() as client:
        _print_change(client.forget(user), connection)


def merge(*, user: UserArgument, session: FromSession = "", from_user: FromUser = "", connection: Connection) -> None:
    """Make what an anonymous visitor did a user's, as at a log-in."""
    with report_errors(), connection.open_client() as client:
        _print_change(client.merge(user, from_session=session, from_user=from_user), connection)


def opt_out(*, user: UserArgument, connection: Connection) -> None:
    """Answer a user without anything personal from now on."""
    with report_errors(), connection.open_client() as client:
        _print_change(client.opt_out(user), connection)


def opt_in(*, user: UserArgument, connection: Connection) -> None:
    """Answer a user personally again."""
    with report_errors(), connection.open_client() as client:
        _print_change(client.opt_in(user), connection)


def _print_change(change: ProfileChange, connection: Connection) -> None:
    if connection.as_json:
        print_json(change)
        return
    parts = [f"position {change.position:,}"]
    parts += [f"{name} {count:,}" for name, count in (("erased", change.erased), ("merged", change.merged)) if count]
    parts += [f"still in bundle {', '.join(change.bundles)} until the next export"] if change.bundles else []
    typer.echo(" · ".join(parts))


@contextmanager
def _opened(file: Path | None, one: OneEvent) -> Iterator[Iterable[str]]:
    """The events as JSON lines: those of a file, of stdin, or the one that options name."""
    event = one.to_event()
    if (file is None) == (not event):
        raise InvalidRequestError("FILE: found both a file and options of an event, or neither; allowed: one of them")
    if file is None:
        yield [json.dumps(event)]
        return
    with open_lines(file) as lines:
        yield lines
