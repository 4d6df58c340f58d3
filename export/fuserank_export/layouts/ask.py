"""Asks at the terminal for what a file's columns do not say."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import typer

from fuserank_ensemble.interactions.events import EVENT_NAMES
from fuserank_export.layouts.draft import Draft
from fuserank_export.layouts.mapping import IGNORE, LogMapping, find_name

MOST_ASKED = 20  # events; the rest stay commented lines


def ask_missing(draft: Draft) -> Draft:
    """Returns a draft with what was answered; an empty answer leaves the question in the TOML file."""
    columns = dict(draft.mapping.columns)
    missing = list(draft.missing)
    if missing:
        typer.echo(f"{draft.path} has the columns {', '.join(draft.columns)}", err=True)
    event = None
    for ours in draft.missing:
        name = _ask_column(ours, draft.columns)
        if name is None:
            continue
        missing.remove(ours)
        if name in draft.columns:
            columns[ours] = name
        else:
            event = name
    mapping = msgspec.structs.replace(draft.mapping, columns=columns)
    if event is not None and isinstance(mapping, LogMapping):
        mapping = msgspec.structs.replace(mapping, event=event)
    unknown = dict(draft.unknown_events)
    # Where other events are left out anyhow, those of unknown meaning are many and not asked for.
    if isinstance(mapping, LogMapping) and mapping.other_events == "reject":
        events = dict(mapping.events)
        for name, count in list(unknown.items())[:MOST_ASKED]:
            meaning = _ask_event(name, count)
            if meaning is not None:
                events[name] = meaning
                del unknown[name]
        mapping = msgspec.structs.replace(mapping, events=events)
    return replace(draft, mapping=mapping, missing=missing, unknown_events=unknown)


def _ask_column(ours: str, columns: list[str]) -> str | None:
    """Returns the column that was named; for the event also one of ours, which then is that of every row."""
    more = f", or which of {', '.join(EVENT_NAMES)} is every row" if ours == "event" else ""
    question = f"Which column is {ours}{more}? (empty: leave it open)"
    while True:
        answer = typer.prompt(question, default="", show_default=False, err=True)
        if not answer.strip():
            return None
        name = find_name(columns, answer.strip())
        if name is None and ours == "event":
            name = find_name(EVENT_NAMES, answer.strip())
        if name is not None:
            return name
        typer.echo(f"the file has no column {answer!r}", err=True)


def _ask_event(name: str, count: int) -> str | None:
    allowed = (*EVENT_NAMES, IGNORE)
    while True:
        question = f"What is the event {name!r} ({count:,} rows): {', '.join(allowed)}? (empty: leave it open)"
        answer: str = typer.prompt(question, default="", show_default=False, err=True).strip().casefold()
        if not answer:
            return None
        if answer in allowed:
            return answer
        typer.echo(f"found {answer!r}; allowed: {', '.join(allowed)}", err=True)
