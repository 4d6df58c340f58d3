"""nDCG and recall of fusion and of the text channels on judged queries: films and a Chinese shop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from ir_measures import R, nDCG

from fuserank_ensemble.candidates.retriever import Retriever
from fuserank_ensemble.catalog.scripts import blank_unread
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.retrieval.index import InteractionIndex
from fuserank_ensemble.spec import GraphSpec
from fuserank_evaluation.datasets.bundle_encoder import BundleEncoder
from fuserank_evaluation.datasets.cases import SEED, Rows
from fuserank_evaluation.datasets.judged import JudgedShop
from fuserank_evaluation.metrics.measures import measure_judged
from fuserank_evaluation.progress import ProgressCallback, ignore_progress
from fuserank_evaluation.retrieval.candidates import LIST_DEPTH, TEXT_CHANNELS
from fuserank_export.learning.fusion import tune_weights

TUNED_QUERIES = 1_000
MEASURES = {"ndcg_at_10": nDCG @ 10, "recall_at_100": R @ 100}


def open_retriever(shop: JudgedShop, spec: GraphSpec) -> Retriever:
    """Retrieval over a shop without a log."""
    return Retriever(shop.catalog, InteractionIndex(Popularity.empty(len(shop.catalog.items))), spec)


def evaluate_films(
    films: JudgedShop, encoder: BundleEncoder, on_progress: ProgressCallback = ignore_progress
) -> dict[str, float]:
    """Figures of the queries that fusion's weights were not tuned on; the weights are tuned on a third of them."""
    retriever = open_retriever(films, encoder.spec)
    tuned, held_out = films.judged.part(tuned=True).first(TUNED_QUERIES), films.judged.part(tuned=False)
    tuned_shop = JudgedShop(films.catalog, films.ids, tuned)
    weights, _, _ = tune_weights(
        retriever,
        encoder.anonymous_queries(list(tuned.queries.values()), films.catalog),
        "query",
        encoder.spec.channel_weights["query"],
        lambda ranked: measure_lists(tuned_shop, ranked)["ndcg_at_10"],
        seed=SEED,
        advanced=lambda trial, total: on_progress("films: tuning fusion", trial, total),
    )
    held_out_shop = JudgedShop(films.catalog, films.ids, held_out)
    figures = evaluate_lists(held_out_shop, retriever, encoder, weights)
    return {"movies_queries": len(held_out.queries)} | {f"movies_{name}": value for name, value in figures.items()}


def evaluate_chinese(shop: JudgedShop, encoder: BundleEncoder) -> dict[str, float]:
    """Figures of the Chinese shop under the default weights, which a shop without a log has."""
    spec = GraphSpec()
    figures = evaluate_lists(shop, open_retriever(shop, spec), encoder, spec.channel_weights["query"])
    return {"chinese_queries": len(shop.judged.queries)} | {f"chinese_{name}": value for name, value in figures.items()}


def evaluate_lists(
    shop: JudgedShop, retriever: Retriever, encoder: BundleEncoder, weights: Mapping[str, float]
) -> dict[str, float]:
    """`MEASURES` of the fused list and of each text channel's, and how many queries have no lexical result.

    The channels alone are asked for every query, fusion as serving asks: without what the encoder cannot read.
    """
    texts = list(shop.judged.queries.values())
    channel_queries, kinds = encoder.anonymous_queries(texts, shop.catalog), ["query"] * len(texts)
    channel_lists, _ = retriever.search_channels(channel_queries, kinds, everything=True)
    embeddings = np.stack([query.embedding for query in channel_queries])
    readable = blank_unread(embeddings, [query.query for query in channel_queries], encoder.unread_scripts(texts))
    served = [replace(query, embedding=vector) for query, vector in zip(channel_queries, readable, strict=True)]
    served_lists, _ = retriever.search_channels(served, kinds, everything=True)
    meant = [
        retriever.predict_categories(lists) if query.is_embedded else None
        for query, lists in zip(served, served_lists, strict=True)
    ]
    fused = [
        retriever.fuse(lists, weights, LIST_DEPTH, query=query, categories=categories).rows
        for query, lists, categories in zip(served, served_lists, meant, strict=True)
    ]
    ranked = {"fused": fused}
    ranked |= {name: [by_channel[name].rows for by_channel in channel_lists] for name in TEXT_CHANNELS}
    figures: dict[str, float] = {
        f"{measure_name}_{name}": value
        for name, rows in ranked.items()
        for measure_name, value in measure_lists(shop, rows).items()
    }
    return figures | {"without_result": sum(not len(rows) for rows in ranked["lexical"])}


def measure_lists(shop: JudgedShop, ranked: Sequence[Rows]) -> dict[str, float]:
    """Means of `MEASURES` over the shop's queries; unjudged items count as not relevant.

    Args:
        shop: Queries and grades.
        ranked: Item rows of each query, best first, `[queries]`.
    """
    item_ids = [[shop.ids[row] for row in rows] for rows in ranked]
    values = measure_judged(shop.judged, item_ids, MEASURES)
    return {name: round(float(by_query.mean()), 4) for name, by_query in values.items()}
