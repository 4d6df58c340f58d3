"""The command `fuserank export shoppers`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fuserank_export.builder.options import FileReading
from fuserank_export.command_options import ReadingOptions, expand_groups, remembered_reading
from fuserank_export.errors import exit_on_error
from fuserank_export.layouts.config import InputsConfigFile


@expand_groups
def shoppers(
    *,
    bundle: Annotated[Path, typer.Option(help="A bundle of the shop.")],
    interactions: Annotated[Path, typer.Option(help="Its log, as `export bundle` reads it.")],
    out: Annotated[Path, typer.Option(help="A JSON file, which `fuserank shop --shoppers` reads.")],
    count: Annotated[int, typer.Option(min=1, help="How many users at most.")] = 3,
    config: InputsConfigFile = None,
    reading: ReadingOptions,
) -> None:
    """Choose users whose habits differ most, to show a shop with.

    Files are read as the export read them; what is said here wins.
    """
    with exit_on_error():
        from fuserank_export.shoppers.choose import read_shoppers  # noqa: PLC0415

        files = FileReading(**reading.to_arguments(config, remembered_reading(bundle)))
        chosen = read_shoppers(bundle, interactions, count, files)
        out.parent.mkdir(parents=True, exist_ok=True)
        told = json.dumps([asdict(shopper) for shopper in chosen], ensure_ascii=False, indent=2)
        out.write_text(f"{told}\n", "utf-8")
    for shopper in chosen:
        line = f"{shopper.user_id}: {shopper.events:,} events; {', '.join(shopper.habits)}"
        Console(stderr=True).print(line, markup=False, highlight=False)
