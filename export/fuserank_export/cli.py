"""The command `fuserank export …`: makes bundles, trains their models and builds their engines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fuserank_ensemble.interactions.events import EventTable
from fuserank_ensemble.serving.state import StateKeyOption
from fuserank_ensemble.spec import GraphSpec
from fuserank_ensemble.state.settings import PLACE
from fuserank_export.builder.held_log import HeldLog
from fuserank_export.builder.options import (
    DEFAULT_SEED,
    ClockSetting,
    EmbeddingEngine,
    EncoderOptions,
    GraphOptions,
    InputFiles,
    OutputOptions,
    PoolingSetting,
    Precision,
    QueryEncoderSetting,
    VectorStoreOptions,
)
from fuserank_export.builder.query_counts import SUGGEST_MIN_USERS, QueryPrivacy
from fuserank_export.command_options import (
    BundleOut,
    Force,
    Judgements,
    Queries,
    ReadingOptions,
    Seed,
    TrainingOptions,
    WordOptions,
    expand_groups,
    named_columns,
)
from fuserank_export.engines.cli import engines
from fuserank_export.errors import exit_on_error
from fuserank_export.feature_log.cli import features
from fuserank_export.layouts.cli import init
from fuserank_export.layouts.config import ConfigFile
from fuserank_export.progress import Progress
from fuserank_export.shoppers.cli import shoppers
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
    out: BundleOut,
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
    query_encoder: Annotated[
        QueryEncoderSetting,
        typer.Option(
            help="What embeds queries: the encoder (full), a small one that is taught its vectors (distilled), or that "
            "one where it ranks about as well (auto)."
        ),
    ] = EncoderOptions.query_encoder,
    clock: Annotated[
        ClockSetting,
        typer.Option(help="What time a request without a timestamp has: the log's end or now. auto: log if it is old."),
    ] = GraphOptions.clock,
    seed: Seed = DEFAULT_SEED,
    force: Force = False,
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
    host_cores: Annotated[
        int, typer.Option(help="Cores that a replica with a GPU has: how many processes the stages on the host get.")
    ] = GraphOptions.host_cores,
    queries: Queries = None,
    judgements: Judgements = None,
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
    suggest_min_users: Annotated[
        int, typer.Option(min=1, help="A logged query that fewer users have asked is suggested to nobody.")
    ] = SUGGEST_MIN_USERS,
    suggest_epsilon: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=20,
            help="Suggest logged queries with differential privacy of this epsilon, and learn no synonyms from them.",
        ),
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
    training: TrainingOptions,
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
            query_privacy=QueryPrivacy(min_users=suggest_min_users, epsilon=suggest_epsilon),
            **words.to_arguments(),
            **reading.to_arguments(config),
        )
        encoder_options = EncoderOptions(
            source=encoder,
            precision=precision,
            pooling=pooling,
            text_template=text_template,
            query_template=query_template,
            query_encoder=query_encoder,
            engine=engine,
            ray_address=ray_address,
        )
        ranker = training.to_options(text_tower)
        graph = GraphOptions(candidates=candidates, text_candidates=text_candidates, clock=clock, host_cores=host_cores)
        vectors = VectorStoreOptions(milvus=milvus, milvus_index=milvus_index)
        output = OutputOptions(folder=out, force=force, seed=seed, vector_cache=vector_cache)
        # torch and transformers take seconds to import: --help and mistakes are answered without them.
        from fuserank_export.builder.bundle import export_bundle  # noqa: PLC0415
        from fuserank_export.learning.event_strengths import describe_table  # noqa: PLC0415
        from fuserank_export.memory import keep_imports  # noqa: PLC0415
        from fuserank_export.query_encoder.choose import describe_query_encoder  # noqa: PLC0415
        from fuserank_export.training.text.fitting import silence_libraries  # noqa: PLC0415

        silence_libraries()
        keep_imports()
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
    embeds_queries = describe_query_encoder(manifest["query_encoder"])
    strengths = describe_table(EventTable.from_dict(manifest["events"]))
    Console(stderr=True).print(
        "\n".join(filter(None, (made, strengths, manifest["ranker"]["note"], embeds_queries, *warnings))),
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
    out: BundleOut,
    state: Annotated[
        str | None,
        typer.Option(envvar=PLACE, help="Where its events are kept, as `fuserank serve --state` was given it."),
    ] = None,
    state_key_file: StateKeyOption = None,
    keep_ranker: Annotated[
        bool,
        typer.Option("--keep-ranker", help="Learn no ranker: a running ensemble takes no other one."),
    ] = False,
    seed: Seed = DEFAULT_SEED,
    force: Force = False,
) -> None:
    """Make the next bundle from the served one and what happened since; one that ranks worse is refused."""
    with exit_on_error():
        from fuserank_export.memory import keep_imports  # noqa: PLC0415
        from fuserank_export.refresh.command import refresh_served  # noqa: PLC0415

        keep_imports()
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
    epilog="Example: openssl genpkey -algorithm ed25519 -out signing.pem && openssl pkey -in signing.pem -pubout -out "
    "trusted.pem && fuserank export sign build/my-shop --key signing.pem && fuserank serve build/my-shop --trusted-key "
    "trusted.pem"
)
def sign(
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.")],
    key: Annotated[Path, typer.Option(help="Ed25519 private key, PEM without a passphrase.")],
) -> None:
    """Sign a bundle, so that servers with `--trusted-key` know whose it is."""
    with exit_on_error():
        from fuserank_export.signing import sign_bundle  # noqa: PLC0415

        signature = sign_bundle(bundle, key)
    Console(stderr=True).print(f"{bundle} is signed with the key {signature.key}", markup=False, highlight=False)


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
app.command(
    epilog="Example: fuserank export features --bundle build/my-shop --state sqlite:build/my-shop.state/log.sqlite "
    "--out features.parquet --check 20"
)(features)
app.command(
    epilog="Example: fuserank export shoppers --bundle build/my-shop --interactions events.csv "
    "--out build/my-shop.shoppers.json"
)(shoppers)
app.command(epilog="Example: fuserank export engines --bundle build/demo --out build/demo-int8 --precision auto")(
    engines
)
app.add_typer(train, name="train")
