"""Judged queries for the ranker: what people said of items teaches its relevance head, with or without a log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fuserank_ensemble.interactions.history import History
from fuserank_export.progress import Progress
from fuserank_export.sources.judgements import read_judgements
from fuserank_export.training.cases.training_query import TrainingQuery
from fuserank_export.training.text.data.labels import LabelledQueries, QuerySplit, label_from_judgements

UNDATED = 0.0  # the moment of a judged query until the training says which


def read_labelled(
    queries: Path,
    judgements: Path,
    item_ids: Sequence[str],
    max_bad_share: float,
    progress: Progress,
    encoding: str | None = None,
) -> LabelledQueries:
    """Reads a shop's judgements, and notes what became of their rows.

    Raises:
        InputError: Where a file cannot be used, or all judgements say the same.
    """
    with progress.step("reading the judgements"):
        judged = read_judgements(queries, judgements, item_ids, max_bad_share=max_bad_share, encoding=encoding)
    for report in judged.reports:
        progress.note(str(report))
    return label_from_judgements(judged)


def judged_queries(parts: QuerySplit, has_tower: bool) -> list[TrainingQuery]:
    """Returns the queries that the ranker may learn from; the held-out part is never touched.

    Args:
        parts: The queries, split as `export train text-tower` splits them under the same seed.
        has_tower: Whether the ranker has a text tower. It learned from the training queries, and is surer of their
            answers than it will be of a new query's: the ranker then joins it by the queries of validation alone.
    """
    labelled = parts.validation if has_tower else (*parts.train, *parts.validation)
    return [
        TrainingQuery("query", query.text, History.empty(), UNDATED, query.relevant, None, None) for query in labelled
    ]
