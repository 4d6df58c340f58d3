"""Options that several commands share, each declared once: a command takes a dataclass of them as one parameter."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, cast, get_type_hints

import typer

from fuserank.client import Client
from fuserank.connection import DEFAULT_TIMEOUT, DEFAULT_URL, TLS
from fuserank.errors import InvalidRequestError
from fuserank.types import Language, Request

_SERVER = "Connection"
_SHAPES = {"--rules": "a JSON list of objects"}  # the other options in JSON are objects


@dataclass(frozen=True)
class Selection:
    """Which items are wanted, and what of them."""

    k: Annotated[int | None, typer.Option("-k", help="How many items.")] = None
    filter: Annotated[str | None, typer.Option(metavar="JSON", help='Such as {"price": {"lt": 5}}.')] = None
    fields: Annotated[str | None, typer.Option(metavar="NAME,NAME,…", help="Catalogue fields to show.")] = None

    def parsed(self) -> dict[str, Any]:
        """The options as the client takes them.

        Raises:
            InvalidRequestError: On malformed JSON.
        """
        return {"k": self.k, "filter": _json("--filter", self.filter), "fields": _list(self.fields)}


@dataclass(frozen=True)
class Ranking(Selection):
    """How a search or a recommendation is to be ranked."""

    history: Annotated[
        str | None, typer.Option(metavar="ID,ID,…", help="Items seen, newest last; replaces the stored history.")
    ] = None
    context: Annotated[str | None, typer.Option(metavar="JSON", help="timestamp, region, store.")] = None
    objective: Annotated[
        str | None, typer.Option(metavar="JSON", help='Weights of the heads, such as {"purchase": 1}.')
    ] = None
    diversity: Annotated[float | None, typer.Option(help="From 0 (ranking alone) to 1 (variety alone).")] = None
    exclude_seen: Annotated[bool, typer.Option("--exclude-seen", help="Leave out items of the history.")] = False
    deadline_ms: Annotated[float | None, typer.Option(help="Milliseconds that the server may spend.")] = None
    explain: Annotated[bool, typer.Option("--explain", "-e", help="Show the signals behind each score.")] = False
    rules: Annotated[
        str | None,
        typer.Option(
            metavar="JSON", help='Boost, bury, pin: [{"boost": 1, "filter": {…}}, {"pin": 1, "item_ids": […]}].'
        ),
    ] = None
    explore: Annotated[
        str | None, typer.Option(metavar="JSON", help='Show items few know, such as {"rate": 0.1, "slots": [5]}.')
    ] = None
    language: Annotated[str | None, typer.Option(help="Of the reasons: en or zh.")] = None

    def request(self, query: str, user: str) -> Request:
        """The request of a query, a user or both.

        Raises:
            InvalidRequestError: On malformed JSON.
        """
        return Request(
            query,
            user,
            **self.parsed(),
            history=_list(self.history),
            context=_json("--context", self.context),
            objective=_json("--objective", self.objective),
            diversity=self.diversity,
            exclude_seen=self.exclude_seen or None,
            deadline_ms=self.deadline_ms,
            explain=self.explain or None,
            rules=_json("--rules", self.rules),
            explore=_json("--explore", self.explore),
            # The server judges which languages there are.
            language=cast("Language | None", self.language),
        )


@dataclass(frozen=True)
class Connection:
    """Where the server is, how it is spoken to, and for whom its answer is printed."""

    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines, and nothing else.")] = False
    url: Annotated[str, typer.Option(envvar="FUSERANK_URL", help="Triton's gRPC address.", rich_help_panel=_SERVER)] = (
        DEFAULT_URL
    )
    timeout: Annotated[float, typer.Option(help="Hard limit of a call in seconds.", rich_help_panel=_SERVER)] = (
        DEFAULT_TIMEOUT
    )
    tls: Annotated[
        bool, typer.Option("--tls", help="Encrypt; implied by the --tls-… files.", rich_help_panel=_SERVER)
    ] = False
    tls_ca: Annotated[Path | None, typer.Option(help="PEM of the authorities to trust.", rich_help_panel=_SERVER)] = (
        None
    )
    tls_cert: Annotated[Path | None, typer.Option(help="PEM of the client's chain.", rich_help_panel=_SERVER)] = None
    tls_key: Annotated[Path | None, typer.Option(help="PEM of the client's key.", rich_help_panel=_SERVER)] = None
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Sent along; may be repeated.", rich_help_panel=_SERVER),
    ] = None

    def client(self) -> Client:
        """A client of that server.

        Raises:
            InvalidRequestError: On a malformed header.
        """
        encrypted = self.tls or self.tls_ca or self.tls_cert or self.tls_key
        tls = TLS(self.tls_ca, self.tls_cert, self.tls_key) if encrypted else None
        headers = dict(_header(header) for header in self.header or ())
        return Client(self.url, timeout=self.timeout, tls=tls, headers=headers)


def unfolded(command: Callable[..., None]) -> Callable[..., None]:
    """A command for typer, which reads options from a signature: each dataclass parameter becomes its fields."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type[Any]] = {
        name: hint for name, hint in hints.items() if isinstance(hint, type) and is_dataclass(hint)
    }
    parameters = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name not in groups:
            parameters.append(parameter.replace(annotation=hints[name]))
            continue
        inner = get_type_hints(groups[name], include_extras=True)
        parameters += [
            inspect.Parameter(each.name, parameter.kind, default=each.default, annotation=inner[each.name])
            for each in fields(groups[name])
        ]

    @wraps(command)
    def taking_fields(**values: Any) -> None:
        folded = {
            name: group(**{each.name: values.pop(each.name) for each in fields(group)})
            for name, group in groups.items()
        }
        command(**values, **folded)

    taking_fields.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # inspect reads it
    taking_fields.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return taking_fields


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
        raise InvalidRequestError(
            f"{option}: found malformed JSON ({error}); allowed: {_SHAPES.get(option, 'a JSON object')}"
        ) from None
