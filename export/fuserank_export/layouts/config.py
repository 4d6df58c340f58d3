"""Reads the TOML file of a shop: options of `export bundle`, and what the columns of its files are."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
import typer

from fuserank_ensemble.contract.errors import nearest
from fuserank_export.errors import ExportError, exit_on_error
from fuserank_export.layouts.known import find_layout
from fuserank_export.layouts.mapping import FileMapping, LogMapping

INPUTS = "inputs"
MAPPINGS: Mapping[str, type[FileMapping]] = {"catalog": FileMapping, "interactions": LogMapping, "users": FileMapping}
FOLDERS = ("encoder", "text_tower", "teacher")  # a folder beside the TOML file, or the name of a model elsewhere


@dataclass(frozen=True)
class Mappings:
    """What the columns of a shop's files become; empty ones leave files as they are."""

    catalog: FileMapping = field(default_factory=FileMapping)
    interactions: LogMapping = field(default_factory=LogMapping)
    users: FileMapping = field(default_factory=FileMapping)


def read_mappings(path: Path | None) -> Mappings:
    """Returns what a TOML file says of the columns of the shop's files; None says nothing.

    Raises:
        ExportError: The file cannot be read, or has a key or value that is not allowed.
    """
    if path is None:
        return Mappings()
    content = _read_toml(path)
    return Mappings(**{name: _convert(path, name, content.get(name, {}), kind) for name, kind in MAPPINGS.items()})


def _convert(path: Path, table: str, content: Any, kind: type[FileMapping]) -> Any:
    """Returns a table as a mapping; see `read_mappings`."""
    if not isinstance(content, dict):
        raise ExportError(
            f"{path}: {table}: found {content!r}; allowed: a table. The file itself is named under [{INPUTS}]."
        )
    known = kind.__struct_encode_fields__
    for key in content:
        if key not in known:
            raise ExportError(f"{path}: [{table}] {key}: no such key; allowed: {nearest(key, known)}")
    try:
        mapping = msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise ExportError(f"{path}: [{table}]: {error}") from None
    if mapping.layout is not None:
        try:
            find_layout(mapping.layout)
        except ExportError as error:
            raise ExportError(f"{path}: [{table}] {error}") from None
    return mapping


def read_options(path: Path, command: Any, *, all_options: bool) -> dict[str, Any]:
    """Returns the values that a TOML file has for the options of a command, by the parameters' names.

    Options stand at the top of the file or under `[inputs]`, by their names on the command line. Paths are relative to
    the file's folder.

    Args:
        path: The file.
        command: The command, as Typer makes it.
        all_options: Whether the file was written for this command: then its options at the top are taken, and one that
            the command has not is an error. Another command takes those it has of `[inputs]`.

    Raises:
        ExportError: The file cannot be read, or has a key or value that is not allowed.
    """
    content = _read_toml(path)
    kinds = get_type_hints(command.callback)
    by_option = {name.removeprefix("--"): parameter.name for parameter in command.params for name in parameter.opts}
    by_option = {name: parameter for name, parameter in by_option.items() if name not in ("config", "help")}
    inputs = content.get(INPUTS, {})
    if not isinstance(inputs, dict):
        raise ExportError(f"{path}: {INPUTS}: found {inputs!r}; allowed: a table")
    top = {key: value for key, value in content.items() if key not in (INPUTS, *MAPPINGS)} if all_options else {}
    values: dict[str, Any] = {}
    for place, table in (("", top), (f"[{INPUTS}] ", inputs)):
        for key, value in table.items():
            parameter = by_option.get(key)
            if parameter is None:
                if not all_options:
                    continue
                known = [*by_option, *([INPUTS, *MAPPINGS] if not place else [])]
                raise ExportError(f"{path}: {place}{key}: no such key; allowed: {nearest(key, known)}")
            if parameter in values:
                raise ExportError(f"{path}: {key}: found twice; allowed: at the top or under [{INPUTS}]")
            is_model = parameter in FOLDERS
            values[parameter] = _to_argument(f"{path}: {place}{key}", value, kinds[parameter], path.parent, is_model)
    return values


def _to_argument(place: str, value: Any, kind: Any, folder: Path, is_model: bool) -> Any:
    """Returns a value as a command line would give it: texts, which the option parses and checks, or a flag.

    A table, of an option that may be repeated, is `name=value` for each of its keys.
    """
    kinds = {get_origin(option) or option for option in (get_args(kind) if isinstance(kind, UnionType) else (kind,))}
    if bool in kinds:
        if not isinstance(value, bool):
            raise ExportError(f"{place}: found {value!r}; allowed: true, false")
        return value
    if list in kinds and isinstance(value, dict):
        return [f"{key}={entry}" for key, entry in value.items()]
    if list in kinds:
        entries = value if isinstance(value, list) else [value]
        if any(isinstance(entry, list | dict | bool) for entry in entries):
            raise ExportError(f"{place}: found {value!r}; allowed: a list of texts or numbers")
        return [str(entry) for entry in entries]
    if isinstance(value, bool | list | dict):
        raise ExportError(f"{place}: found {value!r}; allowed: one text or number")
    beside = folder / str(value)
    return str(beside) if Path in kinds or (is_model and beside.is_dir()) else str(value)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ExportError(f"{path}: found no such file; `fuserank export init CATALOG` writes one") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ExportError(f"{path}: cannot be read as TOML: {error}") from None


def _take_all(context: typer.Context, path: Path | None) -> Path | None:
    return _take(context, path, all_options=True)


def _take_inputs(context: typer.Context, path: Path | None) -> Path | None:
    return _take(context, path, all_options=False)


def _take(context: typer.Context, path: Path | None, *, all_options: bool) -> Path | None:
    """Makes a TOML file's values the defaults of a command's options, so that the command line wins over them."""
    if path is not None and not context.resilient_parsing:
        with exit_on_error():
            context.default_map = read_options(path, context.command, all_options=all_options)
    return path


_HELP = "TOML file of `export init`: "
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", is_eager=True, callback=_take_all,
        help=f"{_HELP}these options, and what the files' columns are. What the command line says wins.",
    ),
]  # fmt: skip
InputsConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", is_eager=True, callback=_take_inputs,
        help=f"{_HELP}its [inputs], and what the files' columns are. What the command line says wins.",
    ),
]  # fmt: skip
