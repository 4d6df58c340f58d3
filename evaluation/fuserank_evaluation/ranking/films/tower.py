"""The films' text tower: trained once for the same settings and data, and its logits."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fuserank_evaluation.datasets.films import FilmShop
from fuserank_evaluation.progress import ProgressCallback
from fuserank_evaluation.ranking.films.queries import FilmQueries
from fuserank_export.training.text.cross_encoder import LIST_SIZE, open_tower, score_pairs, train_text_tower
from fuserank_export.training.text.data.candidates import TextData
from fuserank_export.training.text.report import REPORT
from fuserank_export.training.text.settings import TextFitSettings

SCORED_PARTS = ("joining", "stopping", "held_out")


@dataclass(frozen=True)
class TowerScores:
    """A trained tower's logits.

    Attributes:
        by_part: Logits of a part's candidates, float32 `[candidates]`, for each of `SCORED_PARTS`.
        pairs_per_second: (query, text) pairs scored a second.
        pairs: Pairs that the tower was trained on.
        training_seconds: Seconds of training, without evaluations.
        training_pairs_per_second: Pairs a second of training.
    """

    by_part: dict[str, NDArray[np.float32]]
    pairs_per_second: float
    pairs: int
    training_seconds: float
    training_pairs_per_second: float


def score_by_tower(
    films: FilmShop, queries: FilmQueries, settings: TextFitSettings, cache: Path, on_progress: ProgressCallback
) -> TowerScores:
    """Trains the tower where the cache has none of the same settings and data, and scores the other parts."""
    folder = train_tower(
        films, queries, settings, cache, lambda *step: on_progress("films: training the text tower", *step)
    )
    tower = open_tower(str(folder), None, settings.max_length)
    started, scored = time.monotonic(), 0
    by_part: dict[str, NDArray[np.float32]] = {}
    for done, name in enumerate(SCORED_PARTS, start=1):
        ranked = getattr(queries, name).ranked
        pairs = [(query.text, films.tower_texts[row]) for query in ranked for row in query.rows]
        by_part[name] = score_pairs(tower, [query for query, _ in pairs], [text for _, text in pairs])
        scored += len(pairs)
        on_progress("films: scoring by the text tower", done, len(SCORED_PARTS))
    seconds = time.monotonic() - started
    report = json.loads((folder / REPORT).read_text("utf-8"))
    return TowerScores(by_part, scored / seconds, report["pairs"], report["seconds"], report["pairs_per_second"])


def train_tower(
    films: FilmShop,
    queries: FilmQueries,
    settings: TextFitSettings,
    cache: Path,
    on_progress: Callable[[int, int], None],
) -> Path:
    """The folder of a tower trained with these settings on these lists; its name is a hash of both."""
    named_apart = ("out", "encoder", "resume")
    values = {name: value for name, value in asdict(settings).items() if name not in named_apart and value is not None}
    content = [values, LIST_SIZE, films.tower_texts, [query.to_dict() for query in queries.tower.ranked]]
    key = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
    folder = cache / f"film-tower-{key}"
    if not folder.exists():
        stopping = queries.stopping.ranked
        data = TextData(films.tower_texts, queries.tower.ranked, stopping, stopping, {"source": "judgements"})
        folder.parent.mkdir(parents=True, exist_ok=True)
        train_text_tower(replace(settings, out=folder, resume=True), data, on_progress)
    return folder
