"""Groups of command-line options that several commands share; a command takes a group as one parameter."""

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
from fuserank.types import Language, Request, Sort

_PANEL = "Connection"
_JSON_FORMS = {
    "--rules": "a JSON list of objects",
    "--facets": "a JSON list of names and objects",
}  # the other options in JSON are objects


@dataclass(frozen=True)
class Selection:
    """Options of how many items to return, which ones, which of their fields, and whether with reasons."""

    k: Annotated[int | None, typer.Option("-k", help="How many items.")] = None
    filter: Annotated[str | None, typer.Option(metavar="JSON", help='Such as {"price": {"lt": 5}}.')] = None
    fields: Annotated[str | None, typer.Option(metavar="NAME,NAME,…", help="Catalogue fields to show.")] = None
    explain: Annotated[bool, typer.Option("--explain", "-e", help="Show the signals behind each score.")] = False
    language: Annotated[str | None, typer.Option(help="Of the reasons: en or zh.")] = None

    def to_arguments(self) -> dict[str, Any]:
        """Returns the options as keyword arguments of the client.

        Raises:
            InvalidRequestError: On malformed JSON.
        """
        return {
            "k": self.k,
            "filter": _parse_json("--filter", self.filter),
            "fields": split_list(self.fields),
            "explain": self.explain or None,
            # The server checks which languages there are.
            "language": cast("Language | None", self.language),
        }


@dataclass(frozen=True)
class Ranking(Selection):
    """Options of a search or a recommendation."""

    history: Annotated[
        str | None, typer.Option(metavar="ID,ID,…", help="Items seen, newest last; replaces the stored history.")
    ] = None
    context: Annotated[str | None, typer.Option(metavar="JSON", help="timestamp, region, store, device.")] = None
    objective: Annotated[
        str | None, typer.Option(metavar="JSON", help='Weights of the heads, such as {"purchase": 1}.')
    ] = None
    diversity: Annotated[float | None, typer.Option(help="From 0 (ranking alone) to 1 (variety alone).")] = None
    exclude_seen: Annotated[bool, typer.Option("--exclude-seen", help="Leave out products of the history.")] = False
    deadline_ms: Annotated[float | None, typer.Option(help="Milliseconds that the server may spend.")] = None
    rules: Annotated[
        str | None,
        typer.Option(
            metavar="JSON", help='Boost, bury, pin: [{"boost": 1, "filter": {…}}, {"pin": 1, "item_ids": […]}].'
        ),
    ] = None
    explore: Annotated[
        str | None, typer.Option(metavar="JSON", help='Show items few know, such as {"rate": 0.1, "slots": [5]}.')
    ] = None
    exposure: Annotated[
        str | None, typer.Option(metavar="JSON", help='Shares of a page, such as {"brand": {"max_share": 0.4}}.')
    ] = None
    plain: Annotated[
        bool, typer.Option("--plain", help="Take sizes, prices and negations in the query as words like any other.")
    ] = False

    session: Annotated[str | None, typer.Option("--session", help="Session of who asks; its events count.")] = None
    min_position: Annotated[
        int | None, typer.Option(help="What the answer must know of the log, as `fuserank record` printed it.")
    ] = None
    facets: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME,…", help='Fields whose values are counted, or JSON: ["brand", {"field": "price"}].'
        ),
    ] = None
    offset: Annotated[int | None, typer.Option(help="How many items come before; 0 counts what matches, too.")] = None
    sort: Annotated[
        str | None, typer.Option(help="relevance, price_asc, price_desc, newest, rating or popularity.")
    ] = None
    collapse: Annotated[bool, typer.Option("--collapse", help="Packages of one product are one tile.")] = False
    collapse_by: Annotated[str | None, typer.Option(metavar="NAME", help="Items of one value are one tile.")] = None
    highlight: Annotated[bool, typer.Option("--highlight", help="Mark the words that match.")] = False
    probability: Annotated[bool, typer.Option("--probability", help="Show how likely each is taken.")] = False

    def to_request(self, query: str, user: str) -> Request:
        """Returns the request of a query, a user or both.

        Raises:
            InvalidRequestError: On malformed JSON.
        """
        return Request(
            query,
            user,
            **self.to_arguments(),
            history=split_list(self.history),
            context=_parse_json("--context", self.context),
            objective=_parse_json("--objective", self.objective),
            diversity=self.diversity,
            exclude_seen=self.exclude_seen or None,
            deadline_ms=self.deadline_ms,
            rules=_parse_json("--rules", self.rules),
            explore=_parse_json("--explore", self.explore),
            understand=False if self.plain else None,
            session_id=self.session,
            min_position=self.min_position,
            facets=_parse_facets(self.facets),
            offset=self.offset,
            # The server checks which orders there are.
            sort=cast("Sort | None", self.sort),
            collapse=self.collapse_by or self.collapse or None,
            highlight=self.highlight or None,
            probability=self.probability or None,
            exposure=_parse_json("--exposure", self.exposure),
        )


@dataclass(frozen=True)
class Server:
    """Options of how the server is reached."""

    url: Annotated[str, typer.Option(envvar="FUSERANK_URL", help="Triton's gRPC address.", rich_help_panel=_PANEL)] = (
        DEFAULT_URL
    )
    timeout: Annotated[float, typer.Option(help="Hard limit of a call in seconds.", rich_help_panel=_PANEL)] = (
        DEFAULT_TIMEOUT
    )
    tls: Annotated[
        bool, typer.Option("--tls", help="Encrypt; implied by the --tls-… files.", rich_help_panel=_PANEL)
    ] = False
    tls_ca: Annotated[Path | None, typer.Option(help="PEM of the authorities to trust.", rich_help_panel=_PANEL)] = None
    tls_cert: Annotated[Path | None, typer.Option(help="PEM of the client's chain.", rich_help_panel=_PANEL)] = None
    tls_key: Annotated[Path | None, typer.Option(help="PEM of the client's key.", rich_help_panel=_PANEL)] = None
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Sent along; may be repeated.", rich_help_panel=_PANEL),
    ] = None

    def to_arguments(self) -> dict[str, Any]:
        """Returns the options as keyword arguments of both clients.

        Raises:
            InvalidRequestError: On a malformed header.
        """
        encrypt = self.tls or self.tls_ca or self.tls_cert or self.tls_key
        tls = TLS(self.tls_ca, self.tls_cert, self.tls_key) if encrypt else None
        headers = dict(_parse_header(header) for header in self.header or ())
        return {"url": self.url, "timeout": self.timeout, "tls": tls, "headers": headers}


@dataclass(frozen=True)
class Connection(Server):
    """Options of the connection to the server, and of the output's form."""

    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines, and nothing else.")] = False

    def open_client(self) -> Client:
        """Opens a client of the server; errors as of `to_arguments`."""
        return Client(**self.to_arguments())


def expand_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Returns a command whose signature has the fields of each dataclass parameter in place of it.

    Typer reads the options of a command from its signature.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type[Any]] = {
        name: hint for name, hint in hints.items() if isinstance(hint, type) and is_dataclass(hint)
    }
    parameters = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name not in groups:
            parameters.append(parameter.replace(annotation=hints[name]))
            continue
        field_hints = get_type_hints(groups[name], include_extras=True)
        parameters += [
            inspect.Parameter(field.name, parameter.kind, default=field.default, annotation=field_hints[field.name])
            for field in fields(groups[name])
        ]

    @wraps(command)
    def expanded(**values: Any) -> None:
        group_values = {
            name: group(**{field.name: values.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        command(**values, **group_values)

    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # inspect reads it
    expanded.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return expanded


def _parse_header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise InvalidRequestError(f"--header: found {text!r}; allowed: NAME=VALUE")
    return name.strip(), value.strip()


def split_list(text: str | None) -> list[str] | None:
    """Returns the entries of a list that commas part; None for None."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def _parse_facets(text: str | None) -> Any:
    return _parse_json("--facets", text) if text is not None and text.lstrip().startswith("[") else split_list(text)


def _parse_json(option: str, text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError as error:
        raise InvalidRequestError(
            f"{option}: found malformed JSON ({error}); allowed: {_JSON_FORMS.get(option, 'a JSON object')}"
        ) from None
