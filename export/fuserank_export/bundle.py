"""Writes a bundle: catalogue, log and encoder in; a complete, deployable model repository with its index out.

The bundle is built in a folder beside its place and moved there when it is whole: a reader sees all of it or none.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.bundle import FORMAT, PAIRS, REFERENCE, Bundle
from fuserank_ensemble.candidates.cost import RankerCost
from fuserank_ensemble.candidates.features import FEATURES
from fuserank_ensemble.candidates.pairs import PairTokens
from fuserank_ensemble.spec import Clock, GraphSpec
from fuserank_export.embedding.embed import EmbeddingEngine, embed_texts
from fuserank_export.embedding.encoder_files import EncoderFiles
from fuserank_export.encoder.engines import VARIANTS, write_engines
from fuserank_export.encoder.load import Encoder, load_encoder
from fuserank_export.encoder.onnx_encoder import OnnxEncoder
from fuserank_export.index import index_catalog
from fuserank_export.learning import Shop
from fuserank_export.model_config import ENGINE_FILES, NO_PLANS
from fuserank_export.progress import Progress
from fuserank_export.repository import write_repository
from fuserank_export.sealing import check_place, moved, seal
from fuserank_export.search import fill_milvus, write_index, write_search
from fuserank_export.sources import Catalog, Interactions, RowReport, read_catalog, read_interactions
from fuserank_export.sources.columns.cells import EVENTS
from fuserank_export.sources.formats.rows import detect_format
from fuserank_export.training.cases import TrainingQuery
from fuserank_export.training.engine import RankerEngine, write_ranker
from fuserank_export.training.fit import FitSettings
from fuserank_export.training.judged import check_both, judged_asks, read_labelled
from fuserank_export.training.model import Ranker
from fuserank_export.training.on_index import TrainingInputs, train_on_index
from fuserank_export.training.span import LogSpan
from fuserank_export.training.text.engine import write_text_tower
from fuserank_export.training.text.labels import split_labelled_queries
from fuserank_export.training.text.tower import LoadedTower, load_text_tower
from fuserank_export.training.train import FIT
from fuserank_export.warmup import write_warmup

Precision = Literal["fp32", "int8"]
LIBRARIES = (
    *("fuserank", "torch", "transformers", "onnx", "onnxruntime", "tokenizers", "numpy"),
    *("faiss-cpu", "tantivy", "jieba", "implicit", "torch-geometric"),
)
PARITY_TEXTS = 256
STALE_AFTER_DAYS = 30


@dataclass(frozen=True)
class BundleSettings:
    """What `fuserank export bundle` was asked for.

    Attributes:
        catalog: The catalogue's file.
        interactions: The log's file, or None on a shop's first day.
        encoder: Hugging Face id or folder.
        out: Where the bundle goes.
        precision: What the encoder runs in on a CPU.
        pooling: How token states become one vector.
        text_template: Layout of an item's text.
        query_template: Wraps a query.
        clock: What time requests without one have; `auto` decides by the age of the log.
        max_bad_rows: Share of bad input rows above which the export fails.
        seed: Of everything random.
        force: Replace what is at `out`.
        engine: What embeds the texts: `plain` in this process, `ray` with Ray Data.
        ray_address: A Ray cluster's address; None starts Ray here.
        milvus: URI of a Milvus that takes the vectors; its token is the environment's FUSERANK_MILVUS_TOKEN.
        text_tower: Folder or Hugging Face id of the ranker's text tower; None has none.
        text_candidates: How many of the best candidates it reads.
        candidates: How many candidates the ranker orders.
        cases: How many (user, query) pairs of each time window the ranker learns from.
        milvus_index: Milvus' name of the index, such as GPU_CAGRA; None is Milvus' own choice.
        queries: Queries that people judged answers of, for the ranker; None has none.
        judgements: Their judgements.
        fit: How the ranker is fitted; its checkpoints lie beside the bundle until that is whole.
    """

    catalog: Path
    interactions: Path | None
    encoder: str
    out: Path
    precision: Precision = "fp32"
    pooling: Literal["auto", "mean", "cls"] = "auto"
    text_template: str = GraphSpec.text_template
    query_template: str = GraphSpec.query_template
    clock: Literal["auto", "log", "wall"] = "auto"
    max_bad_rows: float = 0.05
    seed: int = 13
    force: bool = False
    engine: EmbeddingEngine = "plain"
    ray_address: str | None = None
    milvus: str | None = None
    milvus_index: str | None = None
    text_tower: str | None = None
    text_candidates: int = 16
    candidates: int = GraphSpec.candidates
    cases: int = 1_500
    queries: Path | None = None
    judgements: Path | None = None
    fit: FitSettings = FIT


def write_bundle(settings: BundleSettings, progress: Progress) -> dict[str, Any]:
    """Exports a bundle.

    Returns:
        The manifest.

    Raises:
        InputError: Where the input cannot be used or the output's place is taken.
        EncoderError: Where the encoder cannot be exported.
        SpecError: Where there can be no such graph.
    """
    # Before anything is read: the whole spec is known only after the encoder is.
    GraphSpec(candidates=settings.candidates, text_candidates=settings.text_candidates)
    check_place(settings.out, settings.force)
    partial = settings.out.with_name(f".{settings.out.name}.partial-{os.getpid()}")
    settings.out.parent.mkdir(parents=True, exist_ok=True)
    partial.mkdir()
    try:
        manifest = _fill(partial, settings, progress)
        moved(partial, settings.out)
        shutil.rmtree(_checkpoints(settings), ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def _fill(folder: Path, settings: BundleSettings, progress: Progress) -> dict[str, Any]:
    """Writes everything, each part from what is known by then; the manifest comes last."""
    started = time.monotonic()
    catalog, log, judged = _read(settings, progress)
    with progress.step("loading the encoder"):
        encoder = load_encoder(settings.encoder, settings.pooling)
    tower = None
    if settings.text_tower:
        with progress.step("loading the text tower"):
            tower = load_text_tower(settings.text_tower)
    spec = _spec(settings, encoder, tower, log)
    with progress.step("laying out texts"):
        typed = detect_format(settings.catalog)[0] not in ("csv", "tsv")
        indexed = index_catalog(catalog, spec.text_template, typed)
    write_index(folder / "index", indexed, log)
    encoder.tokenizer.save(str(folder / "index" / "tokenizer.json"))
    if tower:
        with progress.step("tokenising texts for the text tower"):
            PairTokens.write(folder / "index" / PAIRS, tower.tokenizer, indexed.texts, spec.pair_buckets[-1])

    encoder_folder = folder / "model_repository" / "encoder" / "1"
    encoder_folder.mkdir(parents=True)
    with progress.step("exporting the encoder in fp32, fp16, int8"):
        encoder_report = write_engines(encoder, encoder_folder, _spread(indexed.texts, PARITY_TEXTS))
    engine = VARIANTS[settings.precision][0] if settings.precision in VARIANTS else ENGINE_FILES["cpu"]
    longest = _longest(encoder, spec)
    exported = OnnxEncoder(encoder_folder / engine, encoder.tokenizer, encoder.pad_id, longest)
    vectors, embedding = _embed(settings, encoder, encoder_folder / engine, longest, indexed.texts, progress)
    np.save(folder / "index" / "vectors.npy", vectors)
    shop = Shop(indexed.items, indexed.titles, indexed.created)
    search = write_search(folder / "index", indexed, log, shop, vectors, spec, settings.seed, progress)

    lesson = TrainingInputs(spec, folder / "index", shop, log, judged, exported, tower)
    fitting = replace(settings.fit, checkpoints=_checkpoints(settings))
    trained = train_on_index(lesson, settings.cases, fitting, settings.seed, progress)
    spec, search["fusion"] = trained.spec, trained.tuning
    trained.report.reference.write(folder / "index" / REFERENCE)
    ranker_report, cost = _write_ranking_engines(folder / "model_repository", trained.ranker, tower, spec, progress)
    engines = ("ranker", "text_tower") if tower else ("ranker",)
    chosen = {"encoder": engine, **dict.fromkeys(engines, ENGINE_FILES["cpu"])}
    heavy = RankerCost.of(cost, spec.text_candidates).heavy
    write_repository(folder / "model_repository", spec, {**NO_PLANS, ("cpu", "encoder"): engine}, heavy)

    manifest: dict[str, Any] = {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "spec": spec.to_dict(),
        "features": [feature.name for feature in FEATURES],
        "fields": sorted({name for record in indexed.records for name in record}),
        "log_end": int(LogSpan.of(log.timestamp).end) - 1 if len(log) else int(time.time()),
        "counts": {
            "items": len(indexed.items),
            "texts": len(indexed.texts),
            "users": len(log.user_ids),
            "events": len(log),
            "purchases": int((log.event == EVENTS.index("purchase")).sum()),
        },
        "inputs": {
            "catalog": catalog.report.summary(),
            "interactions": log.report.summary(),
            "encoder": settings.encoder,
            "pooling": encoder.model.pooling,
            "precision": settings.precision,
            "text_tower": settings.text_tower,
        },
        "engines": {"cpu": {"chosen": chosen}},
        "encoder": encoder_report,
        "embedding": embedding,
        "search": search,
        "ranker": {**trained.report.to_dict(), **ranker_report},
        **cost,
        "versions": {name: _version(name) for name in LIBRARIES},
    }
    sealed = seal(folder, manifest)
    with progress.step("answering the first requests"):
        # Three characters: in any script few enough tokens for the shortest bucket.
        query, user = str(catalog.items["title"].iloc[0])[:3], log.user_ids[0] if log.user_ids else "anonymous"
        write_warmup(Bundle.open(folder, verify=()), query, user)
    if settings.milvus:
        with progress.step("filling Milvus", len(indexed.items)) as advanced:
            manifest["milvus"] = fill_milvus(
                settings.milvus, settings.milvus_index, str(sealed["id"]), indexed, vectors, advanced
            )
    manifest["export_seconds"] = round(time.monotonic() - started, 1)
    return seal(folder, manifest)


def _read(settings: BundleSettings, progress: Progress) -> tuple[Catalog, Interactions, list[TrainingQuery]]:
    """Reads and validates the input; rows that were refused are listed beside the bundle."""
    check_both(settings.queries, settings.judgements)

    def refused(what: str) -> Path:
        return settings.out.with_name(f"{settings.out.name}.rejected-{what}.jsonl")

    def reported(report: RowReport) -> None:
        progress.note(str(report))
        if not report.bad and report.bad_rows_path:
            report.bad_rows_path.unlink()

    with progress.step("reading the catalogue"):
        catalog = read_catalog(settings.catalog, max_bad_share=settings.max_bad_rows, bad_rows_path=refused("catalog"))
    reported(catalog.report)
    judged: list[TrainingQuery] = []
    if settings.queries and settings.judgements:
        labelled = read_labelled(
            settings.queries, settings.judgements, catalog.item_ids, settings.max_bad_rows, progress
        )
        judged = judged_asks(split_labelled_queries(labelled.queries, settings.seed), settings.text_tower is not None)
    if settings.interactions is None:
        return catalog, Interactions.empty(), judged
    with progress.step("reading the interactions"):
        log = read_interactions(
            settings.interactions,
            catalog.item_ids,
            max_bad_share=settings.max_bad_rows,
            bad_rows_path=refused("interactions"),
        )
    reported(log.report)
    return catalog, log, judged


def _write_ranking_engines(
    repository: Path, ranker: Ranker, tower: LoadedTower | None, spec: GraphSpec, progress: Progress
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Writes the engines of the ranker and its text tower.

    Returns:
        Their agreement with torch, and what they cost on this machine, for the manifest.
    """
    with progress.step("exporting the ranker"):
        report, ranker_ms = write_ranker(RankerEngine(ranker), repository / "ranker" / "1", spec)
    cost: dict[str, Any] = {"ranker_ms": ranker_ms}
    if tower:
        with progress.step("exporting the text tower"):
            folder = repository / "text_tower" / "1"
            report["text_tower"], cost["text_tower_ms"] = write_text_tower(tower.tower, folder, spec)
    return report, cost


def _checkpoints(settings: BundleSettings) -> Path:
    """Beside the bundle, like the blocks of vectors: an export that was killed goes on with the ranker there."""
    return settings.out.with_name(f"{settings.out.name}.checkpoints")


def _spec(settings: BundleSettings, encoder: Encoder, tower: LoadedTower | None, log: Interactions) -> GraphSpec:
    age_days = (time.time() - LogSpan.of(log.timestamp).end) / 86_400 if len(log) else 0.0
    clock: Clock = settings.clock if settings.clock != "auto" else "log" if age_days > STALE_AFTER_DAYS else "wall"
    return GraphSpec(
        embedding_dim=encoder.dim,
        length_buckets=_buckets(GraphSpec.length_buckets, encoder.max_length),
        pad_token_id=encoder.pad_id,
        text_template=settings.text_template,
        query_template=settings.query_template,
        clock=clock,
        candidates=settings.candidates,
        text_candidates=settings.text_candidates if tower else 0,
        pair_buckets=_buckets(GraphSpec.pair_buckets, tower.max_length) if tower else GraphSpec.pair_buckets,
        pair_pad_token_id=tower.pad_id if tower else 0,
    )


def _buckets(wanted: Sequence[int], longest: int) -> tuple[int, ...]:
    """The buckets that a model of so many positions can read; where it reads less than the last, all it can."""
    return (*(b for b in wanted if b < longest), longest) if longest < wanted[-1] else tuple(wanted)


def _longest(encoder: Encoder, spec: GraphSpec) -> int:
    """Items may be as long as the encoder allows, within reason; queries keep to their buckets."""
    return min(encoder.max_length, max(256, spec.length_buckets[-1]))


def _embed(
    settings: BundleSettings, encoder: Encoder, engine: Path, longest: int, texts: Sequence[str], progress: Progress
) -> tuple[NDArray[np.float16], dict[str, Any]]:
    """Embeds the distinct texts; returns fp16 `[texts, dim]` and what was measured."""
    # Beside the bundle and kept: an export that was killed goes on there, and a later one skips what has not changed.
    blocks = settings.out.with_name(f"{settings.out.name}.blocks")
    with progress.step("embedding texts", len(texts)) as advanced:
        return embed_texts(
            EncoderFiles.create(engine, encoder.tokenizer, encoder.pad_id, longest),
            texts,
            checkpoint=blocks,
            engine=settings.engine,
            address=settings.ray_address,
            advanced=advanced,
        )


def _spread(texts: Sequence[str], count: int) -> list[str]:
    """Texts from all over the catalogue, the longest among them."""
    chosen = list(texts[:: max(1, len(texts) // count)])[:count]
    return [*chosen, max(texts, key=len)]


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
