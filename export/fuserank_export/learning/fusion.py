"""Tunes what each channel's vote counts in fusion, on requests whose answers are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.retriever import Retriever
from fuserank_ensemble.retrieval.channel import ChannelQuery, RankedItems
from fuserank_ensemble.retrieval.channels.registry import CHANNELS

Weights = Mapping[str, float]
Objective = Callable[[Sequence[NDArray[np.int32]]], float]  # of the fused item rows of every query

DEPTH = 200  # fused items of a query that the objective sees
FIRST = 50  # of them count most
DEEP_SHARE = 0.3  # what recall at `DEPTH` counts beside recall at `FIRST`
LEAST = 0.05  # a channel that weighed nothing begins around here
FACTORS = (0.0, 0.4, 0.7, 1.4, 2.5)
MARGIN = 0.001  # less is chance
TRIALS = 60


def tune_weights(
    retriever: Retriever,
    queries: Sequence[ChannelQuery],
    kind: str,
    start: Weights,
    objective: Objective,
    *,
    seed: int,
    trials: int = TRIALS,
    advanced: Callable[[int, int], None] = lambda trial, total: None,
) -> tuple[dict[str, float], float, float]:
    """Searches for better weights, one channel at a time around the best so far.

    Args:
        retriever: Finds every channel's list, once.
        queries: Requests of one kind.
        kind: That kind.
        start: Weights to begin with; a result that is no better keeps them.
        objective: What to raise.
        seed: Of the draws.
        trials: How many weights to try.
        advanced: Called with the trial that is done and their total.

    Returns:
        The weights, the objective under `start`, and under them.
    """
    ranked, _ = retriever.search_channels(queries, [kind] * len(queries), everything=True)
    used = [name for name in CHANNELS if any(len(channels.get(name, RankedItems.empty())) for channels in ranked)]

    rankings = [retriever.ranking(channels, DEPTH) for channels in ranked]

    def evaluate(weights: Weights) -> float:
        return objective([ranking(weights) for ranking in rankings])

    best = {name: float(start.get(name, 0.0)) for name in used}
    before = best_value = evaluate(best)
    draw = np.random.default_rng(seed)
    for trial in range(trials if used else 0):
        name = used[int(draw.integers(len(used)))]
        # What the start asks is never dropped: the text channels set what the others choose from, and what is trending
        # answers those without a history, of whom these queries have none.
        factor = float(draw.choice(FACTORS)) or (FACTORS[1] / 4 if start.get(name) else 0.0)
        weights = best | {name: best[name] * factor if best[name] else LEAST * factor}
        value = evaluate(weights)
        if value > best_value + MARGIN:
            best, best_value = weights, value
        advanced(trial + 1, trials)
    scale = max(best.values(), default=0.0) or 1.0
    tuned = {name: float(f"{weight / scale:.4g}") for name, weight in best.items() if weight > 0}
    # A channel without a list here may have one later: an item that comes tomorrow is new.
    return {name: weight for name, weight in start.items() if name not in used} | tuned, before, best_value


def recall_objective(relevant: Sequence[NDArray[np.int32]]) -> Objective:
    """Returns mean recall at 50, and a little of that at 200, over the queries that have an answer.

    Args:
        relevant: Item rows that answer each query, without repeats.
    """

    def recall(fused: Sequence[NDArray[np.int32]]) -> float:
        values = []
        for rows, right in zip(fused, relevant, strict=True):
            if len(right):
                found = np.isin(rows[:DEPTH], right)
                values.append((found[:FIRST].sum() + DEEP_SHARE * found.sum()) / len(right))
        return float(np.mean(values)) if values else 0.0

    return recall
