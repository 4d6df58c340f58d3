"""Learns what the channels know of the log by a moment: popularity, collaborative factors, the knowledge graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from fuserank_ensemble.interactions.events import NegativeEvents
from fuserank_ensemble.interactions.history import ROUNDING
from fuserank_ensemble.interactions.popularity import Groups, Popularity
from fuserank_ensemble.interactions.segments import USER
from fuserank_ensemble.retrieval.channels.collaborative import REGULARIZATION
from fuserank_ensemble.retrieval.fold_in import confidence
from fuserank_ensemble.retrieval.index import InteractionIndex
from fuserank_ensemble.retrieval.vectors.build import build_index
from fuserank_export.index.shop import Shop
from fuserank_export.learning.graph.knowledge import KnowledgeGraph, knowledge_graph
from fuserank_export.learning.graph.train import GraphVectors, train_graph
from fuserank_export.memory import release_memory
from fuserank_export.sources.interactions import Interactions
from fuserank_export.sources.mapped_log import release_log

FACTORS = 64
FACTORS_INDEX = "factors.faiss"  # within `collaborative/`
GRAPH_INDEX = Path("graph") / "items.faiss"  # within `index/`
# Of users and items for each factor, at least: with as many factors as items, nothing is learned but the log itself.
LEAST_FOR_A_FACTOR = 4
SWEEPS = 10  # of alternating least squares
FURTHER_SWEEPS = 2  # from factors that were learned from nearly the same log


@dataclass(frozen=True)
class LearnedStart:
    """What a bundle learned, for the next one to go on from.

    Attributes:
        index: Its `index/`.
        factors: Of the next one's items, zeros where unknown, float32 `[items, factors]`; None where there are none.
        graph: Returns the vectors of the next one's graph.
    """

    index: Path
    factors: NDArray[np.float32] | None
    graph: Callable[[KnowledgeGraph], GraphVectors]


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
        weights=log.weights[before],
        negatives=log.negatives.before(end),
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
    start: LearnedStart | None = None,
) -> tuple[InteractionIndex, dict[str, Any]]:
    """Learns from the events before a moment, and writes what serving opens.

    Args:
        folder: A bundle's `index/`, or another folder.
        log: The log.
        shop: The catalogue.
        end: Epoch seconds; events from then on are not looked at.
        seed: Of everything random.
        advanced: Called with the step of the graph's training that is done and their total.
        start: What another bundle learned, to go on from; None learns all anew.

    Returns:
        What the channels know, as serving opens it on a CPU, and a report.
    """
    # Each in a function of its own: what it makes is let go of before the next.
    popularity_before(log, shop, end).save(folder / "popularity")
    _release(log)
    report: dict[str, Any] = {"events": log.before(end).stop}
    if report["events"]:
        _learn_factors(folder / "collaborative", log, len(shop.items), end, seed, start)
    _release(log)
    report["graph"] = _learn_graph(folder, log, shop, end, seed, advanced, start)
    _release(log)
    return InteractionIndex.open(folder, "cpu"), report


def _release(log: Interactions) -> None:
    """Lets go of what was made, and of what is mapped of the log."""
    release_memory()
    release_log(log)


def _learn_factors(
    folder: Path, log: Interactions, items: int, end: float, seed: int, start: LearnedStart | None
) -> None:
    """Writes the items' factors and the index over them, with the quantisers of what was learned before."""
    before = log.before(end)
    shape = len(log.user_ids), items
    net = sum_by_pair(log.user[before], log.item[before], log.weights[before], log.negatives.before(end), shape)
    _release(log)
    factors = item_factors(net, seed, start.factors if start else None)
    del net
    folder.mkdir()
    np.save(folder / "factors.npy", factors)
    trained = start.index / folder.name / FACTORS_INDEX if start else None
    build_index(factors, folder / FACTORS_INDEX, trained=trained)


def _learn_graph(
    folder: Path,
    log: Interactions,
    shop: Shop,
    end: float,
    seed: int,
    advanced: Callable[[int, int], None],
    start: LearnedStart | None,
) -> dict[str, Any]:
    """Writes the graph's vectors and the index over those of the items; returns the report of its training."""
    before = log.before(end)
    knowledge = knowledge_graph(
        shop.items,
        shop.titles,
        log.user[before],
        log.item[before],
        log.timestamp[before],
        len(log.user_ids),
        end,
        weights=log.weights[before],
        negatives=log.negatives.before(end),
    )
    _release(log)
    graph = start.graph(knowledge) if start else train_graph(knowledge, seed=seed, advanced=advanced)
    del knowledge
    release_memory()
    graph.save(folder / "graph")
    trained = start.index / GRAPH_INDEX if start else None
    build_index(graph.items, folder / GRAPH_INDEX, trained=trained)
    return graph.report.to_dict()


def sum_by_pair(
    user: NDArray[np.int32],
    item: NDArray[np.int32],
    weights: NDArray[np.float32],
    negatives: NegativeEvents,
    shape: tuple[int, int],
) -> csr_matrix:
    """Returns what each user's events say of each item, below 0 where it is not wanted, float32 `[users, items]`.

    Args:
        user: Number of each event's user, int32 `[events]`.
        item: Item row of each event, int32 `[events]`.
        weights: What each event counts, float32 `[events]`.
        negatives: Events that take away; those of users without others are left out.
        shape: How many users and items there are.
    """
    known = negatives.part(negatives.user < shape[0])
    pairs = np.concatenate([user, known.user]), np.concatenate([item, known.item])
    net = csr_matrix((np.concatenate([weights, -known.weight]), pairs), shape=shape)
    net.sum_duplicates()
    net.data[np.abs(net.data) < ROUNDING] = 0.0
    net.eliminate_zeros()
    return net


def item_factors(net: csr_matrix, seed: int, start: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Factorises what users' events say of items: float32 `[items, factors]`, zeros for one that nobody wanted.

    Args:
        net: See `sum_by_pair`, float32 `[users, items]`.
        seed: Of the first factors.
        start: Factors of the items to go on from, float32 `[items, factors]`; None begins anew.
    """
    users, items = net.shape
    wanted = np.bincount(net.indices[net.data > 0], minlength=items)
    confident = csr_matrix((confidence(net.data), net.indices, net.indptr), shape=net.shape)
    with threadpool_limits(1, "blas"):  # many small products: threads would only wait for each other
        factors = min(FACTORS, max(2, min(users, items) // LEAST_FOR_A_FACTOR))
        begun = start if start is not None and start.shape[1] == factors else None
        model = AlternatingLeastSquares(
            factors,
            regularization=REGULARIZATION,
            iterations=SWEEPS if begun is None else FURTHER_SWEEPS,
            num_threads=1,
            random_state=seed,
        )
        draw = np.random.default_rng(seed)
        model.user_factors = _first_factors(draw, users, factors)
        # Where there are some, users are solved for them first.
        model.item_factors = _first_factors(draw, items, factors) if begun is None else begun.copy()
        model.fit(confident, show_progress=False)
    learned = np.asarray(model.item_factors, np.float32)
    learned[wanted == 0] = 0.0
    return learned


def _first_factors(draw: np.random.Generator, count: int, factors: int) -> NDArray[np.float32]:
    """Draws factors as implicit does, in place: it holds them twice, float32 `[count, factors]`."""
    drawn = draw.random((count, factors), np.float32)
    drawn *= 0.01
    return drawn
