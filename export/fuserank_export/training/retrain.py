"""`fuserank export train ranker`: a bundle's ranker learned anew, and all else of the bundle as it is."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from fuserank_ensemble.bundle import REFERENCE, Bundle
from fuserank_export.encoder.onnx_encoder import OnnxEncoder
from fuserank_export.engines.successor import write_successor
from fuserank_export.learning import Shop
from fuserank_export.model_config import ENGINE_FILES
from fuserank_export.progress import Progress
from fuserank_export.sealing import check_place
from fuserank_export.sources import InputError, Interactions, read_interactions
from fuserank_export.training.cases import TrainingQuery
from fuserank_export.training.engine import RankerEngine, write_ranker
from fuserank_export.training.fit import FitSettings
from fuserank_export.training.judged import check_both, judged_asks, read_labelled
from fuserank_export.training.on_index import TrainingInputs, train_on_index
from fuserank_export.training.text.engine import write_text_tower
from fuserank_export.training.text.labels import split_labelled_queries
from fuserank_export.training.text.tower import load_replacement_tower
from fuserank_export.training.train import FIT

RANKER, TEXT_TOWER = "model_repository/ranker/", "model_repository/text_tower/"


@dataclass(frozen=True)
class RetrainSettings:
    """What `fuserank export train ranker` was asked for.

    Attributes:
        bundle: The bundle whose ranker learns; it is not changed.
        out: The bundle to write; checkpoints lie beside it until it is whole.
        interactions: The log to learn from; None has none.
        queries: Queries that people judged answers of; None has none.
        judgements: Their judgements.
        text_tower: The text tower; None takes that which the bundle was exported with.
        cases: How many (user, query) pairs of each time window it learns from.
        max_bad_rows: Share of bad input rows above which the training fails.
        seed: Of everything random.
        force: Replace what is at `out`.
        fit: How it is fitted.
    """

    bundle: Path
    out: Path
    interactions: Path | None = None
    queries: Path | None = None
    judgements: Path | None = None
    text_tower: str | None = None
    cases: int = 1_500
    max_bad_rows: float = 0.05
    seed: int = 13
    force: bool = False
    fit: FitSettings = FIT


def retrain(settings: RetrainSettings, progress: Progress) -> dict[str, Any] | None:
    """Trains a bundle's ranker anew, with the weights of fusion that it orders by.

    The catalogue, its vectors and words, what the channels know of the log, and the encoder's engines stay as they
    are. Of the ranker only FP32 and FP16 engines are written, as by an export: others were measured for the old one.

    Returns:
        The new bundle's manifest; None in every process but the first that the launcher started.

    Raises:
        InputError: Where the input cannot be used, the text tower is not the bundle's, or the output's place is taken.
        BundleError: Where the bundle's parts do not belong together.
    """
    check_both(settings.queries, settings.judgements)
    if settings.interactions is None and settings.queries is None:
        raise InputError("found neither --interactions nor --queries: there is nothing to learn from; give one or both")
    check_place(settings.out, settings.force)
    with progress.step("verifying the bundle"):
        bundle = Bundle.open(settings.bundle)
    had = bundle.manifest["inputs"]["text_tower"] if bundle.spec.text_candidates else None
    source = settings.text_tower or had
    tower = load_replacement_tower(bundle, source) if source else None
    log, judged = _read(settings, bundle, progress)
    index, spec = bundle.root / "index", bundle.spec
    tokenizer = Tokenizer.from_file(str(bundle.tokenizer))
    encoder = OnnxEncoder(bundle.engine("encoder"), tokenizer, spec.pad_token_id, spec.length_buckets[-1])
    checkpoints = settings.out.with_name(f"{settings.out.name}.checkpoints")
    trained = train_on_index(
        TrainingInputs(spec, index, _shop(bundle), log, judged, encoder, tower),
        settings.cases,
        replace(settings.fit, checkpoints=checkpoints),
        settings.seed,
        progress,
    )
    if os.environ.get("RANK", "0") != "0":
        return None
    settings.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.out.parent, prefix=".ranker-") as scratch:
        folder = Path(scratch)
        with progress.step("exporting the ranker"):
            report, ranker_ms = write_ranker(RankerEngine(trained.ranker), folder / "ranker", trained.spec)
        costs = {"ranker_ms": ranker_ms}
        trained.report.reference.write(folder / REFERENCE)
        added = {f"{RANKER}1/{path.name}": path for path in (folder / "ranker").iterdir()}
        old = bundle.manifest
        # Engines in other precisions were measured for the old ranker: of ranker and tower FP32 serves again.
        chosen = {**old["engines"]["cpu"]["chosen"], "ranker": ENGINE_FILES["cpu"]}
        dropped = [RANKER]
        if tower:
            chosen["text_tower"] = ENGINE_FILES["cpu"]
        if tower and settings.text_tower:
            with progress.step("exporting the text tower"):
                report["text_tower"], text_tower_ms = write_text_tower(tower.tower, folder / "text_tower", trained.spec)
            costs["text_tower_ms"] = text_tower_ms
            added |= {f"{TEXT_TOWER}1/{path.name}": path for path in (folder / "text_tower").iterdir()}
            dropped.append(TEXT_TOWER)
        changes = {
            "spec": trained.spec.to_dict(),
            "ranker": {**trained.report.to_dict(), **report},
            "search": {**old["search"], "fusion": trained.tuning},
            "inputs": {
                **old["inputs"],
                **({"interactions": log.report.summary()} if settings.interactions else {}),
                "text_tower": tower.source if tower else None,
            },
            "engines": {"cpu": {"chosen": chosen}},
            **costs,
        }
        manifest = write_successor(
            bundle, settings.out, {**added, f"index/{REFERENCE}": folder / REFERENCE}, changes, settings.force,
            dropped=tuple(f"{name}1/" for name in dropped),
        )  # fmt: skip
    shutil.rmtree(checkpoints, ignore_errors=True)
    return manifest


def _read(settings: RetrainSettings, bundle: Bundle, progress: Progress) -> tuple[Interactions, list[TrainingQuery]]:
    """The log and the judgements of the bundle's items."""
    item_ids = [item.decode() for item in bundle.items.ids.tolist()]
    judged: list[TrainingQuery] = []
    if settings.queries and settings.judgements:
        labelled = read_labelled(settings.queries, settings.judgements, item_ids, settings.max_bad_rows, progress)
        judged = judged_asks(split_labelled_queries(labelled.queries, settings.seed), bundle.spec.text_candidates > 0)
    if settings.interactions is None:
        return Interactions.empty(), judged
    with progress.step("reading the interactions"):
        log = read_interactions(settings.interactions, item_ids, max_bad_share=settings.max_bad_rows)
    progress.note(str(log.report))
    if not len(log) and not judged:
        raise InputError(
            f"{settings.interactions}: none of its events is of an item of {bundle.root}: there is nothing to learn "
            "from; give the log of this bundle's catalogue, or export the new catalogue with `export bundle`"
        )
    return log, judged


def _shop(bundle: Bundle) -> Shop:
    """The bundle's catalogue."""
    records = [json.loads(bundle.records.raw(row)) for row in range(len(bundle.items))]
    created = np.asarray([record.get("created_at", np.nan) for record in records], np.float64)
    return Shop(bundle.items, [str(record["title"]) for record in records], created)
