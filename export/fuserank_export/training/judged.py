"""Judged queries for the ranker: what people said of items teaches its relevance head, with or without a log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fuserank_ensemble.interactions.history import History
from fuserank_export.progress import Progress
from fuserank_export.sources import InputError
from fuserank_export.sources.judgements import read_judgements
from fuserank_export.training.cases import TrainingQuery
from fuserank_export.training.text.labels import LabelledQueries, QuerySplit, label_from_judgements

AT_ONCE = 0.0  # the moment of an ask until the training says which


def read_labelled(
    queries: Path, judgements: Path, item_ids: Sequence[str], max_bad_share: float, progress: Progress
) -> LabelledQueries:
    """Reads a shop's judgements, and notes what became of their rows.

    Raises:
        InputError: Where a file cannot be used, or all judgements say the same.
    """
    with progress.step("reading the judgements"):
        judged = read_judgements(queries, judgements, item_ids, max_bad_share=max_bad_share)
    for report in judged.reports:
        progress.note(str(report))
    return label_from_judgements(judged)


def check_both(queries: Path | None, judgements: Path | None) -> None:
    """Refuses one file without the other.

    Raises:
        InputError: Then.
    """
    if (queries is None) != (judgements is None):
        raise InputError("--queries and --judgements: found one of them; allowed: both or neither")


def judged_asks(parts: QuerySplit, tower: bool) -> list[TrainingQuery]:
    """What the ranker may learn from; the held-out part is never touched.

    Args:
        parts: The queries, split as `export train text-tower` splits them under the same seed.
        tower: Whether the ranker has a text tower. It learned from the training queries, and is surer of their answers
            than it will be of a new query's: the ranker then joins it by the queries of validation alone.
    """
    used = parts.validation if tower else (*parts.train, *parts.validation)
    return [TrainingQuery("query", each.text, History.empty(), AT_ONCE, each.relevant, None, None) for each in used]
