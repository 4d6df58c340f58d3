"""Writes the TOML file of a shop, with what was found and what is left to be said as comments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tomlkit
from tomlkit.items import InlineTable, Item, Table

from fuserank_ensemble.interactions.events import EVENT_NAMES
from fuserank_export.layouts.draft import OURS, Draft
from fuserank_export.layouts.mapping import LogMapping

COMMENT_CHARACTERS = 110
MOST_EVENTS = 30  # unknown events that are written, the most frequent first


def write_toml(
    command: str, options: Mapping[str, tuple[str, str]], inputs: Mapping[str, Any], drafts: list[Draft]
) -> str:
    """Returns the TOML file.

    Args:
        command: The command that writes it.
        options: Values of options of `export bundle`, and the comment on each.
        inputs: The input files and how they are read, by their options.
        drafts: What is known of the files.
    """
    document = tomlkit.document()
    document.add(tomlkit.comment(f"Written by `{command}`."))
    document.add(
        tomlkit.comment("Every option of `fuserank export bundle` may stand here or under [inputs], by its name")
    )
    document.add(
        tomlkit.comment("without the dashes. What the command line says wins. Paths are relative to this file.")
    )
    document.add(tomlkit.nl())
    for name, (value, comment) in options.items():
        document.add(name, tomlkit.item(value).comment(comment) if comment else tomlkit.item(value))
    document.add(tomlkit.nl())
    files = tomlkit.table()
    for name, path in inputs.items():
        files.add(name, path)
    if "interactions" not in inputs:
        files.add(tomlkit.comment('interactions = "events.csv"  # the log, once there is one'))
    document.add("inputs", files)
    for draft in drafts:
        document.add(tomlkit.nl())
        document.add(draft.kind, _table(draft))
    return tomlkit.dumps(document)


def _table(draft: Draft) -> Table:
    """Returns the table of one file."""
    mapping = draft.mapping
    table = tomlkit.table()
    _describe(table, draft)
    if mapping.header:
        table.add("header", _long_list(mapping.header).comment("the file has none: its columns in their order"))
    for key, value in (("layout", mapping.layout), ("rows", mapping.rows), ("pairs", mapping.pairs)):
        if value:
            table.add(key, value)
    if isinstance(mapping, LogMapping):
        if mapping.event is not None:
            why = "" if draft.ordered is None else f", as there is a column {draft.ordered}: see whether it is right"
            table.add("event", tomlkit.item(mapping.event).comment(f"of every row{why}"))
        if mapping.other_events == "ignore":
            comment = "events that are not named below are left out, and counted"
            table.add("other-events", tomlkit.item(mapping.other_events).comment(comment))
    if mapping.ignore:
        table.add("ignore", _long_list(mapping.ignore))
    table.add("columns", _columns(draft))
    for name, values in (("values", mapping.values), ("split", mapping.split), ("only", mapping.only)):
        if values:
            table.add(name, _inner_table(values, _COMMENTS[name]))
    if isinstance(mapping, LogMapping) and (mapping.events or draft.unknown_events):
        table.add("events", _events(draft, mapping))
    return table


def _describe(table: Table, draft: Draft) -> None:
    """Says what a file is, and what becomes of the columns that are not named."""
    what = draft.layout.title if draft.layout else "our own names" if draft.has_own_names else "no known layout"
    table.add(tomlkit.comment(f"{draft.path.name}: {what}"))
    if draft.layout and draft.layout.explained:
        explained = draft.layout.explained
        _add_comment(table, "", f"{explained[0].upper()}{explained[1:]}.".split())
    if draft.kind == "users":
        _add_comment(table, "Groups of users, by their own names: ", draft.kept, ",")
    elif draft.kind == "catalog":
        _add_comment(table, "Kept under their own names: ", draft.kept, ",")
    else:
        _add_comment(table, "Not read: ", [name for name in draft.kept if name not in OURS[draft.kind]], ",")


_COMMENTS = {
    "values": "What the file's values mean.",
    "split": "What separates several values in a cell.",
    "only": "The rows to keep, by their values; others are left out, and counted.",
}


def _columns(draft: Draft) -> Table:
    """Returns the names of the columns, ours before the file's."""
    table = tomlkit.table()
    layout = draft.layout
    for ours, name in draft.mapping.columns.items():
        value: Item = tomlkit.item(name)
        if layout and ours in layout.comments:
            value = value.comment(layout.comments[ours])
        elif ours in draft.guessed:
            value = value.comment("by its name: see whether it is right")
        elif ours in draft.by_values:
            value = value.comment("by its values: see whether it is right")
        table.add(ours, value)
    for ours in draft.missing:
        where = f", {layout.unknown[ours]}" if layout and ours in layout.unknown else ""
        where += ', or write event = "view" above, where all rows are one event' if ours == "event" else ""
        listed = ", ".join(draft.columns[:30]) + (", …" if len(draft.columns) > 30 else "")
        table.add(tomlkit.comment(f'{ours} = "…"  # required: say which column it is{where}. Found: {listed}'))
    left_open = layout.left_open if layout else {}
    for ours, reason in left_open.items():
        name = layout.mapping.names(ours)[0] if layout else ours
        table.add(tomlkit.comment(f'{ours} = "{name}"  # {reason}'))
    taken = {*draft.mapping.columns, *draft.missing, *draft.prepared, *left_open, "position", "event"}
    unknown = [name for name in OURS[draft.kind] if name not in taken]
    if unknown:
        table.add(tomlkit.comment(f"Not found, and not required: {', '.join(unknown)}"))
    return table


def _events(draft: Draft, mapping: LogMapping) -> Table:
    """Returns the names of the log's events before ours; those that nobody knows are comments."""
    table = tomlkit.table()
    allowed = ", ".join(EVENT_NAMES)
    table.add(tomlkit.comment(f"The log's name of an event = ours: {allowed}, or ignore"))
    for name, ours in mapping.events.items():
        table.add(name, ours)
    outcome = "left out" if mapping.other_events == "ignore" else "bad rows until it has a name"
    for name, count in list(draft.unknown_events.items())[:MOST_EVENTS]:
        key = tomlkit.key(name).as_string() if name.replace("_", "").isalnum() else tomlkit.item(name).as_string()
        table.add(tomlkit.comment(f'{key} = "…"  # {count:,} of the first {draft.sampled:,} rows, {outcome}'))
    return table


def _inner_table(values: Mapping[str, Any], comment: str) -> Table:
    table = tomlkit.table()
    table.add(tomlkit.comment(comment))
    for name, value in values.items():
        table.add(name, _inline(value) if isinstance(value, Mapping) else value)
    return table


def _inline(values: Mapping[str, Any]) -> InlineTable:
    inline = tomlkit.inline_table()
    inline.update(values)
    return inline


def _long_list(names: list[str]) -> Any:
    array = tomlkit.array()
    array.extend(names)
    return array.multiline(len(names) > 3)


def _add_comment(table: Table, start: str, words: list[str], separator: str = "") -> None:
    """Adds a comment of words, over several lines; none without a word."""
    line = start
    for number, word in enumerate(words):
        piece = word + (separator if number + 1 < len(words) else "")
        if len(line) + len(piece) > COMMENT_CHARACTERS:
            table.add(tomlkit.comment(line.rstrip()))
            line = "  "
        line += f"{piece} "
    if words:
        table.add(tomlkit.comment(line.rstrip()))
