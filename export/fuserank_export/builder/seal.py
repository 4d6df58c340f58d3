"""The step `seal`: the manifest of a new bundle, its warm-up requests, and the hashes of its files."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from fuserank_ensemble.bundle import FORMAT, Bundle
from fuserank_ensemble.graph.stages import ENCODER, engine_stages
from fuserank_ensemble.interactions.events import EVENTS
from fuserank_ensemble.spec import GraphSpec
from fuserank_export.builder.embed import EmbeddedTexts
from fuserank_export.builder.held_log import HeldLog
from fuserank_export.builder.index import Models
from fuserank_export.builder.options import EncoderOptions, FileReading, Quality, VectorStoreOptions
from fuserank_export.builder.read import ShopData
from fuserank_export.builder.steps import StepSeconds
from fuserank_export.builder.vector_store import fill_vector_store
from fuserank_export.builder.workspace import Workspace
from fuserank_export.index.catalog import Indexed
from fuserank_export.index.users import user_key
from fuserank_export.query_encoder.choose import KnownQueries, choose_query_encoder
from fuserank_export.repository.model_config import ENGINE_FILES
from fuserank_export.repository.sealing import seal, seal_bundle
from fuserank_export.repository.successor import is_configuration
from fuserank_export.repository.warmup import write_warmup
from fuserank_export.training.cases.span import LogSpan

LIBRARIES = (
    *("fuserank", "torch", "transformers", "onnx", "onnxruntime", "tokenizers", "numpy"),
    *("faiss-cpu", "tantivy", "jieba", "implicit", "torch-geometric"),
)


@dataclass(frozen=True, kw_only=True)
class BuiltParts:
    """What the steps before made of a shop.

    Attributes:
        shop: Step `read`.
        models: The models that were taken as they are, by `encoder`.
        encoder: The encoder's options.
        indexed: Step `index`.
        embedded: Step `embed`.
        search: Step `learn`: the manifest's `search`.
        ranker: Step `train`: see `write_trained`.
        quality: How much it looked at.
        reading: How the files were read.
        held: What the files hold of the log of live events, and the key of users.
    """

    shop: ShopData
    models: Models
    encoder: EncoderOptions
    indexed: Indexed
    embedded: EmbeddedTexts
    search: dict[str, Any]
    ranker: dict[str, Any]
    quality: Quality
    reading: FileReading
    held: HeldLog

    def manifest(self) -> dict[str, Any]:
        """Returns the new bundle's manifest but for its id, its files and what sealing measures."""
        shop, log, indexed, tower = self.shop, self.shop.behaviour.log, self.indexed, self.models.tower
        return {
            "format": FORMAT,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            **self.ranker,
            "fields": sorted({name for record in indexed.records for name in record}),
            "events": log.table.to_dict(),
            "log_end": int(LogSpan.of(log.timestamp).end) - 1 if len(log) else int(time.time()),
            "live_log": asdict(self.held.position),
            "user_key": user_key(self.held.key, log),
            "counts": {
                "items": len(indexed.items),
                "texts": len(self.embedded.vectors),
                "users": len(log.user_ids),
                "events": len(log),
                "purchases": int((log.event == EVENTS.index("purchase")).sum()),
            },
            "inputs": {
                "catalog": shop.catalog.report.summary(),
                "interactions": log.report.summary(),
                "users": shop.users_report.summary() if shop.users_report else None,
                "encoder": self.encoder.source,
                "prompts": asdict(self.models.encoder.prompts),
                "pooling": self.models.encoder.model.pooling,
                "precision": self.encoder.precision,
                "text_tower": tower.source if tower else None,
                "quality": self.quality,
                "reading": self.reading.to_manifest(),
            },
            "engines": chosen_engines(GraphSpec.from_dict(self.ranker["spec"]), self.embedded.engine_file),
            "encoder": self.embedded.engines_report,
            "embedding": self.embedded.embedding_report,
            "search": self.search,
            "versions": {name: _version(name) for name in LIBRARIES},
        }


def chosen_engines(spec: GraphSpec, encoder: str) -> dict[str, Any]:
    """Returns the manifest's `engines` of a bundle with a new ranker.

    Engines of ranker and text tower in other precisions are measured for one ranker: a new one begins in FP32.

    Args:
        spec: The graph.
        encoder: The encoder's file that a CPU runs.
    """
    return {"cpu": {"chosen": {stage.name: ENGINE_FILES["cpu"] for stage in engine_stages(spec)} | {ENCODER: encoder}}}


def seal_new(work: Workspace, parts: BuiltParts, vectors: VectorStoreOptions, steps: StepSeconds) -> dict[str, Any]:
    """Answers the first requests, fills the vector store, and hashes all files.

    Args:
        work: The bundle, whole but for its configurations, its warm-up requests and its manifest.
        parts: What the steps before made.
        vectors: The vector store.
        steps: The seconds of the steps before.

    Returns:
        The manifest as written.
    """
    with steps.measure("seal"):
        manifest = parts.manifest()
        sealed = seal_bundle(work.folder, manifest)
        manifest |= _choose_query_encoder(work, parts)
        bundle_id = str(seal_bundle(work.folder, manifest, _unchanged(sealed))["id"])
        user_ids = parts.shop.behaviour.log.user_ids
        user = parts.held.key.user_name(user_ids[0] if user_ids else "anonymous")
        with work.progress.step("answering the first requests"):
            # Three characters: in any script few enough tokens for the shortest bucket.
            query = parts.indexed.titles[0][:3]
            write_warmup(Bundle.open(work.folder, verify=()), query, user)
        manifest |= fill_vector_store(work, vectors, bundle_id, parts.indexed.items, parts.embedded.vectors)
    manifest |= {"export_seconds": round(steps.total, 1), "export_steps": steps.to_dict()}
    return seal(work.folder, manifest)


def _choose_query_encoder(work: Workspace, parts: BuiltParts) -> dict[str, Any]:
    """Adds a small query encoder where one is asked for and passes; returns what the manifest says of queries."""
    behaviour, indexed = parts.shop.behaviour, parts.indexed
    spec, report = choose_query_encoder(
        Bundle.open(work.folder, verify=()),
        parts.encoder.query_encoder,
        parts.embedded.files.open(),
        KnownQueries(behaviour.judged, behaviour.log, indexed.items, indexed.titles),
        work.out.seed,
        work.progress,
    )
    engines = chosen_engines(spec, parts.embedded.engine_file)
    return {"spec": spec.to_dict(), "engines": engines, "query_encoder": report}


def _unchanged(sealed: Mapping[str, Any]) -> dict[str, str]:
    """The hashes of a sealed bundle's files but for its configurations, by path."""
    return {name: digest for name, digest in sealed["files"].items() if not is_configuration(name)}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
