"""Trains the ranker on an index: fusion is tuned first, since the ranker orders what fusion hands on."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fuserank_ensemble.bundle import PAIRS
from fuserank_ensemble.catalog.text import query_text
from fuserank_ensemble.retrieval.index import CatalogIndex, InteractionIndex
from fuserank_ensemble.spec import GraphSpec
from fuserank_export.encoder.onnx_encoder import OnnxEncoder
from fuserank_export.learning import Shop, learn, popularity_before
from fuserank_export.progress import Progress
from fuserank_export.sources import Interactions
from fuserank_export.training.cases import CaseBuilder, TrainingQuery
from fuserank_export.training.fit import FitSettings
from fuserank_export.training.model import Ranker
from fuserank_export.training.text.tower import LoadedTower, PairScorer
from fuserank_export.training.train import TrainingReport, objective, train_ranker, tuned_weights


@dataclass(frozen=True)
class TrainingInputs:
    """What a ranker is trained on.

    Attributes:
        spec: The graph that it is for.
        index: A bundle's `index/`: vectors, words and pairs are read, what the log taught is not.
        shop: The catalogue.
        log: The log; may be empty.
        judged: Judged queries.
        encoder: Embeds queries.
        tower: The ranker's text tower, where it has one.
    """

    spec: GraphSpec
    index: Path
    shop: Shop
    log: Interactions
    judged: list[TrainingQuery]
    encoder: OnnxEncoder
    tower: LoadedTower | None


@dataclass(frozen=True)
class Trained:
    """What came of it.

    Attributes:
        ranker: The model.
        report: How it was trained, and how well it ranks.
        spec: The lesson's, with the tuned weights of fusion and the default weights of the heads.
        tuning: The tuning's report.
    """

    ranker: Ranker
    report: TrainingReport
    spec: GraphSpec
    tuning: dict[str, Any]


def train_on_index(lesson: TrainingInputs, cases: int, settings: FitSettings, seed: int, progress: Progress) -> Trained:
    """Tunes the fusion and trains the ranker on what it finds.

    Args:
        lesson: What it is trained on.
        cases: How many (user, query) pairs to draw from each window.
        settings: How the ranker is fitted.
        seed: Of everything random.
        progress: Shows the steps.
    """
    log, shop, spec = lesson.log, lesson.shop, lesson.spec
    template = spec.query_template
    builder = CaseBuilder(
        CatalogIndex.open(lesson.index, shop.items, "cpu"),
        spec,
        lambda queries: lesson.encoder.embed([query_text(template, query) for query in queries]),
        PairScorer.open(lesson.tower, lesson.index / PAIRS, spec) if lesson.tower else None,
    )
    with tempfile.TemporaryDirectory() as earlier, progress.steps() as advanced:
        known: list[InteractionIndex] = []

        def learned_before(moment: float) -> InteractionIndex:
            # Vectors are learned once, before the first window: what a window holds must not reach its features,
            # and once more for every window would take minutes. Counting is quick, so counts are each window's own.
            if not known:
                steps = "what the channels knew before"
                known.append(learn(Path(earlier), log, shop, moment, seed, lambda *at: advanced(steps, *at))[0])
            return replace(known[0], popularity=popularity_before(log, shop, moment))

        weights, tuning = tuned_weights(log, shop, builder, learned_before, seed, advanced)
        spec = replace(spec, channel_weights={**spec.channel_weights, **weights})
        ranker, report = train_ranker(
            log,
            shop,
            replace(builder, spec=spec),
            learned_before,
            judged=lesson.judged,
            cases=cases,
            settings=settings,
            seed=seed,
            advanced=advanced,
        )
    return Trained(ranker, report, replace(spec, objective=objective(report)), tuning)
