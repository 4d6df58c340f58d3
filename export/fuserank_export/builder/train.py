"""The step `train`: fusion is tuned and the ranker learns to order what it finds, then its engines are written."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.bundle import PAIRS, RANKER_WEIGHTS, REFERENCE, open_query_parser, sha256
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.retrieval.index import CatalogIndex, InteractionIndex
from fuserank_ensemble.spec import GraphSpec
from fuserank_export.builder.options import OutputOptions, RankerOptions
from fuserank_export.builder.read import Behaviour
from fuserank_export.encoder.onnx_encoder import OnnxEncoder
from fuserank_export.index.shadows import add_shadows
from fuserank_export.index.shop import Shop
from fuserank_export.learning.interactions import learn, popularity_before
from fuserank_export.memory import arrays_reused, release_mapped, release_memory
from fuserank_export.progress import Progress
from fuserank_export.training.cases.builder import CaseBuilder
from fuserank_export.training.fitting.budget import TimeBudget
from fuserank_export.training.fitting.train import (
    TrainingReport,
    describe_unranked,
    objective,
    ranked_kinds,
    train_ranker,
)
from fuserank_export.training.fitting.tune import tuned_weights
from fuserank_export.training.model.engine import RankerEngine, write_ranker
from fuserank_export.training.model.ranker import Ranker
from fuserank_export.training.model.weights import write_weights
from fuserank_export.training.text.engine import write_text_tower
from fuserank_export.training.text.tower import LoadedTower, PairScorer

LARGE_SHOP = 200_000  # items from which rankers are fitted one by one, to cases on disk, and no file stays mapped
WIDENED_BYTES = 256 * 2**20  # of text vectors as float32: those of more texts stay mapped


@dataclass(frozen=True, kw_only=True)
class TrainingInputs:
    """What a ranker is trained on.

    Attributes:
        spec: The graph that it is for.
        index: A bundle's `index/`: vectors, words and pairs are read, what the channels learned from the log is not.
        shop: The catalogue.
        behaviour: The log and the judged queries.
        open_encoder: Opens what embeds queries.
        tower: The ranker's text tower; None has none.
        encoder_id: Tells the encoder from others: a hash of it, or the id of the bundle that it is of.
        signals_must_gain: Whether the ranker reads those of the spec's own signals alone that gain, or all.
    """

    spec: GraphSpec
    index: Path
    shop: Shop
    behaviour: Behaviour
    open_encoder: Callable[[], OnnxEncoder]
    tower: LoadedTower | None
    encoder_id: str
    signals_must_gain: bool


@dataclass(frozen=True)
class TrainedRanker:
    """A ranker, and the graph that it orders the candidates of.

    Attributes:
        ranker: The model.
        tower: Its text tower; None has none.
        report: How it was trained, and how well it ranks.
        spec: The inputs' graph, with the tuned weights of fusion and the default weights of the heads.
        tuning: The tuning's report, the manifest's `search.fusion`.
    """

    ranker: Ranker
    tower: LoadedTower | None
    report: TrainingReport
    spec: GraphSpec
    tuning: dict[str, Any]


def train_on_index(
    inputs: TrainingInputs,
    options: RankerOptions,
    out: OutputOptions,
    progress: Progress,
    budget: TimeBudget | None = None,
) -> TrainedRanker:
    """Tunes the fusion and trains the ranker on what it finds.

    Args:
        inputs: What it is trained on.
        options: How.
        out: The bundle that it is for: checkpoints lie beside it, and its seed is that of everything random.
        progress: Shows the steps.
        budget: The time after which training stops; None has no end.
    """
    log, shop, spec, seed = inputs.behaviour.log, inputs.shop, inputs.spec, out.seed
    items = shop.items
    if inputs.signals_must_gain:
        items, log, own = add_shadows(items, log, spec.own_features, seed)
        spec = replace(spec, own_features=own)
    # The graph of entities is made of the catalogue as it is.
    builder, effort = _case_builder(inputs, items, spec), options.effort
    out.resume.mkdir(parents=True, exist_ok=True)  # on the bundle's disk: a system's own place may be memory
    with tempfile.TemporaryDirectory(dir=out.resume) as folder, progress.steps() as advanced, arrays_reused():
        if len(items) >= LARGE_SHOP:
            mapped = [inputs.index, Path(folder)]
            builder = replace(builder, release=partial(release_mapped, mapped), folder=Path(folder))
        earliest: list[InteractionIndex] = []

        def index_before(moment: float) -> InteractionIndex:
            # Vectors are learned once, before the first window: what a window holds must not reach its features,
            # and once more for every window would take minutes. Counting is quick, so counts are each window's own.
            if not earliest:
                step = partial(advanced, "what the channels knew before")
                earliest.append(learn(Path(folder), log, shop, moment, seed, step)[0])
            return replace(earliest[0], popularity=popularity_before(log, shop, moment))

        weights, tuning = tuned_weights(
            log, shop, builder, index_before, seed=seed, advanced=advanced, cases=effort.tuning_cases
        )
        release_memory()
        builder.release()
        spec = replace(spec, channel_weights={**spec.channel_weights, **weights})
        ranker, report = train_ranker(
            log,
            shop,
            replace(builder, spec=spec),
            index_before,
            judged=inputs.behaviour.judged,
            signals_must_gain=inputs.signals_must_gain,
            cases=effort.cases,
            settings=replace(effort.fit, checkpoints=out.checkpoints / training_key(inputs, options, seed)),
            seed=seed,
            advanced=advanced,
            budget=budget,
            at_once=len(items) < LARGE_SHOP,
        )
    spec = replace(
        spec,
        objective=objective(report),
        ranked_kinds=ranked_kinds(report),
        made_up_queries=not inputs.behaviour.judged and not log.has_queries,
        own_features=ranker.layout.own,
    )
    note = "; ".join(filter(None, (report.note, describe_unranked(report))))
    return TrainedRanker(ranker, inputs.tower, replace(report, note=note), spec, tuning)


def training_key(inputs: TrainingInputs, options: RankerOptions, seed: int) -> str:
    """Names a training by what it is given, not by what it computes: the last bits of that depend on the threads.

    Args:
        inputs: What it is trained on.
        options: How.
        seed: Of everything random in it.
    """
    log = inputs.behaviour.log
    texts = hashlib.sha256()
    for part in (
        [version("fuserank"), inputs.encoder_id, asdict(replace(options, time_budget=None))],
        log.user_ids,
        log.queries,
    ):
        texts.update(json.dumps(part, default=str).encode())
    for path in sorted(path for path in (inputs.index / "items").rglob("*") if path.is_file()):
        texts.update(sha256(path).encode())
    arrays = (log.user, log.item, log.event, log.timestamp, log.value, log.query, log.weights)
    rest = (
        log.places,
        log.impressions,
        log.segments,
        log.negatives,
        inputs.behaviour.judged,
        inputs.spec.to_dict(),
        seed,
    )
    return str(joblib.hash((texts.hexdigest(), arrays, rest)))


def write_trained(trained: TrainedRanker, engines: Path, index: Path, progress: Progress) -> dict[str, Any]:
    """Writes the engines of a ranker and of its text tower, and the features that the ranker learned from.

    Args:
        trained: The ranker.
        engines: Folder of the stages, each of which gets a folder for its engines.
        index: Folder of the files of features and weights.
        progress: Shows the step.

    Returns:
        Its part of the manifest: `spec`, the names of its `features`, `ranker`, and what the engines cost.
    """
    trained.report.reference.write(index / REFERENCE)
    write_weights(trained.ranker, index / RANKER_WEIGHTS)
    cost: dict[str, Any] = {}
    with progress.step("exporting the ranker"):
        report, cost["ranker_ms"] = write_ranker(RankerEngine(trained.ranker), engines / "ranker" / "1", trained.spec)
    if trained.tower:
        with progress.step("exporting the text tower"):
            folder = engines / "text_tower" / "1"
            report["text_tower"], cost["text_tower_ms"] = write_text_tower(trained.tower.tower, folder, trained.spec)
    return {
        "spec": trained.spec.to_dict(),
        "features": [feature.name for feature in trained.ranker.layout.features],
        "ranker": {**trained.report.to_dict(), **report},
        **cost,
    }


def _case_builder(inputs: TrainingInputs, items: Items, spec: GraphSpec) -> CaseBuilder:
    index = inputs.index

    def embed(queries: Sequence[str]) -> NDArray[np.float32]:
        # Opened each time, for its session takes a hundred megabytes and more: of none that a fit has a use for.
        return inputs.open_encoder().embed_queries(queries, spec)

    return CaseBuilder(
        CatalogIndex.open(index, items, "cpu", widened=WIDENED_BYTES),
        spec,
        embed,
        open_query_parser(index).parse,
        PairScorer.open(inputs.tower, index / PAIRS, inputs.spec) if inputs.tower else None,
    )
