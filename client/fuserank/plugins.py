"""Commands that other rooms add to `fuserank`, through the entry-point group `fuserank.commands`.

Their modules may import all of torch, so that a module is loaded only when its command is called; listing the
commands reads the first line of a docstring from the source instead.
"""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import inspect
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

GROUP = "fuserank.commands"


class CommandGroup(TyperGroup):
    """The client's own commands, and behind them those of the entry points. The client's own win a name."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names all commands without loading any."""
        own = super().list_commands(ctx)
        return [*own, *sorted(entry_points(group=GROUP).names - set(own))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Finds a command, or `None`."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        found = entry_points(group=GROUP, name=cmd_name)
        return EntryPointCommand(next(iter(found))) if found else None


class EntryPointCommand(TyperCommand):
    """Stands for a command until it is called."""

    def __init__(self, entry_point: EntryPoint) -> None:
        super().__init__(name=entry_point.name, help=summary(entry_point), callback=None)
        self._entry_point = entry_point

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Loads the real command and goes on with that; it answers its own `--help`, too."""
        command = loaded(self._entry_point)
        return command.make_context(info_name, args, parent=parent, **extra)


def loaded(entry_point: EntryPoint) -> Any:
    """Imports an entry point and makes it a command.

    Args:
        entry_point: Its value is a `typer.Typer` app, or a function with a command's signature.

    Raises:
        typer.Exit: With code 1, after saying on stderr what to install, where its imports are missing.
    """
    try:
        value = entry_point.load()
    except ImportError as error:
        typer.echo(f"fuserank {entry_point.name}: {error}; {_remedy(entry_point)}", err=True)
        raise typer.Exit(1) from None
    if not isinstance(value, typer.Typer):
        app = typer.Typer(add_completion=False)
        app.command(entry_point.name)(value)
        value = app
    command = typer.main.get_command(value)
    command.name = entry_point.name
    return command


def summary(entry_point: EntryPoint) -> str:
    """The first docstring line of what an entry point names, read from the source and not imported."""
    source = _source(entry_point.module)
    try:
        tree = ast.parse(source.read_bytes()) if source else ast.Module(body=[], type_ignores=[])
    except (OSError, SyntaxError, ValueError):
        tree = ast.Module(body=[], type_ignores=[])
    named = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == entry_point.attr]
    docstring = ast.get_docstring(named[0] if named else tree)
    return inspect.cleandoc(docstring).partition("\n")[0] if docstring else f"From {entry_point.module}."


def _source(module: str) -> Path | None:
    # `importlib.util.find_spec` runs the packages above a nested module; `PathFinder` only looks for files.
    top, *inner = module.split(".")
    spec = importlib.util.find_spec(top)
    for depth in range(len(inner)):
        if spec is None or spec.submodule_search_locations is None:
            return None
        name = ".".join([top, *inner[: depth + 1]])
        spec = importlib.machinery.PathFinder.find_spec(name, spec.submodule_search_locations)
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _remedy(entry_point: EntryPoint) -> str:
    distribution = entry_point.dist
    if distribution is None:
        return "install what it needs"
    # An extra is named as the command that needs it.
    extras = distribution.metadata.get_all("Provides-Extra") or []
    name = distribution.metadata["Name"]
    wanted = f"{name}[{entry_point.name}]" if entry_point.name in extras else name
    return f"pip install '{wanted}'"
