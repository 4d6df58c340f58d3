"""What the ranker learns from and what it stops by: windows of the log, shown lists, judged queries."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.contract.options import HEADS
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.retrieval.index import InteractionIndex
from fuserank_export.index.shop import Shop
from fuserank_export.memory import release_memory
from fuserank_export.sources.interactions import Interactions
from fuserank_export.sources.mapped_log import release_log
from fuserank_export.training.cases.builder import CaseBuilder
from fuserank_export.training.cases.cases import Cases
from fuserank_export.training.cases.impressions import impression_queries, shown_lists
from fuserank_export.training.cases.labels import MIN_POSITIVES, learnable
from fuserank_export.training.cases.span import LogSpan
from fuserank_export.training.cases.synthetic import SyntheticQueries, catalog_queries
from fuserank_export.training.cases.training_query import TrainingQuery
from fuserank_export.training.cases.window import snapshot_before, window_queries

MIN_CASES = 50  # below this a network learns noise; what is not learned stays silent
WINDOWS = 4  # of time; all but the last are learned from
LONGEST_WINDOW_DAYS = 28.0
WINDOW_SHARE = 0.02  # of the log's events that a window holds at least, however long that takes
BLURRED = 0.2  # share of the queries in words that no item has
CATALOG_QUERIES = 2_000  # made up where nobody asked any
StepProgress = Callable[[str, int, int], None]  # a step's name, what is done, the whole
IndexBefore = Callable[[float], InteractionIndex]  # what the channels know of the log by a moment


@dataclass(frozen=True)
class TrainingSplit:
    """Cases apart by what they are for.

    Attributes:
        train: To learn from.
        held_out: To stop by, to calibrate by and to measure on: later ones, or other queries.
        source: `log`; where there was none to learn from, `judgements`, and without those `catalog`.
        window_days: Length of each time window; 0 without a log.
        shown_lists: How many lists of impressions are among them.
        note: What a reader should know.
    """

    train: Cases
    held_out: Cases
    source: str
    window_days: float
    shown_lists: int
    note: str


def split_cases(
    log: Interactions,
    shop: Shop,
    builder: CaseBuilder,
    index_before: IndexBefore,
    *,
    judged: Sequence[TrainingQuery],
    count: int,
    seed: int,
    advanced: StepProgress,
) -> TrainingSplit:
    """Builds the cases.

    Args:
        log: The log; may be empty.
        shop: The catalogue.
        builder: Builds cases of training queries.
        index_before: What the channels know by a moment; called once for each window, the earliest first.
        judged: Judged queries in any order.
        count: How many (user, query) pairs to draw from each window.
        seed: Of the draws.
        advanced: Called with a step's name, what is done and the whole.
    """
    builder = replace(builder, blurred=BLURRED)
    synthetic = SyntheticQueries(shop.items, shop.titles, seed)
    span = LogSpan.of(log.timestamp)
    bounds = window_bounds(log.timestamp, span)
    windows: list[Cases] = []
    list_count = 0

    def window_cases(i: int, start: float, end: float) -> tuple[Cases | None, int]:
        """The cases of a window, None where it has no queries, and how many of them are of shown lists."""
        shown = _shown_queries(log, start, end, count=count, seed=seed + i)
        queries = window_queries(log, synthetic, start, end, count=count, seed=seed + i) + shown
        done = count_up(advanced, f"cases of window {WINDOWS + 1 - i} of {WINDOWS}", len(queries))
        release_log(log)
        return builder.build(queries, index_before(start), done) if queries else None, len(shown)

    for i, (start, end) in zip(range(WINDOWS, 0, -1), pairwise(bounds), strict=False):
        cases, lists = window_cases(i, start, end)
        list_count += lists
        if cases is not None:
            windows.append(cases)
        release_memory()  # everybody's histories before the window, and the queries that hold them
        builder.release()
    if len(windows) == WINDOWS and sum(map(len, windows[:-1])) >= MIN_CASES and len(windows[-1]):
        held_out = windows.pop()
        total = sum(map(len, windows))
        train = Cases.collected((windows.pop(0) for _ in range(len(windows))), total, builder.folder)
        if judged:
            last = bounds[-2]
            dated = [replace(query, now=last) for query in judged]
            judged_train, judged_held_out = _split_fifth(builder, dated, index_before(last), advanced)
            train = Cases.joined([train, judged_train], builder.folder)
            held_out = Cases.joined([held_out, judged_held_out], builder.folder)
        note = "; ".join(_notes(log, span, train))
        return TrainingSplit(train, held_out, "log", _days(bounds[-1] - bounds[-2]), list_count, note)
    queries = list(judged) or catalog_queries(shop.items, synthetic, CATALOG_QUERIES, seed)
    no_log = InteractionIndex(Popularity.empty(len(shop.items)))
    train, held_out = _split_fifth(builder, queries, no_log, advanced)
    note = (
        f"too little log ({len(log.timestamp):,} events) to learn behaviour from: the ranker knows relevance alone, "
        "and recommendations keep the order of fusion"
    )
    return TrainingSplit(train, held_out, "judgements" if judged else "catalog", 0.0, 0, note)


def window_bounds(timestamps: NDArray[np.int64], span: LogSpan) -> list[float]:
    """Returns where the log's last windows begin, and the end of the last, in epoch seconds; nothing without a log.

    A window is 28 days, or a tenth of a shorter log, and longer where the log is sparse: it holds `WINDOW_SHARE` of the
    events at least.

    Args:
        timestamps: Of the events, sorted, int64 `[events]`.
        span: The log's span.
    """
    length = min(LONGEST_WINDOW_DAYS * SECONDS_PER_DAY, max(span.end - 1 - span.start, 0.0) / 10)
    if not length:
        return []
    first, last = np.searchsorted(timestamps, (span.start, span.end))
    inside = timestamps[first:last]  # a view: a mask would copy them
    least = math.ceil(WINDOW_SHARE * len(inside))
    bounds = [span.end]
    for _ in range(WINDOWS):
        before = int(np.searchsorted(inside, bounds[0]))
        # The moment of the event from which on there are enough.
        enough = float(inside[max(before - least, 0)]) if before else span.start
        bounds.insert(0, min(bounds[0] - length, enough))
    return bounds


def count_up(advanced: StepProgress, step: str, total: int) -> Callable[[int], None]:
    """Returns a function of how many more are done, which reports how many of all are."""
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        advanced(step, done, total)

    return count


def _shown_queries(log: Interactions, start: float, end: float, *, count: int, seed: int) -> list[TrainingQuery]:
    """Queries of a window's shown lists; without any, nobody's history is summed up."""
    lists = shown_lists(log, start, end)
    if not lists:
        return []
    past = snapshot_before(log, start)
    return impression_queries(lists, past, start, count=count, seed=seed, segments=log.segments)


def _split_fifth(
    builder: CaseBuilder, queries: Sequence[TrainingQuery], interactions: InteractionIndex, advanced: StepProgress
) -> tuple[Cases, Cases]:
    """Cases of queries without a user, the last fifth of them apart."""
    cases = builder.build(queries, interactions, count_up(advanced, "cases of queries", len(queries)))
    cut = max(1, len(cases) * 4 // 5)
    return cases.part(slice(0, cut)), cases.part(slice(cut, None))


def _days(seconds: float) -> float:
    return round(seconds / SECONDS_PER_DAY, 2)


def _notes(log: Interactions, span: LogSpan, train: Cases) -> list[str]:
    """What a reader would not expect of a log that was learned from."""
    notes = []
    if span.stray:
        notes.append(
            f"{span.stray:,} events are over 28 days before or after all others, as by a wrong clock: the windows are "
            "laid without them"
        )
    if not log.has_queries:
        notes.append("the log has no queries: they are made from categories and titles")
    if len(log.user_ids) == 1:
        notes.append("the log is of one user: nothing is learned from others")
    for h, head in enumerate(HEADS):
        if not learnable(train.labels[..., h]):
            right = int(np.nansum(train.labels[..., h]))
            wrong = int((train.labels[..., h] == 0).sum())
            notes.append(
                f"the {head} head has {right:,} right and {wrong:,} wrong answers, needs {MIN_POSITIVES} of each, and "
                "stays silent"
            )
    return notes
