"""`fuserank export bundle`: a shop's files and an encoder become a complete, deployable bundle.

The steps are read, index, embed, learn, train and seal; each takes what the ones before returned. The bundle is built
in a folder beside its place and moved there when it is whole: a reader sees all of it or none.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from fuserank_ensemble.bundle import EVENTS, EXPORTED_EVENTS
from fuserank_export.builder.embed import embed_catalog
from fuserank_export.builder.held_log import HeldLog
from fuserank_export.builder.index import TEXTS_FOR_A_GPU, describe_graph, index_shop, open_models
from fuserank_export.builder.learn import learn_channels
from fuserank_export.builder.options import (
    EncoderOptions,
    GraphOptions,
    InputFiles,
    OutputOptions,
    RankerOptions,
    VectorStoreOptions,
)
from fuserank_export.builder.query_counts import noisy_counts
from fuserank_export.builder.read import read_shop
from fuserank_export.builder.seal import BuiltParts, seal_new
from fuserank_export.builder.steps import StepSeconds
from fuserank_export.builder.train import TrainingInputs, train_on_index, write_trained
from fuserank_export.builder.vector_store import drop_abandoned
from fuserank_export.builder.workspace import Workspace, open_workspace
from fuserank_export.encoder.languages import unread_scripts
from fuserank_export.encoder.prompts import choose_templates
from fuserank_export.index.own_features import choose_features, group_features
from fuserank_export.index.texts import TextColumn
from fuserank_export.index.users import name_users
from fuserank_export.index.word_fields import choose_codes, choose_lexical_fields
from fuserank_export.index.write import write_histories
from fuserank_export.memory import arrays_apart, release_memory
from fuserank_export.progress import Progress
from fuserank_export.sources.mapped_log import map_log, release_log
from fuserank_export.training.fitting.budget import TimeBudget


def export_bundle(
    *,
    inputs: InputFiles,
    encoder: EncoderOptions,
    out: OutputOptions,
    ranker: RankerOptions | None = None,
    graph: GraphOptions | None = None,
    vectors: VectorStoreOptions | None = None,
    progress: Progress | None = None,
    held: HeldLog | None = None,
) -> dict[str, Any]:
    """Exports a bundle.

    Args:
        inputs: The shop's files.
        encoder: The sentence encoder.
        out: Where the bundle goes.
        ranker: How the ranker is trained; by default as the command line does.
        graph: Settings of the serving graph; by default as the command line's.
        vectors: Where the vectors lie beside the bundle; nowhere by default.
        progress: Shows the steps; on standard error by default.
        held: What the files hold of the log of live events, and the key of users; by default nothing, and the key
            beside the bundle. A new key is kept when the bundle is whole.

    Returns:
        The manifest.

    Raises:
        InputError: Where the input cannot be used or the output's place is taken.
        EncoderError: Where the encoder cannot be exported.
        SpecError: Where there can be no such graph.
    """
    held, progress = held or HeldLog.nothing(out.folder), progress or Progress()
    vectors = vectors or VectorStoreOptions()
    if inputs.query_privacy.epsilon is not None:
        noisy_counts(inputs.query_privacy.epsilon)  # what is missing is said before an hour of work
    with open_workspace(out, progress, partial(drop_abandoned, options=vectors, progress=progress)) as work:
        manifest = _build(
            work,
            inputs=inputs,
            encoder=encoder,
            ranker=ranker or RankerOptions(),
            graph=graph or GraphOptions(),
            vectors=vectors,
            held=held,
        )
        held.keep_key()  # not before: a key without a bundle is of no use
    return manifest


def _build(
    work: Workspace,
    *,
    inputs: InputFiles,
    encoder: EncoderOptions,
    ranker: RankerOptions,
    graph: GraphOptions,
    vectors: VectorStoreOptions,
    held: HeldLog,
) -> dict[str, Any]:
    """Runs the steps; see `export_bundle`."""
    steps, out, progress = StepSeconds(), work.out, work.progress
    with steps.measure("read"), arrays_apart():
        shop = read_shop(
            inputs,
            out,
            has_tower=ranker.text_tower is not None,
            progress=progress,
            archive=work.folder / EVENTS / EXPORTED_EVENTS,
            held=held,
        )
        log = map_log(shop.behaviour.log, work.folder)
        shop = replace(shop, behaviour=replace(shop.behaviour, log=log))
    with steps.measure("index"), arrays_apart():
        models = open_models(encoder, ranker, progress)
        templates = choose_templates(models.encoder.prompts, encoder.query_template, encoder.text_template)
        for note in templates.notes:
            progress.note(note)
        encoder = replace(encoder, query_template=templates.query, text_template=templates.text)
        spec = replace(
            describe_graph(models, encoder, graph, log),
            lexical_fields=choose_lexical_fields(shop.catalog.items.columns, inputs.lexical_fields),
            code_fields=choose_codes(shop.catalog.items.columns, inputs.codes),
        )
        indexed = index_shop(work, shop, models, spec)
        shop = shop.without_items()
        release_memory()
        with progress.step("summing up histories"):
            write_histories(work.index, name_users(log, held.key))
        release_log(log)
        own = choose_features(indexed.items, log, inputs.features)
        for note in own.notes:
            progress.note(note)
        spec = replace(
            spec,
            own_features=(*own.features, *group_features(log)),
            search_on_gpu=len(indexed.texts) >= TEXTS_FOR_A_GPU,
        )
    with steps.measure("embed"):
        embedded = embed_catalog(work, indexed.texts, models.encoder, encoder, spec)
    indexed = replace(indexed, texts=TextColumn())  # they are embedded
    release_memory()
    spec = replace(spec, unread_scripts=unread_scripts(embedded.scripts))
    with steps.measure("learn"):
        search = learn_channels(
            work.index,
            indexed,
            log,
            embedded.vectors,
            spec=spec,
            seed=out.seed,
            progress=progress,
            privacy=inputs.query_privacy,
        )
    release_memory()
    release_log(log)
    training = TrainingInputs(
        spec=spec,
        index=work.index,
        shop=indexed.shop,
        behaviour=shop.behaviour,
        open_encoder=embedded.files.open,
        tower=models.tower,
        encoder_id=embedded.digest,
        signals_must_gain=True,
    )
    with steps.measure("train"):
        budget = TimeBudget(ranker.time_budget, steps.started) if ranker.time_budget else None
        trained = train_on_index(training, ranker, out, progress, budget)
        written = write_trained(trained, work.folder / "model_repository", work.index, progress)
    parts = BuiltParts(
        shop=shop,
        models=models,
        encoder=encoder,
        indexed=indexed,
        embedded=embedded,
        search={**search, "fusion": trained.tuning},
        ranker=written,
        quality=ranker.quality,
        reading=inputs,
        held=held,
    )
    return seal_new(work, parts, vectors, steps)
