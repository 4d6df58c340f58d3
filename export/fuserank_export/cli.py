"""The command `fuserank export …`: makes bundles, trains their models and builds their engines."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fuserank_ensemble.interactions.events import EventTable
from fuserank_ensemble.serving.state import StateKeyOption
from fuserank_ensemble.spec import GraphSpec
from fuserank_export.builder.held_log import HeldLog
from fuserank_export.builder.options import (
    DEFAULT_SEED,
    LEAST_CASES,
    ClockSetting,
    EmbeddingEngine,
    EncoderOptions,
    GraphOptions,
    InputFiles,
    OutputOptions,
    PoolingSetting,
    Precision,
    Quality,
    RankerOptions,
    VectorStoreOptions,
)
from fuserank_export.engines.cli import engines
from fuserank_export.errors import exit_on_error
from fuserank_export.layouts.cli import init
from fuserank_export.layouts.config import ConfigFile
from fuserank_export.progress import Progress
from fuserank_export.reading_options import ReadingOptions, WordOptions, expand_groups, named_columns
from fuserank_export.training.cli import app as train

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Make bundles: a catalogue, its logs and models become a complete Triton model repository.",
)


@app.command(
    epilog="Example: fuserank export bundle --catalog items.csv --interactions events.parquet "
    "--encoder sentence-transformers/all-MiniLM-L6-v2 --out build/my-shop"
)
@expand_groups
def bundle(
    *,
    catalog: Annotated[
        Path,
        typer.Option(help="Catalogue with item_id and title: Parquet, CSV, JSONL or .sql; a file, folder or pattern."),
    ],
    encoder: Annotated[str, typer.Option(help="Hugging Face id or folder of a sentence encoder.")],
    out: Annotated[Path, typer.Option(help="Folder to write; must not exist, unless --force.")],
    interactions: Annotated[
        Path | None, typer.Option(help="Log with user_id, item_id, event, timestamp. Leave out on a shop's first day.")
    ] = None,
    precision: Annotated[Precision, typer.Option(help="What the encoder runs in on a CPU.")] = EncoderOptions.precision,
    pooling: Annotated[
        PoolingSetting, typer.Option(help="auto reads the model's own setting, else takes the mean.")
    ] = EncoderOptions.pooling,
    text_template: Annotated[
        str, typer.Option(help="Layout of an item's text; segments separated by |, fields in braces.")
    ] = EncoderOptions.text_template,
    query_template: Annotated[
        str, typer.Option(help="Wraps a query, such as 'query: {query}' for E5.")
    ] = EncoderOptions.query_template,
    clock: Annotated[
        ClockSetting,
        typer.Option(help="What time a request without a timestamp has: the log's end or now. auto: log if it is old."),
    ] = GraphOptions.clock,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = DEFAULT_SEED,
    force: Annotated[bool, typer.Option("--force", help="Replace what is at --out.")] = False,
    engine: Annotated[
        EmbeddingEngine, typer.Option(help="What embeds the texts: this process, or Ray Data on all cores.")
    ] = EncoderOptions.engine,
    ray_address: Annotated[
        str | None, typer.Option(help="A Ray cluster for --engine ray; none starts Ray here.")
    ] = None,
    vector_cache: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps vectors of texts for later exports; by default none are kept."),
    ] = None,
    milvus_index: Annotated[
        str | None, typer.Option(help="Index in Milvus, such as GPU_CAGRA; its own choice.")
    ] = None,
    text_tower: Annotated[
        str | None, typer.Option(help="Text tower of the ranker: what `export train text-tower` wrote, or a hub id.")
    ] = None,
    text_candidates: Annotated[
        int, typer.Option(min=1, help="How many of the best candidates it reads.")
    ] = GraphOptions.text_candidates,
    candidates: Annotated[
        int, typer.Option(help="How many candidates the ranker orders: 32, 64, 128 or 256.")
    ] = GraphOptions.candidates,
    quality: Annotated[
        Quality, typer.Option(help="quick learns from fewer cases, for a first look; full is for a shop.")
    ] = RankerOptions.quality,
    cases: Annotated[
        int | None,
        typer.Option(
            min=LEAST_CASES,
            help="(user, query) pairs of each time window that the ranker learns from; --quality decides.",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="The ranker's passes over them at most; --quality decides.")
    ] = None,
    mixed_precision: Annotated[
        bool, typer.Option("--mixed-precision", help="Fit the ranker in bfloat16; weights stay FP32.")
    ] = False,
    time_budget: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            help="Minutes from the start, after which the ranker is trained no longer: the best so far is taken.",
        ),
    ] = None,
    queries: Annotated[
        Path | None, typer.Option(help="Queries that people judged: query_id<TAB>query. The ranker learns from them.")
    ] = None,
    judgements: Annotated[Path | None, typer.Option(help="Their judgements: query_id, item_id and grade.")] = None,
    features: Annotated[
        list[str] | None,
        typer.Option(
            "--feature",
            help="A column of the catalogue that the ranker reads as a signal of its own where it gains, such as "
            "rating; once for each. By default all that can be one; none takes none.",
        ),
    ] = None,
    users: Annotated[
        Path | None, typer.Option(help="What the shop says of its users: user_id and columns such as segment or tier.")
    ] = None,
    milvus: Annotated[
        str | None, typer.Option(help="URI of a Milvus that takes the vectors; its token: FUSERANK_MILVUS_TOKEN.")
    ] = None,
    state: Annotated[
        str | None,
        typer.Option(
            help="A log of live events whose entries up to now the files hold, too: the bundle goes on behind them, "
            "and who was forgotten there is left out."
        ),
    ] = None,
    state_key_file: StateKeyOption = None,
    config: ConfigFile = None,
    words: WordOptions,
    reading: ReadingOptions,
) -> None:
    """Export a catalogue with an encoder into a new bundle."""
    with exit_on_error():
        inputs = InputFiles(
            catalog=catalog,
            users=users,
            interactions=interactions,
            queries=queries,
            judgements=judgements,
            features=named_columns(features),
            **words.to_arguments(),
            **reading.to_arguments(config),
        )
        encoder_options = EncoderOptions(
            source=encoder,
            precision=precision,
            pooling=pooling,
            text_template=text_template,
            query_template=query_template,
            engine=engine,
            ray_address=ray_address,
        )
        ranker = RankerOptions(
            text_tower=text_tower,
            quality=quality,
            cases=cases,
            epochs=epochs,
            mixed_precision=mixed_precision,
            time_budget=time_budget,
        )
        graph = GraphOptions(candidates=candidates, text_candidates=text_candidates, clock=clock)
        vectors = VectorStoreOptions(milvus=milvus, milvus_index=milvus_index)
        output = OutputOptions(folder=out, force=force, seed=seed, vector_cache=vector_cache)
        # torch and transformers take seconds to import: --help and mistakes are answered without them.
        from fuserank_export.builder.bundle import export_bundle  # noqa: PLC0415
        from fuserank_export.learning.event_strengths import describe_table  # noqa: PLC0415
        from fuserank_export.training.text.fitting import silence_libraries  # noqa: PLC0415

        silence_libraries()
        manifest = export_bundle(
            inputs=inputs,
            encoder=encoder_options,
            ranker=ranker,
            graph=graph,
            vectors=vectors,
            out=output,
            held=HeldLog.read(state, state_key_file) if state else HeldLog.nothing(out, state_key_file),
        )
    counts = manifest["counts"]
    made = (
        f"bundle {manifest['id']} at {out}: {counts['items']:,} items, {counts['texts']:,} texts, "
        f"{counts['users']:,} users, {counts['events']:,} events, {manifest['export_seconds']} s"
    )
    warnings = [f"warning: {warning}" for warning in manifest["embedding"]["warnings"]]
    strengths = describe_table(EventTable.from_dict(manifest["events"]))
    Console(stderr=True).print(
        "\n".join(filter(None, (made, strengths, manifest["ranker"]["note"], *warnings))),
        markup=False,
        highlight=False,
    )


@app.command(
    epilog="Example: fuserank export refresh --bundle build/my-shop --out build/my-shop-2 && "
    "fuserank promote build/my-shop-2"
)
def refresh(
    *,
    bundle: Annotated[
        Path, typer.Option(help="The bundle that `fuserank serve` was started on; what was promoted over it counts.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write; must not exist, unless --force.")],
    state: Annotated[
        str | None, typer.Option(help="Where its events are kept, as `fuserank serve --state` was given it.")
    ] = None,
    state_key_file: StateKeyOption = None,
    keep_ranker: Annotated[
        bool,
        typer.Option("--keep-ranker", help="Learn no ranker: a running ensemble takes no other one."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = DEFAULT_SEED,
    force: Annotated[bool, typer.Option("--force", help="Replace what is at --out.")] = False,
) -> None:
    """Make the next bundle from the served one and what happened since; one that ranks worse is refused."""
    with exit_on_error():
        from fuserank_export.refresh.command import refresh_served  # noqa: PLC0415

        output = OutputOptions(folder=out, force=force, seed=seed)
        manifest = refresh_served(bundle, state, state_key_file, output, keep_ranker=keep_ranker)
    if manifest is None:
        Console(stderr=True).print("nothing happened since the bundle was made: there is no other one", markup=False)
        raise typer.Exit(3)
    made, gate, ranker = manifest["refresh"], manifest["refresh"]["gate"], manifest["refresh"]["ranker"]
    learned = (
        f"the ranker learned from {ranker['cases']:,} requests since, nDCG@10 of {ranker['held_out']:,} later ones "
        f"{ranker['ndcg_after']:.3f} (before: {ranker['ndcg_before']:.3f})"
        if ranker["taken"]
        else f"the ranker stays: {ranker['note']}"
    )
    Console(stderr=True).print(
        f"bundle {manifest['id']} at {out}, from {made['from']}: {made['events']:,} events; items "
        + ", ".join(f"{count:,} {what}" for what, count in made["items"].items())
        + f"; {made['texts_embedded']:,} texts embedded; nDCG@10 of {gate['requests']} requests "
        f"{gate['ndcg_after']:.3f} (before: {gate['ndcg_before']:.3f}); {learned}; {manifest['export_seconds']} s",
        markup=False,
        highlight=False,
    )


@app.command(
    epilog="Example: fuserank export features --bundle build/my-shop --state sqlite:build/my-shop.state/log.sqlite "
    "--out features.parquet --check 20"
)
def features(
    bundle: Annotated[Path, typer.Option(help="The bundle that answered.")],
    state: Annotated[str, typer.Option(help="The server's log: sqlite:/path or redis://host:port/0.")],
    out: Annotated[Path, typer.Option(help="Parquet file to write: a row for each item that was shown.")],
    state_key_file: StateKeyOption = None,
    check: Annotated[
        int, typer.Option(min=0, help="How many of the newest samples are computed again and compared, bit by bit.")
    ] = 0,
) -> None:
    """Write what the ranker read of the searches that `fuserank serve --log-features` sampled."""
    with exit_on_error():
        from fuserank_ensemble.bundle import Bundle  # noqa: PLC0415
        from fuserank_ensemble.state.settings import StateSettings  # noqa: PLC0415
        from fuserank_export.feature_log import write_feature_log  # noqa: PLC0415

        report = write_feature_log(Bundle.open(bundle.resolve()), StateSettings(state, state_key_file), out, check)
    compared = f"; {report.equal} of {report.checked} are computed the same" if check else ""
    Console(stderr=True).print(f"{report.samples:,} searches, {report.rows:,} items: {out}{compared}", markup=False)
    if report.equal < report.checked:
        raise typer.Exit(1)


@app.command("complete-journey", epilog="Example: fuserank export complete-journey --out build/complete-journey")
def complete_journey(
    out: Annotated[Path, typer.Option(help="Folder for catalog.parquet and interactions.parquet.")],
) -> None:
    """Write a supermarket's year (Complete Journey) in the input formats."""
    with exit_on_error():
        from fuserank_export.adapters.complete_journey import write_complete_journey  # noqa: PLC0415

        with Progress().step("writing Complete Journey"):
            written = write_complete_journey(out)
    Console(stderr=True).print(", ".join(f"{name}: {count:,}" for name, count in written.counts.items()))


@app.command(
    epilog="Example: fuserank export shoppers --bundle build/my-shop --interactions events.csv "
    "--out build/my-shop.shoppers.json"
)
def shoppers(
    bundle: Annotated[Path, typer.Option(help="A bundle of the shop.")],
    interactions: Annotated[Path, typer.Option(help="Its log, as `export bundle` reads it.")],
    out: Annotated[Path, typer.Option(help="A JSON file, which `fuserank shop --shoppers` reads.")],
    count: Annotated[int, typer.Option(help="How many users.")] = 3,
) -> None:
    """Choose users whose habits differ most, to show a shop with."""
    with exit_on_error():
        from fuserank_export.shoppers import read_shoppers  # noqa: PLC0415

        chosen = read_shoppers(bundle, interactions, count)
    out.write_text(json.dumps([asdict(shopper) for shopper in chosen], ensure_ascii=False, indent=2) + "\n", "utf-8")
    for shopper in chosen:
        line = f"{shopper.user_id}: {shopper.events:,} events; {', '.join(shopper.habits)}"
        Console(stderr=True).print(line, markup=False, highlight=False)


@app.command(epilog="Example: fuserank export repository --out model_repository")
def repository(
    out: Annotated[
        Path, typer.Option(help="A model repository, whose configurations and model.py files are rewritten.")
    ],
) -> None:
    """Rewrite the configurations of the checked-in model repository from the spec."""
    from fuserank_export.repository.write import write_repository  # noqa: PLC0415

    write_repository(out, GraphSpec())


app.command(epilog="Example: fuserank export init products_export.csv --events events.jsonl --out shop.toml")(init)
app.command(epilog="Example: fuserank export engines --bundle build/demo --out build/demo-int8 --precision auto")(
    engines
)
app.add_typer(train, name="train")
