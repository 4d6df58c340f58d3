"""The option `--target` of every command that takes one."""

from __future__ import annotations

from typing import Annotated

import typer

from fuserank_ensemble.spec import TARGETS, SpecError, Target, target_named


def parse_target(value: str) -> Target:
    """The target of that name, as an option's parser.

    Raises:
        typer.BadParameter: See `target_named`.
    """
    try:
        return target_named(value)
    except SpecError as error:
        raise typer.BadParameter(str(error)) from None


TargetOption = Annotated[
    Target, typer.Option(parser=parse_target, metavar=f"[{'|'.join(TARGETS)}]", help="Which configurations to use.")
]
