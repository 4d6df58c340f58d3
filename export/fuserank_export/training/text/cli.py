"""The commands `fuserank export train text-tower` and `fuserank export train encoder`."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from fuserank_ensemble.spec import GraphSpec
from fuserank_export.command_options import Judgements, ReadingOptions, WordOptions, expand_groups
from fuserank_export.errors import exit_on_error
from fuserank_export.layouts.config import InputsConfigFile
from fuserank_export.progress import Progress
from fuserank_export.sources.columns.cells import CellError
from fuserank_export.sources.columns.times import parse_epoch_seconds
from fuserank_export.sources.report import InputError

if TYPE_CHECKING:
    from fuserank_export.training.text.data.candidates import TextData
    from fuserank_export.training.text.fitting import ProgressCallback
    from fuserank_export.training.text.report import TextTrainingReport
    from fuserank_export.training.text.settings import TextFitSettings

app = typer.Typer()

Catalog = Annotated[Path, typer.Option(help="Catalogue: Parquet, CSV or JSONL with item_id and title.")]
Encoder = Annotated[str, typer.Option(help="Hugging Face id or folder of the encoder to begin with.")]
Out = Annotated[Path, typer.Option(help="Folder to write; must not exist.")]
Log = Annotated[Path | None, typer.Option(help="Log; items that were clicked or bought for a query are right for it.")]
Queries = Annotated[Path | None, typer.Option(help="Judged queries: query_id<TAB>query.")]
Before = Annotated[str | None, typer.Option(help="Read the log up to this moment only: ISO 8601 or epoch seconds.")]
Epochs = Annotated[int, typer.Option(min=1, help="Passes over the training pairs.")]
BatchSize = Annotated[int, typer.Option(min=2, help="Pairs a step, over all processes.")]
LearningRate = Annotated[float, typer.Option(min=0, help="Peak of the learning rate.")]
MaxQueries = Annotated[int, typer.Option(min=1, help="How many queries to train on at most.")]
TextTemplate = Annotated[str, typer.Option(help="Layout of an item's text, as for `export bundle`.")]
QueryTemplate = Annotated[str, typer.Option(help="Wraps a query, such as 'query: {query}' for E5.")]
Seed = Annotated[int, typer.Option(help="Seed of weights and draws.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from an interrupted run's last checkpoint.")]


@app.command(
    "text-tower",
    epilog="Example: fuserank export train text-tower --catalog items.csv --queries queries.tsv "
    "--judgements judgements.tsv --encoder sentence-transformers/all-MiniLM-L6-v2 --out build/text-tower",
)
@expand_groups
def text_tower(
    *,
    catalog: Catalog,
    encoder: Encoder,
    out: Out,
    interactions: Log = None,
    queries: Queries = None,
    judgements: Judgements = None,
    before: Before = None,
    layers: Annotated[
        int | None, typer.Option(min=0, help="The encoder's first layers to keep; 0 trains no tower; all by default.")
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(help="A trained text tower: learn its logits, from its own first --layers.")
    ] = None,
    max_length: Annotated[int, typer.Option(min=8, help="Tokens that a (query, item text) pair is cut at.")] = 96,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the training pairs; 1, or as many as make 300 steps.")
    ] = None,
    batch_size: BatchSize = 48,
    learning_rate: LearningRate = 1e-4,
    max_queries: MaxQueries = 20_000,
    text_template: TextTemplate = GraphSpec.text_template,
    query_template: QueryTemplate = GraphSpec.query_template,
    seed: Seed = 13,
    resume: Resume = False,
    config: InputsConfigFile = None,
    words: WordOptions,
    reading: ReadingOptions,
) -> None:
    """Train the ranker's text tower: a cross-encoder that reads query and item text together."""
    if layers == 0:
        Console(stderr=True).print("--layers 0: no text tower; nothing to train", highlight=False)
        return

    def train(settings: TextFitSettings, data: TextData, advanced: ProgressCallback) -> TextTrainingReport:
        from fuserank_export.training.text.cross_encoder import train_text_tower  # noqa: PLC0415

        return train_text_tower(settings, data, advanced)

    _run(
        train,
        {"catalog": catalog, "interactions": interactions, "queries": queries, "judgements": judgements,
         "text_template": text_template, "query_template": query_template, "max_queries": max_queries},
        {"encoder": encoder, "out": out, "layers": layers, "max_length": max_length, "epochs": epochs,
         "batch_size": batch_size, "learning_rate": learning_rate, "seed": seed, "resume": resume, "teacher": teacher},
        before,
        lambda: {**words.to_arguments(), **reading.to_arguments(config)},
    )  # fmt: skip


@app.command(
    epilog="Example: fuserank export train encoder --catalog items.csv --interactions events.parquet "
    "--encoder sentence-transformers/all-MiniLM-L6-v2 --out build/encoder"
)
@expand_groups
def encoder(
    *,
    catalog: Catalog,
    encoder: Encoder,
    out: Out,
    interactions: Log = None,
    queries: Queries = None,
    judgements: Judgements = None,
    before: Before = None,
    layers: Annotated[
        int | None, typer.Option(min=1, help="The encoder's first layers to keep; all by default.")
    ] = None,
    max_length: Annotated[int, typer.Option(min=8, help="Tokens that a text is cut at.")] = 128,
    epochs: Epochs = 1,
    batch_size: BatchSize = 64,
    learning_rate: LearningRate = 3e-5,
    max_queries: MaxQueries = 20_000,
    text_template: TextTemplate = GraphSpec.text_template,
    query_template: QueryTemplate = GraphSpec.query_template,
    seed: Seed = 13,
    resume: Resume = False,
    config: InputsConfigFile = None,
    words: WordOptions,
    reading: ReadingOptions,
) -> None:
    """Fine-tune the encoder on (query, right item) pairs; give its folder to `export bundle` as --encoder."""

    def train(settings: TextFitSettings, data: TextData, advanced: ProgressCallback) -> TextTrainingReport:
        from fuserank_export.training.text.bi_encoder import train_encoder  # noqa: PLC0415

        return train_encoder(settings, data, advanced)

    _run(
        train,
        {"catalog": catalog, "interactions": interactions, "queries": queries, "judgements": judgements,
         "text_template": text_template, "query_template": query_template, "max_queries": max_queries},
        {"encoder": encoder, "out": out, "layers": layers, "max_length": max_length, "epochs": epochs,
         "batch_size": batch_size, "learning_rate": learning_rate, "seed": seed, "resume": resume},
        before,
        lambda: {**words.to_arguments(), **reading.to_arguments(config)},
    )  # fmt: skip


def _run(
    train: Callable[[TextFitSettings, TextData, ProgressCallback], TextTrainingReport],
    inputs: dict[str, Any],
    settings: dict[str, Any],
    before: str | None,
    declared: Callable[[], dict[str, Any]],
) -> None:
    """Reads the files, trains, and prints the result; an input error ends in one line and exit code 2."""
    with exit_on_error():
        # torch and transformers take seconds to import; --help and wrong options need neither.
        end = _parse_before(before)
        from fuserank_export.training.text.data.candidates import TextInputFiles, read_text_data  # noqa: PLC0415
        from fuserank_export.training.text.fitting import check_output, silence_libraries  # noqa: PLC0415
        from fuserank_export.training.text.report import CURVE  # noqa: PLC0415
        from fuserank_export.training.text.settings import TextFitSettings  # noqa: PLC0415

        silence_libraries()
        # Of several processes only the first prints.
        console = Console(stderr=True, quiet=os.environ.get("RANK", "0") != "0")
        fit, files = TextFitSettings(**settings), TextInputFiles(**inputs, end=end, **declared())
        progress = Progress(console)
        check_output(fit)
        data = read_text_data(files, fit.encoder, fit.checkpoints, fit.seed, progress)
        with progress.steps() as advanced:
            report = train(fit, data, lambda done, total: advanced("training", done, total))
    ndcg = ", ".join(f"{name} {value:.4f}" for name, value in report.ndcg_at_10.items())
    console.print(
        f"{fit.out}: {report.pairs:,} pairs in {report.seconds:,.0f} s ({report.pairs_per_second:,.0f}/s, "
        f"{report.precision}, {report.processes} processes), {report.steps} steps, kept step {report.best_step}\n"
        f"nDCG@10 on held-out queries: {ndcg}; curves: {fit.out / CURVE}",
        markup=False,
        highlight=False,
    )


def _parse_before(value: str | None) -> float:
    """Returns the option as epoch seconds, infinity where it is not given."""
    if value is None:
        return math.inf
    try:
        seconds = parse_epoch_seconds(value)
    except CellError as error:
        raise InputError(f"--before: found {value!r}; allowed: ISO 8601 or epoch seconds ({error})") from None
    return math.inf if seconds is None else float(seconds)


if __name__ == "__main__":
    app()
