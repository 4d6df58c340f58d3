"""What the ranker learns from and what it stops by: windows of the log, shown lists, judged queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fuserank_ensemble.contract.options import HEADS
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.retrieval.index import InteractionIndex
from fuserank_export.learning.interactions import Shop
from fuserank_export.sources.interactions import Interactions
from fuserank_export.training.cases.builder import (
    CaseBuilder,
    Cases,
    Relevance,
    TrainingQuery,
    catalog_asks,
    snapshot_before,
    window_asks,
)
from fuserank_export.training.cases.impressions import list_asks, shown_lists
from fuserank_export.training.cases.span import LogSpan
from fuserank_export.training.fitting.fit import MIN_POSITIVES, learnable

DAY = 86_400.0
MIN_CASES = 50  # below this a network learns noise; what is not learned stays silent
WINDOWS = 4  # of time; all but the last are learned from
LONGEST_WINDOW_DAYS = 28.0
FROM_CATALOG = 2_000  # queries made up where nobody asked any
Advanced = Callable[[str, int, int], None]  # a step's name, what is done, the whole
LearnedBefore = Callable[[float], InteractionIndex]


@dataclass(frozen=True)
class Sets:
    """Cases apart by what they are for.

    Attributes:
        learned: To learn from.
        held_out: To stop by, to calibrate by and to measure on: later ones, or other queries.
        source: `log`; where there was none to learn from, `judgements`, and without those `catalog`.
        window_days: Length of each time window; 0 without a log.
        shown_lists: How many lists of impressions are among them.
        note: What a reader should know.
    """

    learned: Cases
    held_out: Cases
    source: str
    window_days: float
    shown_lists: int
    note: str


def training_sets(
    log: Interactions,
    shop: Shop,
    builder: CaseBuilder,
    learned_before: LearnedBefore,
    judged: Sequence[TrainingQuery],
    count: int,
    seed: int,
    advanced: Advanced,
) -> Sets:
    """Builds the cases; see `fuserank_export.training.fitting.train.train_ranker` for the arguments."""
    relevance = Relevance(shop.items, shop.titles, seed)
    span = LogSpan.of(log.timestamp)
    length = window(span)
    windows: list[Cases] = []
    lists = 0
    for i in range(WINDOWS, 0, -1) if length else ():
        start = span.end - i * length
        shown = list_asks(shown_lists(log, start, start + length), snapshot_before(log, start), start, count, seed + i)
        lists += len(shown)
        asks = window_asks(log, relevance, start, start + length, count, seed + i) + shown
        done = counter(advanced, f"cases of window {WINDOWS + 1 - i} of {WINDOWS}", len(asks))
        if asks:
            windows.append(builder.build(asks, learned_before(start), done))
    if len(windows) == WINDOWS and sum(map(len, windows[:-1])) >= MIN_CASES and len(windows[-1]):
        learned, held_out = Cases.joined(windows[:-1]), windows[-1]
        if judged:
            last = span.end - length
            known = learned_before(last)
            more, others = _fifth_apart(builder, [replace(ask, now=last) for ask in judged], known, advanced)
            learned, held_out = Cases.joined([learned, more]), Cases.joined([held_out, others])
        note = "; ".join(_notes(log, span, learned))
        return Sets(learned, held_out, "log", round(length / DAY, 2), lists, note)
    asks = list(judged) or catalog_asks(shop.items, relevance, FROM_CATALOG, seed)
    learned, held_out = _fifth_apart(builder, asks, InteractionIndex(Popularity.none(len(shop.items))), advanced)
    note = (
        f"too little log ({len(log.timestamp):,} events) to learn behaviour from: the ranker knows relevance alone, "
        "and recommendations keep the order of fusion"
    )
    return Sets(learned, held_out, "judgements" if judged else "catalog", round(length / DAY, 2), 0, note)


def window(span: LogSpan) -> float:
    """Length of a time window in seconds: 28 days, or a tenth of a shorter log; 0 without a log."""
    return min(LONGEST_WINDOW_DAYS * DAY, max(span.end - 1 - span.start, 0.0) / 10)


def counter(advanced: Advanced, step: str, total: int) -> Callable[[int], None]:
    """Turns how many more are done into how many of all are."""
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        advanced(step, done, total)

    return count


def _fifth_apart(
    builder: CaseBuilder, asks: Sequence[TrainingQuery], known: InteractionIndex, advanced: Advanced
) -> tuple[Cases, Cases]:
    """Cases of queries without a user, the last fifth of them apart."""
    made = builder.build(asks, known, counter(advanced, "cases of queries", len(asks)))
    cut = max(1, len(made) * 4 // 5)
    return made.part(slice(0, cut)), made.part(slice(cut, None))


def _notes(log: Interactions, span: LogSpan, learned: Cases) -> list[str]:
    """What of a log that was learned from a reader would not expect."""
    notes = []
    if span.stray:
        notes.append(
            f"{span.stray:,} events are over 28 days before or after all others, as by a wrong clock: the windows are "
            "laid without them"
        )
    if not (log.query >= 0).any():
        notes.append("the log has no queries: they are made from categories and titles")
    if len(log.user_ids) == 1:
        notes.append("the log is of one user: nothing is learned from others")
    for h, head in enumerate(HEADS):
        if not learnable(learned.labels[..., h]):
            right = int(np.nansum(learned.labels[..., h]))
            wrong = int((learned.labels[..., h] == 0).sum())
            notes.append(
                f"the {head} head has {right:,} right and {wrong:,} wrong answers, needs {MIN_POSITIVES} of each, and "
                "stays silent"
            )
    return notes
