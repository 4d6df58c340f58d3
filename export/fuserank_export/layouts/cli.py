"""The command `fuserank export init`: writes the TOML file that says what a shop's files are."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from fuserank_export.command_options import Delimiter, Encoding, Force, SkipLines
from fuserank_export.errors import exit_on_error
from fuserank_export.layouts.mapping import LogMapping

if TYPE_CHECKING:
    from fuserank_export.layouts.draft import Draft

ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
ENCODER_COMMENT = "for English; take a multilingual one for other languages"


def init(
    catalog: Annotated[Path, typer.Argument(metavar="CATALOG", help="The catalogue, in whatever layout.")],
    events: Annotated[Path | None, typer.Option(help="The log of interactions, in whatever layout.")] = None,
    users: Annotated[Path | None, typer.Option(help="What the shop says of its users: segment, tier, tags.")] = None,
    out: Annotated[Path, typer.Option(help="The TOML file to write; must not exist, unless --force.")] = Path(
        "shop.toml"
    ),
    encoder: Annotated[
        str, typer.Option(help="Hugging Face id or folder of the sentence encoder to write into it.")
    ] = ENCODER,
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    skip_lines: SkipLines = None,
    force: Force = False,
) -> None:
    """Recognise the layout of a shop's files, and write the TOML file for `export bundle --config`."""
    console = Console(stderr=True)
    with exit_on_error():
        # pandas takes a second to import: --help is answered without it.
        from fuserank_export.layouts.ask import ask_missing  # noqa: PLC0415
        from fuserank_export.layouts.draft import draft_mapping  # noqa: PLC0415
        from fuserank_export.layouts.writer import write_toml  # noqa: PLC0415
        from fuserank_export.sources.reading import parse_reading  # noqa: PLC0415
        from fuserank_export.sources.report import InputError  # noqa: PLC0415

        if out.exists() and not force:
            raise InputError(f"{out}: found a file; allowed: a new one, or --force to replace it")
        reading = parse_reading(encoding=encoding, delimiters=delimiter, skip_lines=skip_lines)
        drafts = [draft_mapping(catalog, "catalog", reading.text_format("catalog"))]
        if events is not None:
            text = reading.text_format("interactions")
            drafts.append(draft_mapping(events, "interactions", text, drafts[0].item_ids))
        if users is not None:
            drafts.append(draft_mapping(users, "users", reading.text_format("users")))
        if _at_terminal():
            drafts = [ask_missing(draft) for draft in drafts]
        inputs: dict[str, Any] = {draft.kind: _relative(draft.path, out.parent) for draft in drafts}
        read_by = {"encoding": encoding, "delimiter": delimiter, "skip-lines": skip_lines}
        inputs |= {name: value for name, value in read_by.items() if value is not None}
        options = {
            "encoder": (_relative(Path(encoder), out.parent) if Path(encoder).is_dir() else encoder,
                        ENCODER_COMMENT if encoder == ENCODER else ""),
            "out": (f"build/{out.stem}", "the bundle"),
        }  # fmt: skip
        command = " ".join(shlex.quote(word) for word in ("fuserank", "export", "init", str(catalog)))
        given = {"events": events and str(events), "users": users and str(users), "encoding": encoding}
        given_often = {"delimiter": delimiter or [], "skip-lines": skip_lines or []}
        words = [(name, value) for name, value in given.items() if value]
        words += [(name, value) for name, values in given_often.items() for value in values]
        command += "".join(f" --{name} {shlex.quote(value)}" for name, value in words)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(write_toml(command, options, inputs, drafts), "utf-8")
    for line in [line for draft in drafts for line in _describe(draft)]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    complete = not any(draft.missing for draft in drafts)
    then = f"next: fuserank export bundle --config {shlex.quote(str(out))}"
    console.print(
        f"{out}: written; {then if complete else f'say in it what is missing, {then}'}",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip


def _at_terminal() -> bool:
    return sys.stdin.isatty()


def _relative(path: Path, folder: Path) -> str:
    """Returns a path as it is from the TOML file's folder."""
    return str(path) if path.is_absolute() else Path(os.path.relpath(path, folder)).as_posix()


def _describe(draft: Draft) -> list[str]:
    """Returns what was recognised in a file, and what is left to be said in the TOML file."""
    what = draft.layout.title if draft.layout else "our own names" if draft.has_own_names else "no known layout"
    lines = [f"{draft.path}: {what}"]
    for read, guessed in (("names", draft.guessed), ("values", draft.by_values)):
        if guessed:
            pairs = (f"{ours} = {draft.mapping.columns[ours]!r}" for ours in guessed)
            lines.append(f"  taken by their {read}, see whether they are right: {', '.join(pairs)}")
    if draft.ordered is not None:
        lines.append(f"  every row is taken for a purchase, as there is a column {draft.ordered!r}: see whether it is")
    for ours in draft.missing:
        where = f"; {draft.layout.unknown[ours]}" if draft.layout and ours in draft.layout.unknown else ""
        lines.append(f"  not found: {ours}, which is required. It is a commented line of [{draft.kind}.columns]{where}")
    if draft.unknown_events:
        names = ", ".join(list(draft.unknown_events)[:5]) + (", …" if len(draft.unknown_events) > 5 else "")
        ignored = isinstance(draft.mapping, LogMapping) and draft.mapping.other_events == "ignore"
        what = "other events, which are left out" if ignored else "events of unknown meaning, which are bad rows"
        lines.append(f"  {what} unless the commented lines of [{draft.kind}.events] name them: {names}")
    return lines
