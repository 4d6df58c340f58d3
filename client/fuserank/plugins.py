"""Commands that other packages add to `fuserank`, through the entry-point group `fuserank.commands`.

Importing such a package may take seconds (torch), so its module is imported only when its command is called.
`fuserank --help` reads the first line of a docstring from the source instead.
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
    """The client's own commands, then those of entry points; where both have a name, the client's own is taken."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Returns the names of all commands without importing their modules."""
        own = super().list_commands(ctx)
        return [*own, *sorted(entry_points(group=GROUP).names - set(own))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Returns a command by its name, or `None`."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        matches = entry_points(group=GROUP, name=cmd_name)
        return EntryPointCommand(next(iter(matches))) if matches else None


class EntryPointCommand(TyperCommand):
    """A command whose module is imported when it is called."""

    def __init__(self, entry_point: EntryPoint) -> None:
        super().__init__(name=entry_point.name, help=read_summary(entry_point), callback=None)
        self._entry_point = entry_point

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Loads the command and returns its context, so that `--help` after its name is its own."""
        command = load_command(self._entry_point)
        return command.make_context(info_name, args, parent=parent, **extra)


def load_command(entry_point: EntryPoint) -> Any:
    """Imports an entry point and returns it as a command.

    Args:
        entry_point: Its value is a `typer.Typer` app, or a function with a command's signature.

    Raises:
        typer.Exit: With code 1 where an import is missing; stderr then says what to install.
    """
    try:
        value = entry_point.load()
    except ImportError as error:
        typer.echo(f"fuserank {entry_point.name}: {error}; {_install_hint(entry_point)}", err=True)
        raise typer.Exit(1) from None
    if not isinstance(value, typer.Typer):
        app = typer.Typer(add_completion=False)
        app.command(entry_point.name)(value)
        value = app
    command = typer.main.get_command(value)
    command.name = entry_point.name
    return command


def read_summary(entry_point: EntryPoint) -> str:
    """Returns the first docstring line of an entry point's function or module, read from its source."""
    source = _find_source(entry_point.module)
    try:
        tree = ast.parse(source.read_bytes()) if source else ast.Module(body=[], type_ignores=[])
    except (OSError, SyntaxError, ValueError):
        tree = ast.Module(body=[], type_ignores=[])
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == entry_point.attr]
    docstring = ast.get_docstring(functions[0] if functions else tree)
    return inspect.cleandoc(docstring).partition("\n")[0] if docstring else f"From {entry_point.module}."


def _find_source(module: str) -> Path | None:
    # `importlib.util.find_spec` runs the packages above a nested module; `PathFinder` only looks for files.
    top, *submodules = module.split(".")
    spec = importlib.util.find_spec(top)
    for depth in range(len(submodules)):
        if spec is None or spec.submodule_search_locations is None:
            return None
        name = ".".join([top, *submodules[: depth + 1]])
        spec = importlib.machinery.PathFinder.find_spec(name, spec.submodule_search_locations)
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _install_hint(entry_point: EntryPoint) -> str:
    distribution = entry_point.dist
    if distribution is None:
        return "install what it needs"
    # An extra is named as the command that needs it.
    extras = distribution.metadata.get_all("Provides-Extra") or []
    name = distribution.metadata["Name"]
    requirement = f"{name}[{entry_point.name}]" if entry_point.name in extras else name
    return f"pip install '{requirement}'"
