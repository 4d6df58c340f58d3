"""`fuserank evaluate --catalog …`, without the name of a command behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from fuserank_export.builder.options import EncoderOptions, InputFiles, Quality, RankerOptions
from fuserank_export.command_options import Judgements, Queries, ReadingOptions, WordOptions, expand_groups
from fuserank_export.errors import exit_on_error
from fuserank_export.layouts.config import InputsConfigFile
from fuserank_export.progress import Progress

EXAMPLE = "Example: fuserank evaluate --catalog items.csv --interactions events.parquet"
DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
OUT = Path("build/evaluation")


@expand_groups
def shop(
    *,
    context: typer.Context,
    catalog: Annotated[Path | None, typer.Option(help="Catalogue, as `export bundle` reads it.")] = None,
    interactions: Annotated[Path | None, typer.Option(help="Log; leave out where there is none.")] = None,
    queries: Queries = None,
    judgements: Judgements = None,
    users: Annotated[Path | None, typer.Option(help="What the shop says of its users.")] = None,
    encoder: Annotated[str, typer.Option(help="Hugging Face id or folder of a sentence encoder.")] = DEFAULT_ENCODER,
    text_template: Annotated[
        str, typer.Option(help="Layout of an item's text, as for `export bundle`.")
    ] = EncoderOptions.text_template,
    out: Annotated[Path, typer.Option(help="Folder of the page, the figures and the windows' bundles.")] = OUT,
    windows: Annotated[int, typer.Option(min=1, max=4, help="Windows of time, from the log's end backwards.")] = 2,
    cases: Annotated[int, typer.Option(min=1, help="Requests of each kind in each window at most.")] = 400,
    quality: Annotated[
        Quality, typer.Option(help="quick learns from fewer cases, for a first look; full is what a shop serves.")
    ] = "quick",
    boosted_trees: Annotated[bool, typer.Option(help="Whether LambdaMART (LightGBM) takes part.")] = True,
    config: InputsConfigFile = None,
    words: WordOptions,
    reading: ReadingOptions,
) -> None:
    """Is it better on my data? Compares FuseRank with other methods on a shop's own files, on one HTML page."""
    given = given_options(context)
    if context.invoked_subcommand is not None:
        if given:
            _refuse(
                f"found {', '.join(given)} and the command {context.invoked_subcommand}; allowed: one of both. A "
                "command's own options stand behind it; without a command your own shop is evaluated"
            )
        return
    if catalog is None:
        _refuse(f"found {', '.join(given) or 'no option'} and no command; allowed: --catalog, or a command, see --help")
    with exit_on_error():
        files = InputFiles(
            catalog=catalog,
            interactions=interactions,
            queries=queries,
            judgements=judgements,
            users=users,
            **words.to_arguments(),
            **reading.to_arguments(config),
        )
        encoder_options = EncoderOptions(source=encoder, text_template=text_template)
        ranker = RankerOptions(quality=quality)
        # torch and transformers take seconds to import: --help and mistakes are answered without them.
        from fuserank_evaluation.shop.run import ShopEvaluation, evaluate_shop  # noqa: PLC0415
        from fuserank_export.training.text.fitting import silence_libraries  # noqa: PLC0415

        silence_libraries()
        evaluation = ShopEvaluation(
            files=files,
            encoder=encoder_options,
            out=out,
            ranker=ranker,
            windows=windows,
            cases=cases,
            with_boosted_trees=boosted_trees,
        )
        page = evaluate_shop(evaluation, Progress())
    console = Console()
    for heading, sentences in (("In short", page.verdicts), ("What to do next", page.advice)):
        console.print(f"\n{heading}", style="bold")
        for sentence in sentences:
            console.print(f"- {sentence}", markup=False, highlight=False)
    console.print(f"\npage: {page.path}", markup=False, highlight=False)


def given_options(context: typer.Context) -> list[str]:
    """The options that the command line gives, as they are written at their longest."""
    return [
        max(parameter.opts, key=len)
        for parameter in context.command.params
        if (source := context.get_parameter_source(str(parameter.name))) and source.name == "COMMANDLINE"
    ]


def _refuse(message: str) -> NoReturn:
    typer.echo(f"fuserank evaluate: {message}", err=True)
    raise typer.Exit(2)
