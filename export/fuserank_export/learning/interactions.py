"""Learns what the channels know of the log by a moment: popularity, collaborative factors, the knowledge graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from fuserank_ensemble.interactions.popularity import Groups, Popularity
from fuserank_ensemble.interactions.segments import USER
from fuserank_ensemble.retrieval.channels.collaborative import CONFIDENCE, REGULARIZATION
from fuserank_ensemble.retrieval.index import InteractionIndex
from fuserank_ensemble.retrieval.vectors.build import build_index
from fuserank_export.index.shop import Shop
from fuserank_export.learning.graph.knowledge import knowledge_graph
from fuserank_export.learning.graph.train import train_graph
from fuserank_export.sources.interactions import Interactions

FACTORS = 64
SWEEPS = 10  # of alternating least squares


def popularity_before(log: Interactions, shop: Shop, end: float) -> Popularity:
    """Counts the log's events before a moment, as of then.

    Args:
        log: The log.
        shop: The catalogue.
        end: The moment, epoch seconds.
    """
    before = log.before(end)
    places = {name: (codes[before], names) for name, (codes, names) in log.places.items()}
    return Popularity.from_log(
        log.user[before],
        log.item[before],
        log.timestamp[before],
        len(shop.items),
        end,
        np.where(shop.created <= end, shop.created, np.nan),  # what was not there yet is not known
        places,
        _events_of_groups(log, before, end),
    )


def _events_of_groups(log: Interactions, before: slice, end: float) -> dict[str, Groups]:
    """The events `before` a moment of each group that the shop had its users in by then."""
    segments = log.segments
    if not segments.columns:
        return {}
    rows = np.asarray([segments.row(user) for user in log.user_ids], np.int64)  # [users], -1 where nothing is said
    known = (rows >= 0) & (segments.since[rows] <= end)
    user = log.user[before]
    groups: dict[str, Groups] = {}
    for name, column in segments.columns.items():
        starts = column.offsets[rows]
        counts = np.where(known, column.offsets[rows + 1] - starts, 0)[user]  # [events]
        events = np.repeat(np.arange(len(user)), counts)
        within = np.arange(len(events)) - np.repeat(np.cumsum(counts) - counts, counts)
        groups[f"{USER}{name}"] = (events, column.codes[starts[user][events] + within], column.words)
    return groups


def learn(
    folder: Path,
    log: Interactions,
    shop: Shop,
    end: float,
    seed: int,
    advanced: Callable[[int, int], None] = lambda step, total: None,
) -> tuple[InteractionIndex, dict[str, Any]]:
    """Learns from the events before a moment, and writes what serving opens.

    Args:
        folder: A bundle's `index/`, or another folder.
        log: The log.
        shop: The catalogue.
        end: Epoch seconds; events from then on are not looked at.
        seed: Of everything random.
        advanced: Called with the step of the graph's training that is done and their total.

    Returns:
        What the channels know, as serving opens it on a CPU, and a report.
    """
    before = log.before(end)
    user, item, times = log.user[before], log.item[before], log.timestamp[before]
    popularity_before(log, shop, end).save(folder / "popularity")
    report: dict[str, Any] = {"events": len(item)}
    if len(item):
        _write_factors(folder / "collaborative", item_factors(user, item, len(log.user_ids), len(shop.items), seed))
    graph = train_graph(
        knowledge_graph(shop.items, shop.titles, user, item, times, len(log.user_ids), end),
        seed=seed,
        advanced=advanced,
    )
    graph.save(folder / "graph")
    build_index(graph.items, folder / "graph" / "items.faiss")
    report["graph"] = graph.report.to_dict()
    return InteractionIndex.open(folder, "cpu"), report


def _write_factors(folder: Path, factors: NDArray[np.float32]) -> None:
    """Writes the items' factors and the index over them."""
    folder.mkdir()
    np.save(folder / "factors.npy", factors)
    build_index(factors, folder / "factors.faiss")


def item_factors(
    user: NDArray[np.int32], item: NDArray[np.int32], users: int, items: int, seed: int
) -> NDArray[np.float32]:
    """Factorises the log: float32 `[items, factors]`, zeros for an item without events."""
    counts = csr_matrix((np.ones(len(user), np.float32), (user, item)), shape=(users, items))
    counts.sum_duplicates()
    counts.data = CONFIDENCE * np.log1p(counts.data)
    with threadpool_limits(1, "blas"):  # many small products: threads would only wait for each other
        model = AlternatingLeastSquares(
            min(FACTORS, max(2, min(users, items))),
            regularization=REGULARIZATION,
            iterations=SWEEPS,
            num_threads=1,
            random_state=seed,
        )
        model.fit(counts, show_progress=False)
    factors = np.asarray(model.item_factors, np.float32)
    factors[np.bincount(item, minlength=items) == 0] = 0.0
    return factors
