"""Recall of the fused candidates and of every channel's own list, on the groceries' searches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from ir_measures import R

from fuserank_ensemble.candidates.retriever import Retriever
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.retrieval.channels.registry import CHANNELS
from fuserank_evaluation.datasets.bundle_encoder import BundleEncoder
from fuserank_evaluation.datasets.cases import Rows
from fuserank_evaluation.datasets.grocery import Grocery
from fuserank_evaluation.metrics.measures import measure
from fuserank_evaluation.progress import ProgressCallback, ignore_progress
from fuserank_evaluation.retrieval.candidates import LIST_DEPTH

CUTS = (50, LIST_DEPTH)
_BATCH = 16


def evaluate_grocery(
    grocery: Grocery, encoder: BundleEncoder, on_progress: ProgressCallback = ignore_progress
) -> dict[str, float]:
    """Recall at `CUTS` by list, and how many relevant items only the graph channel finds; names as in the report."""
    cases = grocery.case_sets.search
    retriever = Retriever(grocery.bundle.catalog("cpu"), grocery.interaction_index(grocery.cut), encoder.spec)
    channel_queries = encoder.channel_queries(cases.queries, cases.seen, grocery.cut)
    lists: dict[str, list[Rows]] = {name: [] for name in (*CHANNELS, "fused", "fused_no_user")}
    nothing = np.empty(0, np.int32)
    for start in range(0, len(channel_queries), _BATCH):
        batch = channel_queries[start : start + _BATCH]
        channel_lists, _ = retriever.search_channels(batch, ["both"] * len(batch), everything=True)
        for name in CHANNELS:
            lists[name] += [ranked[name].rows if name in ranked else nothing for ranked in channel_lists]
        new_users = [replace(query, seen=History.empty()) for query in batch]
        for name, queries in (("fused", batch), ("fused_no_user", new_users)):
            lists[name] += [found.rows for found in retriever.retrieve(queries, [LIST_DEPTH] * len(queries))]
        on_progress("groceries: retrieving", start + len(batch), len(channel_queries))
    recall = {f"recall_at_{cut}": R @ cut for cut in CUTS}
    figures: dict[str, float] = {"grocery_cases": len(cases), "grocery_relevant": sum(map(len, cases.relevant))}
    for name, ranked in lists.items():
        for measure_name, values in measure(ranked, cases.relevant, recall).items():
            figures[f"grocery_{measure_name}_{name}"] = round(float(values.mean()), 4)
    others = [lists[name] for name in CHANNELS if name != "graph"]
    return figures | {"graph_unique_relevant": count_unique(lists["graph"], others, cases.relevant)}


def count_unique(ranked: Sequence[Rows], others: Sequence[Sequence[Rows]], relevant: Sequence[Rows]) -> int:
    """How many relevant items stand in the first 200 of one list and of no other, over all cases.

    Args:
        ranked: The list of each case, `[cases]`.
        others: The other lists, each `[cases]`.
        relevant: Relevant item rows, `[cases]`.
    """
    unique = 0
    for case, answers in enumerate(relevant):
        elsewhere = np.concatenate([rows[case][:LIST_DEPTH] for rows in others])
        unique += int((np.isin(answers, ranked[case][:LIST_DEPTH]) & ~np.isin(answers, elsewhere)).sum())
    return unique
